//! VRRP version 3 (RFC 9568), and enough of version 2 (RFC 3768) to recognise it.
//!
//! ```text
//!  0               1               2               3
//! +-------+-------+---------------+---------------+---------------+
//! |Version| Type  | Virtual Rtr ID|   Priority    |Address Count  |
//! +-------+-------+---------------+---------------+---------------+
//! |(rsvd) | Max Advertise Interval|           Checksum            |
//! +-------+-----------------------+-------------------------------+
//! |                     IPv4 or IPv6 addresses                    |
//! ```
//!
//! # The two checksums of IPv4
//! RFC 5798 was read to include a pseudo-header for IPv4 too, and keepalived and Wireshark do so; RFC 9568 section
//! 5.2.8 leaves it out. A receiver that knows only one of them is deaf to half of the field, and a deaf Backup becomes
//! a second Active. Hence both are accepted, [`Repr::coverage`] says which it was, and the sender chooses.

mod refusal;
#[cfg(test)]
mod tests;
pub mod v2;

use core::{
    error::Error,
    fmt::{self, Display, Formatter},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

pub use refusal::Refusal;

use crate::checksum::fold;

/// IANA protocol number.
pub const PROTOCOL: u8 = 112;
/// Where advertisements for IPv4 addresses go (RFC 9568 section 5.1.1.2).
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Where advertisements for IPv6 addresses go (RFC 9568 section 5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The only TTL or hop limit that is sent and accepted (RFC 9568 sections 5.1.1.3 and 5.1.2.3).
pub const HOP_LIMIT: u8 = 255;
/// Most addresses that one advertisement names.
pub const MAX_ADDRESSES: usize = 255;
/// Longest message, in bytes: [`MAX_ADDRESSES`] of IPv6.
pub const MAX_LENGTH: usize = HEADER + MAX_ADDRESSES * 16;

const HEADER: usize = 8;
const VERSION: u8 = 3;
const ADVERTISEMENT: u8 = 1;
/// Where the checksum lies in the header.
const CHECKSUM: core::ops::Range<usize> = 6..8;

/// Time between two advertisements: 1 to 4095 centiseconds (RFC 9568 section 5.2.7; never 0, by its erratum 8301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u16);

impl Interval {
    /// 10 ms.
    pub const MIN: Self = Self(1);
    /// 40.95 s.
    pub const MAX: Self = Self(0x0FFF);

    /// `None` outside of 1..=4095.
    #[must_use]
    pub const fn from_centiseconds(centiseconds: u16) -> Option<Self> {
        if Self::MIN.0 <= centiseconds && centiseconds <= Self::MAX.0 {
            Some(Self(centiseconds))
        } else {
            None
        }
    }

    /// 1..=4095.
    #[must_use]
    pub const fn centiseconds(self) -> u16 {
        self.0
    }

    /// As a time.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }
}

/// Source and destination of the packet that carries a message: the checksum may cover them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoints {
    /// An IPv4 packet.
    V4 {
        /// The sender's primary address.
        source: Ipv4Addr,
        /// [`GROUP_V4`], or a unicast peer.
        destination: Ipv4Addr,
    },
    /// An IPv6 packet.
    V6 {
        /// The sender's link-local address.
        source: Ipv6Addr,
        /// [`GROUP_V6`], or a unicast peer.
        destination: Ipv6Addr,
    },
}

impl Endpoints {
    /// Who sent the packet.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        match *self {
            Self::V4 { source, .. } => IpAddr::V4(source),
            Self::V6 { source, .. } => IpAddr::V6(source),
        }
    }

    const fn address_length(&self) -> usize {
        match self {
            Self::V4 { .. } => 4,
            Self::V6 { .. } => 16,
        }
    }

    /// Sum of the pseudo-header's words (RFC 8200 section 8.1; for IPv4 in the manner of RFC 9293).
    fn pseudo_header(&self, length: usize) -> u64 {
        let addresses = match self {
            Self::V4 { source, destination } => sum(&source.octets()) + sum(&destination.octets()),
            Self::V6 { source, destination } => sum(&source.octets()) + sum(&destination.octets()),
        };
        addresses + u64::from(PROTOCOL) + length as u64
    }
}

/// The virtual addresses of an advertisement, each in network order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Addresses<'a> {
    /// IPv4 addresses.
    V4(&'a [[u8; 4]]),
    /// IPv6 addresses, of which the first is link-local.
    V6(&'a [[u8; 16]]),
}

impl Addresses<'_> {
    /// How many.
    #[must_use]
    pub const fn count(&self) -> usize {
        match self {
            Self::V4(addresses) => addresses.len(),
            Self::V6(addresses) => addresses.len(),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::V4(addresses) => addresses.as_flattened(),
            Self::V6(addresses) => addresses.as_flattened(),
        }
    }
}

/// What a checksum covers. IPv6 knows only [`Coverage::PseudoHeader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// The message and the pseudo-header: IPv6; IPv4 as in RFC 5798.
    PseudoHeader,
    /// The message alone: IPv4 as in RFC 9568.
    Message,
}

/// An advertisement (RFC 9568 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Repr<'a> {
    /// Virtual router identifier. 0 is in nobody's use.
    pub vrid: u8,
    /// 255: the owner of the addresses; 0: the sender gives them up.
    pub priority: u8,
    /// Time until the sender's next advertisement, at most.
    pub interval: Interval,
    /// What the checksum covers.
    pub coverage: Coverage,
    /// The virtual addresses.
    pub addresses: Addresses<'a>,
}

impl<'a> Repr<'a> {
    /// The advertisement in `message`, which came in a packet between `endpoints` with this TTL or hop limit.
    ///
    /// Checks what RFC 9568 section 7.1 asks of the message itself; that its VRID is one of ours is the caller's to
    /// check. Bytes behind the last address are ignored, as the checksum does not cover them.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn parse(message: &'a [u8], endpoints: &Endpoints, hop_limit: u8) -> Result<Self, Refusal> {
        if hop_limit != HOP_LIMIT {
            return Err(Refusal::HopLimit);
        }
        let header: &[u8; HEADER] = message.first_chunk().ok_or(Refusal::Truncated)?;
        let [kind, vrid, priority, count, interval @ .., _, _] = *header;
        match kind >> 4 {
            VERSION => {}
            2 => return Err(Refusal::Version2),
            _ => return Err(Refusal::UnknownVersion),
        }
        if kind & 0x0F != ADVERTISEMENT {
            return Err(Refusal::UnknownType);
        }
        let length = HEADER + usize::from(count) * endpoints.address_length();
        let message = message.get(..length).ok_or(Refusal::Truncated)?;
        let coverage = coverage(message, endpoints).ok_or(Refusal::Checksum)?;
        let addresses = match endpoints {
            Endpoints::V4 { .. } => Addresses::V4(message[HEADER..].as_chunks().0),
            Endpoints::V6 { .. } => Addresses::V6(message[HEADER..].as_chunks().0),
        };
        if addresses.count() == 0 {
            return Err(Refusal::NoAddresses);
        }
        // The upper four bits are reserved: set by nobody, read by nobody.
        let centiseconds = u16::from_be_bytes(interval) & 0x0FFF;
        Ok(Self {
            vrid,
            priority,
            interval: Interval::from_centiseconds(centiseconds).ok_or(Refusal::IntervalZero)?,
            coverage,
            addresses,
        })
    }

    /// Length of the message, in bytes: at most [`MAX_LENGTH`], if there are not too many addresses.
    #[must_use]
    pub const fn length(&self) -> usize {
        let each = match self.addresses {
            Addresses::V4(_) => 4,
            Addresses::V6(_) => 16,
        };
        HEADER + self.addresses.count() * each
    }

    /// Writes the message to the start of `buffer`, for a packet between `endpoints`, and returns what was written.
    ///
    /// # Errors
    /// If what there is to say cannot be said in one message; `buffer` is untouched then.
    pub fn emit<'b>(&self, endpoints: &Endpoints, buffer: &'b mut [u8]) -> Result<&'b [u8], Unsendable> {
        let addresses = self.addresses.as_bytes();
        match (self.addresses, endpoints) {
            (Addresses::V4(_), Endpoints::V4 { .. }) | (Addresses::V6(_), Endpoints::V6 { .. }) => {}
            (Addresses::V4(_), Endpoints::V6 { .. }) | (Addresses::V6(_), Endpoints::V4 { .. }) => {
                return Err(Unsendable::OtherFamily);
            }
        }
        let count = self.addresses.count();
        let count = u8::try_from(count).map_err(|_| Unsendable::TooManyAddresses { count })?;
        if count == 0 {
            return Err(Unsendable::NoAddresses);
        }
        let length = self.length();
        let room = buffer.len();
        let message = buffer
            .get_mut(..length)
            .ok_or(Unsendable::NoRoom { length, room })?;
        let [high, low] = self.interval.0.to_be_bytes();
        let kind = VERSION << 4 | ADVERTISEMENT;
        message[..HEADER].copy_from_slice(&[kind, self.vrid, self.priority, count, high, low, 0, 0]);
        message[HEADER..].copy_from_slice(addresses);
        let checksum = match (endpoints, self.coverage) {
            (Endpoints::V4 { .. }, Coverage::Message) => !fold(sum(message)),
            (Endpoints::V4 { .. }, Coverage::PseudoHeader) | (Endpoints::V6 { .. }, _) => {
                !fold(sum(message) + endpoints.pseudo_header(length))
            }
        };
        message[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
        Ok(message)
    }
}

/// Why an advertisement cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unsendable {
    /// The addresses are of one family, the packet of the other.
    OtherFamily,
    /// There is nothing to advertise.
    NoAddresses,
    /// More than [`MAX_ADDRESSES`].
    TooManyAddresses {
        /// How many there are.
        count: usize,
    },
    /// The buffer is shorter than the message.
    NoRoom {
        /// What the message needs, in bytes.
        length: usize,
        /// What the buffer has, in bytes.
        room: usize,
    },
}

impl Display for Unsendable {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherFamily => f.write_str(
                "an advertisement carries the addresses of its packet's family only: send one for each",
            ),
            Self::NoAddresses => {
                f.write_str("an advertisement names at least one address: give the instance one")
            }
            Self::TooManyAddresses { count } => write!(
                f,
                "{count} addresses do not fit an advertisement, which holds {MAX_ADDRESSES}: divide them among instances"
            ),
            Self::NoRoom { length, room } => {
                write!(
                    f,
                    "the advertisement has {length} bytes and the buffer {room}: give it room"
                )
            }
        }
    }
}

impl Error for Unsendable {}

/// What the checksum of a message covers; `None` if it is wrong.
fn coverage(message: &[u8], endpoints: &Endpoints) -> Option<Coverage> {
    let sum = sum(message);
    if fold(sum + endpoints.pseudo_header(message.len())) == 0xFFFF {
        return Some(Coverage::PseudoHeader);
    }
    (matches!(endpoints, Endpoints::V4 { .. }) && fold(sum) == 0xFFFF).then_some(Coverage::Message)
}

/// Sum of 16-bit words, none of which is lost: a message has at most [`MAX_LENGTH`] bytes, and an even number of them.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|&word| u64::from(u16::from_be_bytes(word)))
        .sum()
}
