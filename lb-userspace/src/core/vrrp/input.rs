//! What a virtual router is told.

use std::{net::IpAddr, time::Duration};

use lb_common::wire::vrrp::{Addresses, Interval};

/// What the operator set for one virtual router of one director.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Virtual router identifier, 1..=255; the same on all directors of the instance.
    pub vrid: u8,
    /// 1..=255; 255 says that the VIPs are the director's own addresses.
    pub priority: u8,
    /// Time between two of our advertisements while Active.
    pub interval: Interval,
    /// Whether to take over from an Active of lower priority.
    pub preempt: Preempt,
    /// Source of our advertisements: the interface's primary IPv4 address or its link-local IPv6 address. Of two equal
    /// priorities the greater address wins.
    pub primary: IpAddr,
    /// The addresses that are moved, of the family of `primary`.
    pub vips: Vips,
}

impl Settings {
    /// `Skew_Time` of RFC 9568 section 6.1: the lower the priority, the longer.
    #[must_use]
    pub fn skew(&self, interval: Interval) -> Duration {
        interval.duration() * (256 - u32::from(self.priority)) / 256
    }

    /// `Active_Down_Interval` of RFC 9568 section 6.1: silence after which an Active that advertises at this
    /// interval is gone.
    #[must_use]
    pub fn active_down_interval(&self, interval: Interval) -> Duration {
        3 * interval.duration() + self.skew(interval)
    }
}

/// Virtual addresses of one family, each in network order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vips {
    /// IPv4 addresses.
    V4(Vec<[u8; 4]>),
    /// IPv6 addresses.
    V6(Vec<[u8; 16]>),
}

impl Vips {
    pub(super) fn addresses(&self) -> Addresses<'_> {
        match self {
            Self::V4(vips) => Addresses::V4(vips),
            Self::V6(vips) => Addresses::V6(vips),
        }
    }

    /// Whether `addresses` are the same, in whatever order: RFC 9568 asks for none.
    pub(super) fn are(&self, addresses: Addresses<'_>) -> bool {
        fn same<const N: usize>(ours: &[[u8; N]], theirs: &[[u8; N]]) -> bool {
            ours.len() == theirs.len() && ours.iter().all(|vip| theirs.contains(vip))
        }
        match (self, addresses) {
            (Self::V4(ours), Addresses::V4(theirs)) => same(ours, theirs),
            (Self::V6(ours), Addresses::V6(theirs)) => same(ours, theirs),
            (Self::V4(_), Addresses::V6(_)) | (Self::V6(_), Addresses::V4(_)) => false,
        }
    }
}

/// What a Backup does when it hears an Active of lower priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preempt {
    /// Leaves it the VIPs (`Preempt_Mode` false).
    Never,
    /// Obeys it for this long, then no more: its `Active_Down_Interval` later it takes over (`Preempt_Mode` true; the
    /// RFC's own wait is zero).
    After(Duration),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The RFC's Startup: the daemon is ready and the interface is up.
    Start,
    /// The RFC's Shutdown.
    Stop(StopCause),
    /// [`next_deadline`](super::VirtualRouter::next_deadline) may have passed. Early ones do nothing.
    Tick,
    /// Another director advertised; all checks are done.
    Advertisement(Heard),
}

/// Why a virtual router takes no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// The daemon ends.
    Shutdown,
    /// The interface is down: a director that clients cannot reach neither keeps nor takes a VIP.
    LinkDown,
}

/// What an advertisement said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The sender's primary address.
    pub source: IpAddr,
    /// The sender's priority; [`YIELD`](super::YIELD) if it gives up.
    pub priority: u8,
    /// The sender's interval.
    pub interval: Interval,
}
