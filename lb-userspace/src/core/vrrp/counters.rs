//! What was sent, received and refused.

use lb_common::wire::vrrp::Refusal;

/// Counts since the virtual router was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Advertisements that were to be sent.
    pub sent: u64,
    /// Advertisements that were obeyed or answered.
    pub received: u64,
    /// Accepted advertisements that named other addresses than ours: the directors' configurations differ.
    pub differing_addresses: u64,
    /// Accepted advertisements with another interval than ours, which a Backup follows nevertheless.
    pub differing_interval: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Counters {
    /// How many were refused for this reason.
    #[must_use]
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused[refusal as usize]
    }

    pub(in crate::core) fn refuse(&mut self, refusal: Refusal) {
        self.refused[refusal as usize] += 1;
    }
}
