//! What outlives the daemon and a reboot: small files in a directory of its own.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::io::file::{Present, put};

/// Where the directory is unless the operator or systemd says otherwise.
pub(super) const DEFAULT_DIRECTORY: &str = "/var/lib/tandem";

/// Most bytes of a file that are read.
const MAX_SIZE: u64 = 16 << 20;

/// A directory whose files are replaced as a whole: a reader finds the old one or the new one, also after a power cut.
#[derive(Debug, Clone)]
pub struct StateDirectory(PathBuf);

/// A file of the directory could not be read or replaced.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be {what}: {source}; see to the directory, or name another with --state", path.display())]
pub struct StateError {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

impl StateDirectory {
    /// The directory at `path`, which is made when it is first needed.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What the file of this name holds; `None` where there is none.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.0.join(name);
        let mut content = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_SIZE).read_to_end(&mut content)) {
            Ok(_) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError {
                path,
                what: "read",
                source,
            }),
        }
    }

    /// Puts `content` in place of what the file of this name holds, and returns when it is on the disk.
    ///
    /// # Errors
    /// [`StateError`]; the old content is still there then.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<(), StateError> {
        let path = self.0.join(name);
        let written = fs::create_dir_all(&self.0).and_then(|()| put(&path, content, Present::Replaced));
        written.map_err(|source| StateError {
            path: path.clone(),
            what: "replaced",
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(&directory.path().join("a/b"));
        assert_eq!(state.read("epoch").unwrap(), None);
        for content in [&b"1"[..], b"22", b""] {
            state.replace("epoch", content).unwrap();
            assert_eq!(state.read("epoch").unwrap().as_deref(), Some(content));
        }
        let left: Vec<_> = fs::read_dir(directory.path().join("a/b")).unwrap().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        let state = StateDirectory::new(&file);
        let error = state.replace("epoch", b"1").unwrap_err().to_string();
        assert!(error.contains("--state") && error.contains("epoch"), "{error}");
        assert!(state.read("epoch").is_err());
    }
}
