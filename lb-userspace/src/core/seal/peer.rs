//! What is remembered of another director: its sessions, and how far each is to be believed.

use std::time::Duration;

use lb_common::wire::seal::{KeyId, NodeId, Session};
use ring::aead::LessSafeKey;

use super::window::{Verdict, Window};

/// How far what a datagram says is to be believed. Its seal is good in any case (where there are keys).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its session has answered a challenge of ours: it is spoken now.
    Proven,
    /// Its epoch is the newest that is known of its sender. It might be a recording from before this director began to
    /// listen: good for "somebody is there", not for orders.
    Claimed,
    /// A newer epoch of its sender is known. Good for nothing but a greeting that proves the contrary.
    Stale,
}

/// A session, and what was received in it.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) session: Session,
    window: Window,
    /// Derived for this session when first needed.
    pub(super) key: Option<(KeyId, LessSafeKey)>,
}

impl Association {
    pub(super) fn starting_with(session: Session, counter: u64, key: Option<(KeyId, LessSafeKey)>) -> Self {
        Self {
            session,
            window: Window::starting_with(counter),
            key,
        }
    }

    pub(super) fn examine(&self, counter: u64) -> Verdict {
        self.window.examine(counter)
    }

    pub(super) fn accept(&mut self, counter: u64) {
        self.window.accept(counter);
    }
}

/// Another director, by what is sealed or by what is not: the one cannot pass for the other.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) sealed: bool,
    pub(super) heard: Duration,
    pub(super) proven: Option<Association>,
    pub(super) claimed: Option<Association>,
    /// Of any session that was believed to some extent.
    pub(super) highest_epoch: u64,
    /// Its challenge, by the session that is believed most.
    pub(super) challenge: Option<u64>,
    /// The challenge of a session that is believed less.
    pub(super) doubtful_challenge: Option<u64>,
}

impl Peer {
    pub(super) fn new(id: NodeId, sealed: bool, heard: Duration) -> Self {
        Self {
            id,
            sealed,
            heard,
            proven: None,
            claimed: None,
            highest_epoch: 0,
            challenge: None,
            doubtful_challenge: None,
        }
    }

    /// The session's association and standing, if it is one of the two that are followed.
    pub(super) fn association(&mut self, session: Session) -> Option<(&mut Association, Standing)> {
        let is_its = |association: &&mut Association| association.session == session;
        let proven = self.proven.as_mut().filter(is_its);
        let claimed = self.claimed.as_mut().filter(is_its);
        proven
            .map(|association| (association, Standing::Proven))
            .or_else(|| claimed.map(|association| (association, Standing::Claimed)))
    }

    /// Takes note of a session that is not followed yet.
    pub(super) fn meet(&mut self, association: Association) -> Standing {
        let epoch = association.session.epoch;
        let is_first = self.proven.is_none() && self.claimed.is_none();
        if epoch > self.highest_epoch || is_first {
            self.highest_epoch = epoch;
            self.claimed = Some(association);
            Standing::Claimed
        } else {
            Standing::Stale
        }
    }

    /// The session has proven that it is spoken now.
    pub(super) fn prove(&mut self, session: Session, counter: u64) {
        let claimed = self.claimed.take_if(|claimed| claimed.session == session);
        let association = claimed.unwrap_or_else(|| Association::starting_with(session, counter, None));
        self.highest_epoch = self.highest_epoch.max(session.epoch);
        self.proven = Some(association);
        self.claimed = None;
    }
}
