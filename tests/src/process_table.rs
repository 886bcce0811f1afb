//! The machine's processes: telling one from a later one with the same id, and ending those inside a lab.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a killed process may take to end.
const END: Duration = Duration::from_secs(2);

/// A process, told by its start time from others that had or will have its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    id: u32,
    /// In clock ticks since boot; 0 where `/proc` does not tell.
    started: u64,
}

impl Identity {
    pub(crate) fn own() -> Self {
        let id = process::id();
        Self {
            id,
            started: alive_since(id).unwrap_or_default(),
        }
    }

    pub(crate) fn is_alive(self) -> bool {
        alive_since(self.id) == Some(self.started)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.started)
    }
}

impl FromStr for Identity {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (id, started) = text.trim().split_once(' ').ok_or(Malformed)?;
        Ok(Self {
            id: id.parse().map_err(|_| Malformed)?,
            started: started.parse().map_err(|_| Malformed)?,
        })
    }
}

/// The text is no process identity.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// When a process began, if it has not ended.
fn alive_since(id: u32) -> Option<u64> {
    start_time(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// Fields 3 (state) and 22 (start time) of `/proc/ID/stat`; the second, in parentheses, may hold anything.
fn start_time(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // A zombie has ended, though nobody has asked how.
    let ended = matches!(fields.next()?, "Z" | "X");
    if ended { None } else { fields.nth(18)?.parse().ok() }
}

/// Kills whatever runs in these namespaces (files of `/run/netns`), but for this process, and waits for the end.
pub(crate) fn kill_inside(namespaces: &[PathBuf]) {
    let inside: Vec<(u64, u64)> = namespaces.iter().filter_map(|path| file_id(path)).collect();
    let killed: Vec<OwnedFd> = processes().filter_map(|id| kill_if_inside(id, &inside)).collect();
    let deadline = Instant::now() + END;
    for process in &killed {
        let left = PollTimeout::try_from(deadline.saturating_duration_since(Instant::now()));
        // Readable once it has ended. One that does not end in time keeps its namespace; nothing more can be done.
        let _ = poll(
            &mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)],
            left.unwrap_or(PollTimeout::ZERO),
        );
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| OsStr::to_str(&entry.file_name())?.parse().ok());
    ids.filter(|id| *id != process::id())
}

fn kill_if_inside(id: u32, inside: &[(u64, u64)]) -> Option<OwnedFd> {
    let namespace = PathBuf::from(format!("/proc/{id}/ns/net"));
    let is_inside = || file_id(&namespace).is_some_and(|file| inside.contains(&file));
    if !is_inside() {
        return None;
    }
    // Looked at again through a handle, so that the id cannot have gone to another process meanwhile.
    let handle = open_process(id).ok()?;
    if is_inside() {
        send_kill(&handle).ok()?;
    }
    Some(handle)
}

fn file_id(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn open_process(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn send_kill(process: &OwnedFd) -> io::Result<()> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the descriptor is open, and without siginfo the kernel reads no memory.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            libc::SIGKILL,
            no_info,
            0,
        )
    };
    if sent == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn start_time_is_field_22_whatever_the_name() {
        let stat = |name: &str, state: &str| {
            format!("17 ({name}) {state} 1 17 17 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 99 1")
        };
        let cases = [
            ("sh", "S", Some(4711)),
            ("a) R 1 (b", "R", Some(4711)),
            ("sh", "Z", None),
            ("sh", "X", None),
        ];
        for (name, state, expected) in cases {
            assert_eq!(start_time(&stat(name, state)), expected, "{name} {state}");
        }
        assert_eq!(start_time("17 (sh) S 1"), None);
        assert_eq!(start_time(""), None);
    }

    #[test]
    fn identity_survives_writing_and_reading() {
        let own = Identity::own();
        assert_eq!(own.to_string().parse(), Ok(own));
        assert!(own.is_alive());
        for text in ["", "12", "12 x", "-1 3"] {
            assert_eq!(text.parse::<Identity>(), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_process_that_ended_or_began_later_is_not_alive() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        let identity = Identity {
            id,
            started: alive_since(id).unwrap(),
        };
        assert!(identity.is_alive());
        assert!(
            !Identity {
                started: identity.started + 1,
                ..identity
            }
            .is_alive()
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }
}
