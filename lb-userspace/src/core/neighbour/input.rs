//! What goes into the state machine and what comes out of it.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    egress::{Egress, Mac},
    hop::{Event, ProbeKind},
};

/// How long and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// An address in use is verified this often.
    pub refresh: Duration,
    /// An unresolved one is asked for this often.
    pub retry: Duration,
    /// No answer for this long means: not answering. The kernel itself gives up after three questions, one a second.
    pub answer: Duration,
    /// Between the kernel's FAILED and ours, to tell `ip neigh flush` from a failure.
    pub settle: Duration,
    /// Between two rounds of route lookups, whatever the routing daemon does.
    pub reroute: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(5),
            retry: Duration::from_secs(2),
            answer: Duration::from_secs(5),
            settle: Duration::from_millis(20),
            reroute: Duration::from_millis(250),
        }
    }
}

/// State of a neighbour entry (linux/neighbour.h, NUD_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nud {
    /// Just made, or made by somebody's NTF_USE.
    None,
    /// The kernel is asking.
    Incomplete,
    /// Confirmed lately.
    Reachable,
    /// Not confirmed lately; usable.
    Stale,
    /// In use while stale; about to be verified.
    Delay,
    /// Being verified.
    Probe,
    /// Nobody answered.
    Failed,
    /// The device needs no resolution.
    NoArp,
    /// Set by an administrator.
    Permanent,
}

/// One entry of the kernel's neighbour table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The neighbour's address.
    pub ip: IpAddr,
    /// Its interface.
    pub ifindex: u32,
    /// The entry's state.
    pub nud: Nud,
    /// Its link-layer address, where the entry has one of six bytes.
    pub mac: Option<Mac>,
    /// Somebody else keeps it up to date: the kernel by itself (NTF_EXT_MANAGED) or a routing daemon
    /// (NTF_EXT_LEARNED). Confirming it would take these marks away.
    pub kept: bool,
}

impl Neighbour {
    /// Whether the kernel would send to it without asking anybody first (linux/neighbour.h, NUD_VALID).
    pub fn is_usable(&self) -> bool {
        match self.nud {
            Nud::Reachable | Nud::Stale | Nud::Delay | Nud::Probe | Nud::NoArp | Nud::Permanent => true,
            Nud::None | Nud::Incomplete | Nud::Failed => false,
        }
    }

    /// What the entry tells about the next hop.
    pub(super) fn event(&self) -> Event {
        let answer = |fixed, probing| match self.mac {
            Some(mac) if mac.is_unicast() => Event::Answer { mac, fixed, probing },
            Some(_) | None => Event::NoAddress,
        };
        match self.nud {
            Nud::Reachable | Nud::Stale | Nud::Delay => answer(self.kept, false),
            Nud::Probe => answer(self.kept, true),
            Nud::NoArp | Nud::Permanent => answer(true, false),
            Nud::None | Nud::Incomplete => Event::Resolving,
            Nud::Failed => Event::Failed,
        }
    }
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its index in this namespace.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Its own Ethernet address, where it has one.
    pub mac: Option<Mac>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Administratively up, with a carrier (IFF_UP and IFF_RUNNING).
    pub up: bool,
}

/// What the kernel answers when asked for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Route {
    /// Through this interface; directly where there is no gateway.
    Via {
        /// The outgoing interface.
        ifindex: u32,
        /// The gateway, unless the destination is on the link.
        gateway: Option<IpAddr>,
        /// This machine's address that packets would come from.
        source: Option<IpAddr>,
    },
    /// The address is this machine's own.
    Local,
    /// A multicast, broadcast or anycast address.
    NotUnicast,
    /// None, or one that refuses (unreachable, prohibit, blackhole).
    None,
}

/// A set of addresses that a changed route covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// Any address inside.
    pub address: IpAddr,
    /// Leading bits that count, 0..=32 or 0..=128.
    pub length: u8,
}

impl Prefix {
    /// Whether `ip` is inside; never across address families.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits()).leading_zeros() >= u32::from(self.length.min(32))
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits()).leading_zeros() >= u32::from(self.length.min(128))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// What the outside tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// The answer to [`Output::LookupRoute`].
    Route {
        /// The address that was asked for.
        ip: IpAddr,
        /// The answer.
        route: Route,
    },
    /// Routes to these addresses may have changed; without a prefix, any.
    RoutesChanged(Option<Prefix>),
    /// A neighbour entry is new or has changed.
    Neighbour(Neighbour),
    /// A neighbour entry was deleted, or was asked for and is not there.
    NeighbourDeleted {
        /// The neighbour's address.
        ip: IpAddr,
        /// Its interface.
        ifindex: u32,
    },
    /// The kernel refused to make an entry for [`Output::Probe`]: its table is full.
    TableFull {
        /// The neighbour's address.
        ip: IpAddr,
        /// Its interface.
        ifindex: u32,
    },
    /// An interface is new or has changed.
    Link(Link),
    /// An interface is gone from this namespace.
    LinkDeleted {
        /// Its former index.
        ifindex: u32,
    },
    /// The whole link and neighbour tables, after messages were lost and now and then.
    Snapshot {
        /// Every interface there is.
        links: Vec<Link>,
        /// Every neighbour entry there is.
        neighbours: Vec<Neighbour>,
    },
    /// The time of [`next_deadline`](super::Neighbours::next_deadline) has come.
    Tick,
}

/// What the outside is to do or to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Ask the kernel for the route to this address and answer with [`Input::Route`].
    LookupRoute {
        /// A target.
        ip: IpAddr,
    },
    /// Have the kernel ask for this neighbour.
    Probe {
        /// The next hop.
        ip: IpAddr,
        /// Its interface.
        ifindex: u32,
        /// What to ask.
        kind: ProbeKind,
    },
    /// A backend's egress is not what the last such output said.
    Changed {
        /// The backend.
        address: IpAddr,
        /// How it is reached from now on.
        egress: Egress,
    },
}
