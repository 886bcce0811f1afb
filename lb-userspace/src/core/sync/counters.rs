//! What was sent, received and refused.

use lb_common::wire::sync::Refusal;

use super::replica::Applied;

/// Counts since the daemon began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes of these, sealed.
    pub sent_bytes: u64,
    /// Updates sent, each a datagram.
    pub updates_sent: u64,
    /// Connections in these.
    pub records_sent: u64,
    /// Updates repeated, because somebody missed them.
    pub repeated: u64,
    /// Connections sent as the content of leaves.
    pub bulk_records_sent: u64,
    /// Messages that came in good order.
    pub received: u64,
    /// Connections in updates of others, by what became of them.
    pub updated: Applied,
    /// Connections in leaves of others, by what became of them.
    pub repaired: Applied,
    /// Surveys of the own tables.
    pub surveys: u64,
    /// Messages that were not sent since too many waited already.
    pub crowded_out: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Counters {
    /// Messages that were refused for this reason.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }
}
