//! What a virtual router is told.

use std::{net::IpAddr, time::Duration};

use lb_common::wire::vrrp::{Addresses, Interval};

use super::Cause;

/// Advertisements of the Active that may be missed (RFC 9568 section 6.1).
pub const DOWN_ADVERTS: u32 = 3;

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
    /// Advertisements of the Active that may be missed; the RFC's number is [`DOWN_ADVERTS`].
    pub down_adverts: u32,
    /// What a Backup does when the Active is gone.
    pub takeover: Takeover,
    /// Source of our advertisements: the interface's primary IPv4 address or its link-local IPv6 address. Of two equal
    /// priorities the greater address wins.
    pub primary: IpAddr,
    /// Who may advertise to us; where empty, anybody.
    pub peers: Vec<IpAddr>,
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
        self.down_adverts * interval.duration() + self.skew(interval)
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
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.addresses().count()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<IpAddr> {
        match self {
            Self::V4(vips) => vips.get(index).map(|&vip| vip.into()),
            Self::V6(vips) => vips.get(index).map(|&vip| vip.into()),
        }
    }

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

/// What a Backup does when its `Active_Down_Timer` fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// Becomes Active (RFC 9568 section 6.4.2).
    AtOnce,
    /// Waits for [`Event::Take`], ready ([`due`](super::VirtualRouter::due)): who sees more than one virtual router
    /// decides.
    OnOrder,
}

/// Who gives way where priorities do not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether the sender wins against an Active of the same priority. The RFC goes by the addresses.
    pub wins_tie: bool,
    /// Whether a sender of lower priority is preempted.
    pub preempt: Preempt,
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
    Advertisement(Heard, Standing),
    /// To a Backup: become Active now, for this reason.
    Take(Cause),
    /// To an Active: become Backup, and say so to the others.
    Yield(Cause),
    /// To an Active: it slept so long that others may have taken over. It becomes Backup, says so, and listens for one
    /// advertisement of a successor rather than for the loss of several.
    Lapse,
}

/// Why a virtual router takes no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// The daemon ends.
    Shutdown,
    /// The interface is down: a director that clients cannot reach neither keeps nor takes a VIP.
    LinkDown,
    /// The interface has no address of the family to send from.
    NoAddress,
    /// Another virtual router that moves together with this one cannot run.
    Together,
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
