//! Files that are written as a whole, or not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// What may be at the path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Present {
    /// Whatever is there is replaced.
    Replaced,
    /// What is there stays, and it is an error.
    Kept,
}

/// Puts a file with this content at `path`, and returns when it is on the disk. A reader finds the old file or the new one,
/// also after a power cut. The mode of a file that is replaced is kept.
///
/// # Errors
/// What the system said; whatever was at `path` before is still there then.
pub(crate) fn put(path: &Path, content: &[u8], present: Present) -> io::Result<()> {
    let special = |facts: fs::Metadata| !facts.is_file() && !facts.is_dir();
    if present == Present::Replaced && fs::metadata(path).is_ok_and(special) {
        // A device or a pipe is there to be written to, and not to be replaced.
        return fs::OpenOptions::new().write(true).open(path)?.write_all(content);
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let unfinished = directory.join(format!(".{}.new", name.to_string_lossy()));
    let outcome = write(&unfinished, path, content).and_then(|()| match present {
        Present::Replaced => fs::rename(&unfinished, path),
        // Fails if there is one.
        Present::Kept => fs::hard_link(&unfinished, path),
    });
    if outcome.is_err() || present == Present::Kept {
        // It may never have come to be.
        let _ = fs::remove_file(&unfinished);
    }
    outcome?;
    File::open(directory)?.sync_all()
}

fn write(unfinished: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(unfinished)?;
    if let Ok(old) = fs::metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_device_is_written_to_and_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("full");
        std::os::unix::fs::symlink("/dev/full", &link).unwrap();
        let error = put(&link, b"1", Present::Replaced).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_file_is_there_as_a_whole_or_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        put(&path, b"1", Present::Kept).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = put(&path, b"2", Present::Kept).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"1");
        put(&path, b"3", Present::Replaced).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"3");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        // A directory in the way.
        fs::create_dir(directory.path().join("taken")).unwrap();
        assert!(put(&directory.path().join("taken"), b"4", Present::Replaced).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        assert!(put(Path::new("/"), b"5", Present::Replaced).is_err());
    }
}
