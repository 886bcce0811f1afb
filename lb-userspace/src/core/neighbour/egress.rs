//! What the datapath needs to know to send a frame to a backend, or the reason why it cannot.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether a unicast frame can be sent to it or from it: neither all zeroes nor a group address.
    pub const fn is_unicast(self) -> bool {
        let [a, b, c, d, e, f] = self.0;
        a & 1 == 0 && (a | b | c | d | e | f) != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// A resolved way out to a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHop {
    /// Index of the interface the frame leaves by.
    pub ifindex: u32,
    /// Name of that interface.
    pub ifname: String,
    /// MAC address of that interface.
    pub source_mac: Mac,
    /// MAC address of the next hop.
    pub dest_mac: Mac,
    /// The next hop: the backend itself where it is on the link, a gateway otherwise.
    pub via: IpAddr,
    /// This machine's address that the kernel would send from.
    pub source: Option<IpAddr>,
    /// MTU of the interface, in bytes, without the Ethernet header.
    pub mtu: u32,
}

/// How a backend is reached now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Egress {
    /// Frames can be sent.
    Resolved(NextHop),
    /// They cannot.
    Unresolved(Unresolved),
}

impl Egress {
    /// The way out, on the link or through a gateway.
    ///
    /// # Errors
    /// Why there is none.
    pub fn hop(&self) -> Result<&NextHop, Unresolved> {
        match self {
            Self::Resolved(hop) => Ok(hop),
            Self::Unresolved(reason) => Err(reason.clone()),
        }
    }

    /// The way out for direct routing, which rewrites only the Ethernet header and so needs `backend` on the link.
    ///
    /// # Errors
    /// Why there is none; a way through a gateway is [`Unresolved::NotOnLink`].
    pub fn on_link(&self, backend: IpAddr) -> Result<&NextHop, Unresolved> {
        match self {
            Self::Resolved(hop) if hop.via == backend => Ok(hop),
            Self::Resolved(hop) => Err(Unresolved::NotOnLink {
                gateway: hop.via,
                interface: hop.ifname.clone(),
            }),
            Self::Unresolved(reason) => Err(reason.clone()),
        }
    }
}

/// Why no frame can be sent to a backend; the text is a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Unresolved {
    /// The kernel has no route to it, or one that refuses it.
    #[error("no route: the kernel has no usable route to it (see `ip route get`)")]
    NoRoute,
    /// The address is one of this machine's own.
    #[error("loopback: the address belongs to this machine")]
    Local,
    /// The route says multicast or broadcast.
    #[error("not unicast: the kernel takes the address for multicast or broadcast")]
    NotUnicast,
    /// Its interface has no carrier or is administratively down.
    #[error("interface down: {interface} is down or has no carrier")]
    InterfaceDown {
        /// Name of the interface.
        interface: String,
    },
    /// Its interface was deleted or moved to another namespace.
    #[error("interface gone: {interface} does not exist any more")]
    InterfaceGone {
        /// Last known name of the interface.
        interface: String,
    },
    /// Nobody answered ARP or neighbour solicitations.
    #[error("not answering: {via} does not answer ARP or neighbour discovery on {interface}")]
    NotAnswering {
        /// The next hop that was asked.
        via: IpAddr,
        /// Name of the interface.
        interface: String,
    },
    /// The question is out, the answer is not here yet.
    #[error("not yet resolved: its MAC address is being looked up")]
    NotYetResolved,
    /// Only reachable through a gateway, where the backend's own MAC address is needed.
    #[error(
        "not on-link: the route to it leads through gateway {gateway} on {interface}, and direct routing needs the \
         backend on the same layer-2 network (connect it, or forward by tunnel)"
    )]
    NotOnLink {
        /// The gateway.
        gateway: IpAddr,
        /// Name of the interface towards it.
        interface: String,
    },
    /// The interface or the neighbour has no Ethernet address (a tunnel, a point-to-point link).
    #[error("no MAC address: {interface} is not an Ethernet link")]
    NoLinkLayer {
        /// Name of the interface.
        interface: String,
    },
    /// The kernel could not make a neighbour entry.
    #[error(
        "neighbour table full: the kernel cannot track it (raise net.ipv4.neigh.default.gc_thresh3, or the ipv6 one)"
    )]
    TableFull,
}
