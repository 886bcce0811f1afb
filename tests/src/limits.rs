//! The process's limits.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors enough for tens of thousands of connections, both ends in one process.
const OPEN_FILES: u64 = 200_000;

/// Raises the number of files that this process and its children may open.
///
/// What is refused shows as soon as a connection cannot be opened, with the system's own words.
pub(crate) fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < OPEN_FILES
        && setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, hard.max(OPEN_FILES)).is_err()
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(OPEN_FILES), hard);
    }
}
