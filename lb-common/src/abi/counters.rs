//! What the program counts, per CPU.

use crate::reason::Reason;

/// Things worth counting that are no reason for a packet not to be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Event {
    /// A flow was entered into the flow table.
    FlowCreated = 0,
    /// An expired flow gave up its place.
    EvictedExpired = 1,
    /// A half-open flow gave up its place.
    EvictedHalfOpen = 2,
    /// A closing flow gave up its place.
    EvictedClosing = 3,
    /// An idle flow of datagrams gave up its place.
    EvictedIdleDatagram = 4,
    /// A flow with traffic gave up its place: the table is too small.
    EvictedActive = 5,
    /// A packet was forwarded without an entry, since other CPUs took each place first.
    FlowContended = 6,
    /// Another machine said that a VIP which this director holds is at its own MAC address.
    VipClaimed = 7,
    /// An error from the way to a backend was sent on to the client.
    ErrorTranslated = 8,
    /// A SYN was forwarded without an entry, since there were more of them than the service's rate.
    SynUnentered = 9,
}

impl Event {
    /// Every event, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::FlowCreated,
        Self::EvictedExpired,
        Self::EvictedHalfOpen,
        Self::EvictedClosing,
        Self::EvictedIdleDatagram,
        Self::EvictedActive,
        Self::FlowContended,
        Self::VipClaimed,
        Self::ErrorTranslated,
        Self::SynUnentered,
    ];

    /// Short name for metrics and scripts.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::FlowCreated => "flow_created",
            Self::EvictedExpired => "evicted_expired",
            Self::EvictedHalfOpen => "evicted_half_open",
            Self::EvictedClosing => "evicted_closing",
            Self::EvictedIdleDatagram => "evicted_idle_datagram",
            Self::EvictedActive => "evicted_active",
            Self::FlowContended => "flow_contended",
            Self::VipClaimed => "vip_claimed",
            Self::ErrorTranslated => "error_translated",
            Self::SynUnentered => "syn_unentered",
        }
    }

    /// One sentence for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::FlowCreated => "A flow was entered into the flow table.",
            Self::EvictedExpired => "An expired flow gave up its place to a new one.",
            Self::EvictedHalfOpen => "A half-open flow gave up its place to a new one.",
            Self::EvictedClosing => "A closing flow gave up its place to a new one.",
            Self::EvictedIdleDatagram => "An idle flow of datagrams gave up its place to a new one.",
            Self::EvictedActive => "A flow with traffic gave up its place: the flow table is too small.",
            Self::FlowContended => {
                "A packet was forwarded without an entry: other CPUs took each place first."
            }
            Self::VipClaimed => "Another machine claimed a VIP that this director holds.",
            Self::ErrorTranslated => "An error from the way to a backend was sent on to the client.",
            Self::SynUnentered => {
                "A SYN was forwarded without an entry: there were more of them than the service's rate."
            }
        }
    }
}

const REASONS: usize = 64;
const EVENTS: usize = 16;

/// The counters of one CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Packets by number of the [`Reason`].
    pub reasons: [u64; REASONS],
    /// Occurrences by number of the [`Event`].
    pub events: [u64; EVENTS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            reasons: [0; REASONS],
            events: [0; EVENTS],
        }
    }
}

/// The counters of one backend on one CPU: one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct BackendCounters {
    /// Packets forwarded.
    pub packets: u64,
    /// Bytes of those packets, from the link header on.
    pub bytes: u64,
    /// Flows that were given to this backend.
    pub flows: u64,
    /// Replies that came back through the director, where they do.
    pub replies: u64,
    /// Bytes of those, likewise.
    pub reply_bytes: u64,
    /// Connections that it refused: with a reset in answer to a SYN, where its replies come through the director.
    pub refused: u64,
    /// Always 0.
    pub reserved: [u64; 2],
}

const _: () = {
    assert!(size_of::<Counters>() == 8 * (REASONS + EVENTS));
    assert!(size_of::<BackendCounters>() == 64);
    assert!(Reason::COUNT as usize <= REASONS);
    assert!(Event::ALL.len() <= EVENTS);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_so_that_they_index_an_array() {
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, index);
        }
    }
}
