//! What a node is made with.

use std::{sync::Arc, time::Duration};

use crate::core::seal::{Keyring, Session};

/// What does not change while the daemon runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The cluster, this director in it, and the keys.
    pub keyring: Arc<Keyring>,
    /// This director's name.
    pub name: String,
    /// This life of it.
    pub session: Session,
    /// Random.
    pub secret: [u8; 32],
    /// Connections are divided into 2 to this power leaves; [`LEAF_BITS`] but in tests.
    pub leaf_bits: u8,
    /// Longest UDP payload, in bytes; [`LEAST_DATAGRAM`] or more, but in tests.
    pub datagram: usize,
    /// Updates that are kept to be repeated, each a datagram.
    pub history: usize,
    /// Bytes a second at which the content of leaves is sent, at most.
    pub bulk_rate: u64,
}

/// Leaves of a real node: 2 to this power.
pub const LEAF_BITS: u8 = 16;
/// Updates that a real node keeps: about ten seconds at 50 000 new connections a second, in eleven megabytes.
pub const HISTORY: usize = 8192;
/// Shortest UDP payload with which the protocol works: that of IPv6's least MTU.
pub const LEAST_DATAGRAM: usize = 1280 - 48;

/// How long an update may wait for others to fill its datagram.
pub(super) const HOLD: Duration = Duration::from_millis(2);
/// Between two hellos.
pub(super) const HELLO: Duration = Duration::from_millis(250);
/// Between two hellos that others ask for.
pub(super) const SOON: Duration = Duration::from_millis(5);
/// How long after the last update a hello says that it was the last.
pub(super) const TAIL: Duration = Duration::from_millis(5);
/// Between two periodic surveys, in the cluster's milliseconds.
pub(super) const SURVEY_PERIOD_MS: u64 = 4_000;
/// What changed in this time before a survey may be under way, and is left out of it.
pub(super) const UNSETTLED_MS: u64 = 1_000;
/// A change may seem to have been made this much later than it was: stamps and jiffies are coarse.
pub(super) const COARSENESS_MS: u64 = 50;
/// How long a director that has just started looks for others.
pub(super) const LOOK_AROUND: Duration = Duration::from_millis(1_200);
/// Between two attempts to join.
pub(super) const JOIN_AGAIN: Duration = Duration::from_millis(500);
/// Between two tellings of the whole store, or of all services, to one other director.
pub(super) const TELL_ALL: Duration = Duration::from_secs(1);
/// What may be sent of leaves at once, in bytes.
pub(super) const BULK_BURST: u64 = 64 * 1024;
/// Messages that wait to be sent, at most.
pub(super) const MOST_WAITING: usize = 1024;
/// Events that wait to be fetched, at most.
pub(super) const MOST_EVENTS: usize = 256;
