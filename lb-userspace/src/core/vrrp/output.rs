//! What a virtual router wants done.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use super::{Heard, StopCause};

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send an advertisement with this priority: what [`write`](super::VirtualRouter::write) gives, to the group or
    /// to each unicast peer.
    Advertise {
        /// Ours, or [`YIELD`](super::YIELD).
        priority: u8,
    },
    /// Add the VIPs to the interface and announce them.
    Acquire,
    /// Announce the VIPs again: another director claimed them.
    Announce,
    /// Remove the VIPs from the interface.
    Release,
    /// Tell who asks: the role is another one now.
    Changed(Transition),
}

/// The states of RFC 9568 section 6.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes no part.
    Initialize,
    /// Listens, ready to take over.
    Backup,
    /// Holds the VIPs.
    Active,
}

impl Display for Role {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Initialize => "initialize",
            Self::Backup => "backup",
            Self::Active => "active",
        })
    }
}

/// A change of role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// What it was.
    pub from: Role,
    /// What it is since.
    pub to: Role,
    /// Why.
    pub cause: Cause,
    /// When, on the caller's clock.
    pub at: Duration,
}

/// Why a role changed: a sentence for the log and for who asks at night.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// To Backup: the daemon started, or the interface came up.
    Started,
    /// To Active: priority 255.
    Owner,
    /// To Active: no director was heard since the start.
    NobodyHeard,
    /// To Active: nobody took the VIPs that this director gave up.
    NotTaken,
    /// To Active: ordered.
    Ordered,
    /// To Active or Backup, with another virtual router that moves together with this one.
    Together,
    /// To Active: this one was heard, and then no more.
    Silent(Heard),
    /// To Active: this one gave the VIPs up.
    Yielded(Heard),
    /// To Active: this one has the lower priority.
    Preempted(Heard),
    /// To Backup: this one has the higher priority.
    Greater(Heard),
    /// To Backup: this one has the same priority and the greater address, or else stands above us.
    WinsTie(Heard),
    /// To Backup: gave the VIPs up as ordered.
    GaveUp,
    /// To Backup: the director slept so long that others may have taken over.
    Lapsed,
    /// To Initialize.
    Stopped(StopCause),
}

impl Display for StopCause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shutdown => "the daemon stops",
            Self::LinkDown => "the interface is down",
            Self::NoAddress => "the interface has no address to send from",
            Self::Together => "another instance of its group cannot run",
        })
    }
}

impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started; listens first"),
            Self::Owner => f.write_str("started as owner of the addresses (priority 255)"),
            Self::NobodyHeard => f.write_str("no other director was heard"),
            Self::NotTaken => f.write_str("nobody took the addresses that this director gave up"),
            Self::Ordered => f.write_str("as ordered"),
            Self::Together => f.write_str("together with the others of its group"),
            Self::Silent(heard) => write!(f, "{} fell silent", heard.source),
            Self::Yielded(heard) => write!(f, "{} gave up the addresses", heard.source),
            Self::Preempted(heard) => {
                write!(f, "{} has the lower priority, {}", heard.source, heard.priority)
            }
            Self::Greater(heard) => {
                write!(f, "{} has the higher priority, {}", heard.source, heard.priority)
            }
            Self::WinsTie(heard) => {
                write!(f, "{} has the same priority and takes precedence", heard.source)
            }
            Self::GaveUp => f.write_str("gave the addresses up as ordered"),
            Self::Lapsed => f.write_str("the daemon slept so long that another director may have taken over"),
            Self::Stopped(cause) => cause.fmt(f),
        }
    }
}
