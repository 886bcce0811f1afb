//! Sealed datagrams between the directors of a cluster: who sent it, is it what was sent, and is it new?
//!
//! A [`Keyring`] is what the directors of a cluster share. A [`Sealer`] makes datagrams of payloads, an [`Opener`] takes
//! them apart again. There is one of each for each [`Channel`], however many networks it uses: counters
//! and replay windows belong to the channel.
//!
//! # Who is no recording
//! The key of a session is derived from the cluster's key, the sender and the session, and a session has a random salt:
//! no nonce is ever used twice, whatever a restarted director remembers. Inside a session a window over the counters
//! refuses what was received before.
//!
//! That leaves recordings of whole sessions, played to a director that was not there. Epochs order the sessions
//! of a sender; but a director that lost its disk and whose clock went backwards has an epoch that looks old, and
//! one that has just started knows nobody's epoch. So each director puts a challenge into its [`Greeting`], and echoes
//! those that it hears: a session that has echoed a challenge of ours is [`Standing::Proven`]. A challenge is used
//! for one proof only.
//!
//! # Architecture invariants
//! - Nothing is kept of a datagram before its seal was found good, and of no more than [`MAX_PEERS`] senders after.
//! - A recording never displaces a session that is proven.

mod identity;
mod key;
mod keyring;
mod opener;
mod peer;
mod sealer;
#[cfg(test)]
mod tests;
mod window;

pub use lb_common::wire::seal::{Channel, Greeting, HEADER, KeyId, NodeId, OVERHEAD, Refusal, Session, TAG};

pub use self::{
    identity::{cluster_id, name_prefix, next_epoch, node_id},
    key::{Fingerprint, Key, SECRET, SEED},
    keyring::{Authentication, Keyring, KeyringError, MAX_KEYS},
    opener::{Counters, MAX_PEERS, Opened, Opener, Origin},
    peer::Standing,
    sealer::Sealer,
};
