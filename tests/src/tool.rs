//! Finding the programs that the lab runs.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::LabError;

/// Administrators' directories, which an ordinary PATH may leave out.
const SYSTEM_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Debian packages of the tools whose package bears another name.
const PACKAGES: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("nginx", "nginx-light"),
    ("ping", "iputils-ping"),
];

/// The path of an installed program.
///
/// A name with a slash is taken as a path.
///
/// # Errors
/// [`LabError::MissingTool`] names the program and the package that has it; [`LabError::File`] a path without a program.
pub fn find(tool: impl AsRef<OsStr>) -> Result<PathBuf, LabError> {
    let tool = tool.as_ref();
    if Path::new(tool).components().count() > 1 {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let found = is_program(Path::new(tool)).then(|| tool.into());
        return found.ok_or_else(|| LabError::file("run", Path::new(tool))(missing()));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(SYSTEM_DIRS.map(PathBuf::from));
    let mut programs = directories
        .map(|directory| directory.join(tool))
        .filter(|path| is_program(path));
    programs.next().ok_or_else(|| {
        let tool = tool.to_string_lossy().into_owned();
        LabError::MissingTool {
            package: package_of(&tool).to_owned(),
            tool,
        }
    })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn package_of(tool: &str) -> &str {
    PACKAGES
        .iter()
        .find(|(name, _)| *name == tool)
        .map_or(tool, |(_, package)| package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        assert!(find("sh").is_ok_and(|path| path.is_absolute()));
        let error = find("no-such-tool").unwrap_err().to_string();
        assert_eq!(
            error,
            "`no-such-tool` is not installed: apt-get install no-such-tool"
        );
        let error = find("/no/such/tool").unwrap_err().to_string();
        assert_eq!(error, "cannot run /no/such/tool: entity not found");
        assert_eq!(package_of("nginx"), "nginx-light");
    }
}
