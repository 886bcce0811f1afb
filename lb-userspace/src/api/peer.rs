//! Who is at the other end of a connection, as the kernel says.

use std::os::fd::AsRawFd as _;

use nix::unistd::{Uid, User};
use tokio::{net::UnixStream, task::spawn_blocking};

use crate::io::one_line;

/// Header in which `tandem` says for whom root acts: what `sudo` leaves in `SUDO_USER`.
pub(super) const ON_BEHALF_OF: &str = "tandem-on-behalf-of";

/// Longest name that is taken from there.
const MOST: usize = 64;

/// The user at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    uid: Option<u32>,
    groups: Vec<u32>,
}

impl Peer {
    /// Whoever has connected.
    pub(super) fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        let own = credentials.map(|credentials| credentials.gid());
        Self {
            uid: credentials.map(|credentials| credentials.uid()),
            groups: own.into_iter().chain(further_groups(stream)).collect(),
        }
    }

    #[cfg(test)]
    pub(super) fn named(uid: u32, groups: &[u32]) -> Self {
        Self {
            uid: Some(uid),
            groups: groups.to_vec(),
        }
    }

    /// Whether it is this user.
    pub(super) fn is(&self, uid: u32) -> bool {
        self.uid == Some(uid)
    }

    /// Whether its process was in this group when it connected.
    pub(super) fn is_in(&self, group: u32) -> bool {
        self.groups.contains(&group)
    }

    /// `alice`, or `root for alice`, if root says so; others are not believed.
    pub(super) async fn describe(&self, behalf: Option<&str>) -> String {
        let Some(uid) = self.uid else {
            return "somebody unknown".to_owned();
        };
        // The name may come from another machine.
        let named = spawn_blocking(move || User::from_uid(Uid::from_raw(uid))).await;
        let name = match named {
            Ok(Ok(Some(user))) => user.name,
            Ok(Ok(None) | Err(_)) | Err(_) => format!("uid {uid}"),
        };
        match behalf {
            Some(other) if uid == 0 && !other.is_empty() => {
                let other: String = one_line(other).chars().take(MOST).collect();
                format!("{name} for {other}")
            }
            Some(_) | None => name,
        }
    }
}

/// The supplementary groups of the process at the other end, as it had them when it connected (SO_PEERGROUPS, Linux 4.13).
/// Nobody is in more than the first few hundred of them.
fn further_groups(stream: &UnixStream) -> Vec<u32> {
    const MOST: usize = 1024;
    let mut groups = vec![0_u32; MOST];
    let mut length = size_of_val(&*groups) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `stream` lives; the kernel writes at most `length` bytes, which is the size
    // of the buffer, and says in `length` how many it wrote.
    let outcome = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let written = if outcome == 0 {
        length as usize / size_of::<u32>()
    } else {
        0
    };
    groups.truncate(written);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_root_is_believed_to_act_for_others() {
        let describe = |uid, behalf| async move {
            let groups = Vec::new();
            Peer { uid, groups }.describe(behalf).await
        };
        assert_eq!(describe(Some(0), None).await, "root");
        assert_eq!(describe(Some(0), Some("alice")).await, "root for alice");
        assert_eq!(describe(Some(4_000_000), Some("alice")).await, "uid 4000000");
        assert_eq!(describe(None, Some("alice")).await, "somebody unknown");
    }

    #[tokio::test]
    async fn the_kernel_says_which_groups_somebody_is_in() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one);
        assert!(peer.is(nix::unistd::geteuid().as_raw()));
        let own = nix::unistd::getgroups().unwrap();
        assert!(
            own.iter().all(|group| peer.is_in(group.as_raw())),
            "{peer:?} {own:?}"
        );
    }
}
