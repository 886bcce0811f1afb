//! The socket on which the daemon listens.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{
            fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
};

/// Where the socket is unless the operator says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/tandem/tandem.sock";

/// For the owner and the group alone: who may write to it may ask everything.
const MODE: u32 = 0o660;
/// For everybody: whoever has connected is told by the groups of `[api]`.
const MODE_FOR_ALL: u32 = 0o666;
const DIRECTORY_MODE: u32 = 0o755;

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody answers there already.
    #[error(
        "another tandemd already listens on {}: stop it first (`tandem status` shows its process ID), or name another \
         socket with --socket", .0.display()
    )]
    InUse(PathBuf),
    /// Somebody is about to listen there.
    #[error("another tandemd is being started on {}: stop one of the two", .0.display())]
    Starting(PathBuf),
    /// Something that no dead daemon can have left.
    #[error(
        "{} is in the way: it is not a socket; move it away, or name another path with --socket", .0.display()
    )]
    NotASocket(PathBuf),
    /// The path has no place for a file.
    #[error("`{}` does not name a file: expected a path such as {DEFAULT_SOCKET}", .0.display())]
    NoFileName(PathBuf),
    /// The system does not allow it.
    #[error("cannot {what} {}: {source}; does the directory exist, and may this user write to it?", path.display())]
    Io {
        /// The attempt.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A listening socket in the file system; its file is removed when it is dropped.
#[derive(Debug)]
pub struct ApiSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: whether the file still is ours.
    identity: (u64, u64),
}

impl ApiSocket {
    /// Listens at `path`. The directory is made; a socket that a dead daemon left is replaced.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |what, source| SocketError::Io {
            what,
            path: path.to_owned(),
            source,
        };
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return Err(SocketError::NoFileName(path.to_owned()));
        };
        let directory = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(|error| failed("make the directory of", error))?;
        // From the look at the old socket to the new one being in place nobody else may do the same.
        let directory = File::open(directory).map_err(|error| failed("open the directory of", error))?;
        let _lock =
            Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
                Errno::EWOULDBLOCK => SocketError::Starting(path.to_owned()),
                error => failed("lock the directory of", error.into()),
            })?;
        ensure_dead(path)?;

        // It gets its mode before it gets its name, so that there is no moment at which others may connect.
        let mut temporary_name = name.to_owned();
        temporary_name.push(".new");
        let temporary = path.with_file_name(temporary_name);
        remove(&temporary).map_err(|error| failed("replace what is in the way of", error))?;
        let listener = UnixListener::bind(&temporary).map_err(|error| failed("listen on", error))?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(MODE))
            .and_then(|()| fs::rename(&temporary, path))
            .map_err(|error| {
                // The first error is the one to report.
                let _ = fs::remove_file(&temporary);
                failed("put the socket in its place at", error)
            })?;
        let identity = identity(path).map_err(|error| failed("look at", error))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            identity,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The listener for the runtime.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        let listener = self.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(listener)
    }
}

impl Drop for ApiSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // What stays behind is taken for a dead daemon's.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Lets everybody connect to the socket at `path`, or its owner and group alone.
///
/// # Errors
/// The system does not allow it.
pub fn open_to(path: &Path, everybody: bool) -> io::Result<()> {
    let mode = if everybody { MODE_FOR_ALL } else { MODE };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes sure that nobody lives at `path`: there is nothing, or a socket that nobody listens on.
fn ensure_dead(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match knock(path) {
        Err(Errno::ECONNREFUSED) => Ok(()),
        // Its queue may be full: too busy to be dead.
        Ok(_) | Err(Errno::EAGAIN) => Err(SocketError::InUse(path.to_owned())),
        Err(error) => Err(SocketError::Io {
            what: "find out who listens on",
            path: path.to_owned(),
            source: error.into(),
        }),
    }
}

/// Connects, if that takes no waiting.
fn knock(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn makes_its_directory_and_is_for_owner_and_group_alone() {
        let directory = directory();
        let path = directory.path().join("a/b/tandem.sock");
        let socket = ApiSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        assert!(UnixStream::connect(&path).is_ok());
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_daemons_socket_is_replaced() {
        let directory = directory();
        let path = directory.path().join("tandem.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _socket = ApiSocket::bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_living_daemon_keeps_its_socket() {
        let directory = directory();
        let path = directory.path().join("tandem.sock");
        let first = ApiSocket::bind(&path).unwrap();
        assert!(matches!(ApiSocket::bind(&path), Err(SocketError::InUse(_))));
        assert!(UnixStream::connect(&path).is_ok());
        drop(first);
        assert!(ApiSocket::bind(&path).is_ok());
    }

    #[test]
    fn one_that_is_too_busy_to_answer_is_alive() {
        let directory = directory();
        let path = directory.path().join("tandem.sock");
        let _socket = ApiSocket::bind(&path).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = knock(&path) {
            waiting.push(stream);
        }
        assert!(matches!(ApiSocket::bind(&path), Err(SocketError::InUse(_))));
    }

    #[test]
    fn of_two_that_start_at_once_one_gives_up() {
        let directory = directory();
        let path = directory.path().join("tandem.sock");
        let file = File::open(directory.path()).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
        assert!(matches!(ApiSocket::bind(&path), Err(SocketError::Starting(_))));
        drop(lock);
        assert!(ApiSocket::bind(&path).is_ok());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = directory();
        let path = directory.path().join("tandem.sock");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(ApiSocket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert!(matches!(
            ApiSocket::bind(Path::new("/")),
            Err(SocketError::NoFileName(_))
        ));
        let below = path.join("tandem.sock");
        assert!(matches!(ApiSocket::bind(&below), Err(SocketError::Io { .. })));
    }

    #[test]
    fn a_successors_socket_is_not_removed() {
        let directory = directory();
        let path = directory.path().join("tandem.sock");
        let first = ApiSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = ApiSocket::bind(&path).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok());
    }
}
