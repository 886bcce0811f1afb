//! Who is at the other end of a connection, as the kernel says.

use nix::unistd::{Uid, User};
use tokio::{net::UnixStream, task::spawn_blocking};

use crate::io::one_line;

/// Header in which `tandem` says for whom root acts: what `sudo` leaves in `SUDO_USER`.
pub(super) const ON_BEHALF_OF: &str = "tandem-on-behalf-of";

/// Longest name that is taken from there.
const MOST: usize = 64;

/// The user at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    uid: Option<u32>,
}

impl Peer {
    /// Whoever has connected.
    pub(super) fn of(stream: &UnixStream) -> Self {
        Self {
            uid: stream.peer_cred().ok().map(|credentials| credentials.uid()),
        }
    }

    /// `alice`, or `root for alice`, if root says so; others are not believed.
    pub(super) async fn describe(self, behalf: Option<&str>) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_root_is_believed_to_act_for_others() {
        let describe = |uid, behalf| async move { Peer { uid }.describe(behalf).await };
        assert_eq!(describe(Some(0), None).await, "root");
        assert_eq!(describe(Some(0), Some("alice")).await, "root for alice");
        assert_eq!(describe(Some(4_000_000), Some("alice")).await, "uid 4000000");
        assert_eq!(describe(None, Some("alice")).await, "somebody unknown");
    }
}
