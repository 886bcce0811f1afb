//! What this director tells of its part in the pair.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::hooks::{Direction, Ran};
use crate::core::{
    model::Step,
    neighbour::Mac,
    vrrp::{Cause, Role},
};

/// Something that people, scripts or the log have to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The role of a group of instances is another one.
    Changed(Change),
    /// The daemon slept while it was Active.
    Stalled {
        /// What it was Active in.
        group: String,
        /// For how long it did nothing.
        duration: Duration,
    },
    /// Another machine says that a VIP which this director holds is at its own MAC address.
    Duplicate {
        /// The group.
        group: String,
        /// The VIP.
        vip: IpAddr,
        /// Who says so.
        mac: Mac,
    },
    /// A neighbour speaks VRRPv2, which takes no part in the election.
    Version2 {
        /// Where it was heard.
        interface: String,
        /// Who it is.
        source: IpAddr,
        /// The virtual router that it speaks of.
        vrid: u8,
    },
    /// Another director's idea of an instance is not ours.
    Differs {
        /// The instance.
        instance: String,
        /// Who it is.
        source: IpAddr,
        /// What differs.
        what: Difference,
    },
    /// Another director of the cluster is heard.
    PeerHeard {
        /// Its name.
        director: String,
    },
    /// Another director of the cluster is heard on no heartbeat path any more.
    PeerLost {
        /// Its name.
        director: String,
        /// Whether it said that it ends.
        leaving: bool,
    },
    /// Another director of the cluster has other services.
    PeerDiffers {
        /// Its name.
        director: String,
    },
    /// A director is not heard on one heartbeat path, but on others.
    PathSilent {
        /// Name of the path.
        path: String,
        /// Name of the director.
        director: String,
    },
    /// It is heard there again.
    PathHeard {
        /// Name of the path.
        path: String,
        /// Name of the director.
        director: String,
    },
    /// VRRP hears no Active, but a heartbeat path hears one that says that all is well.
    ServiceSilent {
        /// The group.
        group: String,
        /// Name of the Active.
        director: String,
    },
    /// That is over.
    ServiceHeard {
        /// The group.
        group: String,
    },
    /// A program of the operator was run because VIPs move.
    Hook {
        /// The group.
        group: String,
        /// Whose program it is.
        instance: String,
        /// At which point it was run.
        step: Step,
        /// Which way the VIPs move.
        direction: Direction,
        /// What came of it.
        ran: Ran,
        /// How long it took.
        took: Duration,
    },
    /// The VIPs were lost several times in a row: they are not asked for again for a while.
    Damped {
        /// The group.
        group: String,
        /// For how long.
        wait: Duration,
    },
}

/// How the configurations of two directors differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The VIPs.
    Addresses,
    /// The time between advertisements.
    Interval,
}

/// A change of role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name of the group, or of the instance that is one by itself.
    pub group: String,
    /// What it was.
    pub from: Role,
    /// What it is since.
    pub to: Role,
    /// Why.
    pub why: Why,
    /// When, on the caller's clock.
    pub at: Duration,
}

/// Why a role changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// VRRP says so.
    Vrrp {
        /// The instance that it was heard of, or missed in.
        instance: String,
        /// What was heard.
        cause: Cause,
    },
    /// This director cannot hold the VIPs.
    Unfit(Vec<Unfit>),
    /// To Active: another director left the VIPs to this one.
    HandedOver {
        /// Its name.
        director: String,
    },
    /// To Active: another director cannot hold the VIPs any more.
    Left {
        /// Its name.
        director: String,
    },
    /// To Backup: another director is to hold the VIPs.
    Yielded {
        /// Its name.
        to: String,
        /// Why it is.
        because: Yield,
    },
}

impl Why {
    /// Whether the VIPs were lost, rather than given away.
    pub(super) fn is_loss(&self) -> bool {
        match self {
            Self::Vrrp { cause, .. } => *cause == Cause::Lapsed,
            Self::Unfit(reasons) => reasons.iter().all(|reason| {
                matches!(
                    reason,
                    Unfit::LinkDown { .. } | Unfit::NoAddress { .. } | Unfit::Tracked(_)
                )
            }),
            Self::HandedOver { .. } | Self::Left { .. } | Self::Yielded { .. } => false,
        }
    }
}

/// Why another director is to hold the VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Yield {
    /// An operator ordered it.
    Ordered,
    /// It has the higher priority, and asked for them.
    Claimed,
    /// It is Active as well, and stands above this one.
    Several,
    /// It is Active as well, and does not hear this one.
    Deaf,
}

/// Why this director cannot hold VIPs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unfit {
    /// The daemon ends.
    Stopping,
    /// It is no longer configured.
    Removed,
    /// The director is in maintenance.
    Maintenance,
    /// Something that it depends on fails: what, and how.
    Tracked(String),
    /// Another machine claimed a VIP, and the configuration says to give way.
    Duplicate {
        /// The VIP.
        vip: IpAddr,
        /// Who claimed it.
        mac: Mac,
    },
    /// Clients do not reach it there.
    LinkDown {
        /// The interface.
        interface: String,
    },
    /// It cannot advertise there.
    NoAddress {
        /// The interface.
        interface: String,
        /// The family of the VIPs.
        family: Family,
    },
}

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(super) const fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

impl Display for Family {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl Display for Unfit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("the daemon stops"),
            Self::Tracked(fault) => f.write_str(fault),
            Self::Maintenance => f.write_str("the director is in maintenance"),
            Self::Removed => f.write_str("the configuration no longer has it"),
            Self::Duplicate { vip, mac } => write!(f, "{vip} was claimed by {mac}, another machine"),
            Self::LinkDown { interface } => write!(f, "{interface} is down or has no carrier"),
            Self::NoAddress {
                interface,
                family: Family::V4,
            } => {
                write!(f, "{interface} has no IPv4 address of its own to advertise from")
            }
            Self::NoAddress {
                interface,
                family: Family::V6,
            } => {
                write!(
                    f,
                    "{interface} has no usable IPv6 link-local address to advertise from"
                )
            }
        }
    }
}

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vrrp { cause, .. } => cause.fmt(f),
            Self::Unfit(reasons) => {
                for (number, reason) in reasons.iter().enumerate() {
                    let comma = if number > 0 { "; " } else { "" };
                    write!(f, "{comma}{reason}")?;
                }
                Ok(())
            }
            Self::HandedOver { director } => write!(f, "{director} handed the VIPs over"),
            Self::Left { director } => write!(f, "{director} cannot hold the VIPs any more"),
            Self::Yielded { to, because } => match because {
                Yield::Ordered => write!(f, "handed over to {to}, as ordered"),
                Yield::Claimed => write!(f, "handed over to {to}, which has the higher priority"),
                Yield::Several => write!(f, "{to} is Active as well, and stands above this director"),
                Yield::Deaf => write!(f, "{to} is Active as well, and does not hear this director"),
            },
        }
    }
}
