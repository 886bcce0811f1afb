//! How packets get to a backend.

use core::net::IpAddr;

/// A MAC address.
pub type Mac = [u8; 6];

/// The next hop on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// Its MAC address.
    pub destination: Mac,
    /// The MAC address of the interface by which it is reached.
    pub source: Mac,
    /// That interface.
    pub ifindex: u32,
}

/// How packets get to a backend, all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Direct routing: the frame gets other MAC addresses.
    Direct(Link),
    /// The packet gets another header in front.
    Tunnel(Link, Tunnel),
    /// The packet gets the backend's address and port as its destination, and replies come back this way.
    Translated(Link, Server),
    /// The backend is this machine.
    Local,
}

/// What is put into a packet that is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server {
    /// Port that the backend's server listens at; `None`: that of the VIP.
    pub port: Option<u16>,
    /// Longest packet on the way to the backend.
    pub mtu: u16,
    /// Whether it comes from an address of the director's: from the service's pool.
    pub pool: bool,
}

/// What is put in front of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// The headers between the outer network header and the packet.
    pub encapsulation: Encapsulation,
    /// Source of the outer header: an address of this machine, of the backend's family.
    pub source: IpAddr,
    /// Longest packet on the way to the backend, outer header included.
    pub mtu: u16,
}

/// The headers between the outer network header and the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// None: IP in IP (RFC 2003, RFC 2473).
    Ipip,
    /// UDP and Generic UDP Encapsulation, variant 0 (draft-ietf-intarea-gue).
    Gue {
        /// Destination port of the UDP header.
        port: u16,
        /// Whether the UDP header has a checksum.
        checksum: bool,
    },
    /// Generic Routing Encapsulation (RFC 2784).
    Gre {
        /// Whether the GRE header has a checksum.
        checksum: bool,
    },
}

/// Which of these, as a number in the backend's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// [`Way::Direct`]. Zero, so that the common path needs one comparison for this and for whether there is a way.
    Direct = 0,
    /// [`Way::Local`].
    Local = 1,
    /// [`Encapsulation::Ipip`].
    Ipip = 2,
    /// [`Encapsulation::Gue`].
    Gue = 3,
    /// [`Encapsulation::Gre`].
    Gre = 4,
    /// [`Way::Translated`].
    Translated = 5,
}

impl Method {
    /// The method with this number.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Direct),
            1 => Some(Self::Local),
            2 => Some(Self::Ipip),
            3 => Some(Self::Gue),
            4 => Some(Self::Gre),
            5 => Some(Self::Translated),
            _ => None,
        }
    }
}

impl Encapsulation {
    /// Bytes between the outer network header and the packet.
    #[must_use]
    pub const fn length(self) -> u16 {
        match self {
            Self::Ipip => 0,
            Self::Gue { .. } => 12,
            Self::Gre { checksum: false } => 4,
            Self::Gre { checksum: true } => 8,
        }
    }
}

impl Tunnel {
    /// Bytes that are put in front of a packet.
    #[must_use]
    pub const fn overhead(&self) -> u16 {
        let outer = match self.source {
            IpAddr::V4(_) => 20,
            IpAddr::V6(_) => 40,
        };
        outer + self.encapsulation.length()
    }
}
