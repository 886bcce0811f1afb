//! Who may ask, and who may order: by what the kernel says of whoever has connected.

use axum::{
    Extension,
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use nix::unistd::{Group, geteuid};
use tokio::sync::watch;

use super::{
    peer::Peer,
    routes::{ApiError, path},
};
use crate::core::model::Api;

/// Groups by their numbers. Root and the daemon's own user always may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    read: Option<u32>,
    write: Option<u32>,
}

/// A group of the configuration does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no group `{0}`, which [api] names: create it (`groupadd --system {0}`), or name another")]
pub struct NoGroup(String);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Read,
    Write,
}

impl Access {
    /// What the configuration says, with the system's groups.
    ///
    /// # Errors
    /// [`NoGroup`].
    pub fn of(api: &Api) -> Result<Self, NoGroup> {
        let number = |name: &Option<String>| match name {
            None => Ok(None),
            Some(name) => match Group::from_name(name) {
                Ok(Some(group)) => Ok(Some(group.gid.as_raw())),
                Ok(None) | Err(_) => Err(NoGroup(name.clone())),
            },
        };
        Ok(Self {
            read: number(&api.read_group)?,
            write: number(&api.write_group)?,
        })
    }

    /// Whether groups say who may connect, and not the socket's mode.
    #[must_use]
    pub const fn is_by_group(self) -> bool {
        self.read.is_some() || self.write.is_some()
    }

    fn allows(self, peer: &Peer, wish: Wish) -> bool {
        let is_in = |group: Option<u32>| group.is_some_and(|group| peer.is_in(group));
        if !self.is_by_group() || peer.is(0) || peer.is(geteuid().as_raw()) {
            return true;
        }
        match (wish, self.write) {
            (Wish::Write, Some(_)) => is_in(self.write),
            (Wish::Write, None) | (Wish::Read, _) => is_in(self.read) || is_in(self.write),
        }
    }
}

/// Lets the request pass if whoever made it may.
pub(super) async fn guard(
    State(access): State<watch::Receiver<Access>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let wish = match *request.method() {
        // Who follows packets sees what is in them, and has another form of the program put in place.
        _ if request.uri().path() == path::PACKETS => Wish::Write,
        Method::GET | Method::HEAD | Method::OPTIONS => Wish::Read,
        _ => Wish::Write,
    };
    let access = *access.borrow();
    if access.allows(&peer, wish) {
        return Ok(next.run(request).await);
    }
    Err(ApiError::Forbidden(match wish {
        Wish::Read => "ask",
        Wish::Write => "give orders",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_what() {
        let stranger = Peer::named(4_000_000, &[]);
        let reader = Peer::named(4_000_001, &[10]);
        let writer = Peer::named(4_000_002, &[20]);
        let root = Peer::named(0, &[]);
        let none = Access::default();
        let both = Access {
            read: Some(10),
            write: Some(20),
        };
        let only_write = Access {
            read: None,
            write: Some(20),
        };
        let only_read = Access {
            read: Some(10),
            write: None,
        };
        for (access, peer, read, write) in [
            (none, &stranger, true, true),
            (both, &stranger, false, false),
            (both, &reader, true, false),
            (both, &writer, true, true),
            (both, &root, true, true),
            (only_write, &reader, false, false),
            (only_write, &writer, true, true),
            (only_read, &reader, true, true),
            (only_read, &writer, false, false),
            (only_read, &root, true, true),
        ] {
            assert_eq!(access.allows(peer, Wish::Read), read, "{access:?} {peer:?}");
            assert_eq!(access.allows(peer, Wish::Write), write, "{access:?} {peer:?}");
        }
    }

    #[test]
    fn a_group_that_is_not_there_is_named() {
        let api = Api {
            read_group: Some("root".to_owned()),
            write_group: None,
        };
        assert_eq!(
            Access::of(&api),
            Ok(Access {
                read: Some(0),
                write: None
            })
        );
        let api = Api {
            write_group: Some("no-such-group".to_owned()),
            ..api
        };
        assert_eq!(Access::of(&api), Err(NoGroup("no-such-group".to_owned())));
    }
}
