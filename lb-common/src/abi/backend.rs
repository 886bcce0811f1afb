//! Backends as the packet path needs them.

use core::net::{IpAddr, Ipv6Addr};

use super::Method;
#[cfg(not(target_arch = "bpf"))]
use super::{Encapsulation, Link, Server, Tunnel, Way};
use crate::flow_table::{HalfWord, Word};

/// A backend of a service: one cache line.
///
/// The tail word holds the status: it is written last and read first, so that a packet never leaves by the new
/// interface with the old address.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct BackendEntry {
    /// Destination MAC and the first two bytes of the source MAC, as they lie in a frame.
    head: Word,
    /// See [`Tail`].
    tail: Word,
    /// Interface by which the backend is reached.
    ifindex: HalfWord,
    /// Number of the service.
    service: HalfWord,
    /// Address; IPv4 as IPv4-mapped IPv6. All zero in an entry that is not in use.
    address: [Word; 2],
    /// This machine's address towards the backend, likewise.
    source: [Word; 2],
    /// Port (bits 0..16, as on the wire; 0: that of the VIP) and the longest packet that fits (16..32); the rest is 0.
    limits: Word,
}

const _: () = assert!(size_of::<BackendEntry>() == 64);

/// The last four bytes of the source MAC (bits 0..32), status (32..40), [`Method`] (40..48), flags (48..64).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tail(u64);

const STATUS: u64 = 0xFF << 32;
const READY: u64 = 1 << 32;
const METHOD_SHIFT: u32 = 40;
const METHOD: u64 = 0xFF << METHOD_SHIFT;
/// The method is to write a checksum.
const CHECKSUM: u64 = 1 << 48;
/// The backend's address is an IPv6 address.
const IPV6: u64 = 1 << 49;
/// Packets come from the service's pool.
const POOL: u64 = 1 << 50;

impl Tail {
    /// Whether packets can be sent, by direct routing. One comparison, for nearly every packet.
    #[inline(always)]
    #[must_use]
    pub const fn is_direct(self) -> bool {
        self.0 & (STATUS | METHOD) == READY | (Method::Direct as u64) << METHOD_SHIFT
    }

    /// Whether packets can be sent.
    #[inline(always)]
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.0 & READY != 0
    }

    /// Number of the [`Method`].
    #[inline(always)]
    #[must_use]
    pub const fn method(self) -> u8 {
        (self.0 >> METHOD_SHIFT) as u8
    }

    /// Whether the method is to write a checksum.
    #[inline(always)]
    #[must_use]
    pub const fn checksum(self) -> bool {
        self.0 & CHECKSUM != 0
    }

    /// Whether the backend's address is an IPv6 address.
    #[inline(always)]
    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        self.0 & IPV6 != 0
    }

    /// Whether packets are translated.
    #[inline(always)]
    #[must_use]
    pub const fn is_translated(self) -> bool {
        self.method() == Method::Translated as u8
    }

    /// Whether translated packets come from the service's pool.
    #[inline(always)]
    #[must_use]
    pub const fn has_pool(self) -> bool {
        self.0 & POOL != 0
    }

    /// The last four bytes of the source MAC, as they lie in a frame.
    #[inline(always)]
    #[must_use]
    pub const fn mac(self) -> u32 {
        self.0 as u32
    }
}

impl BackendEntry {
    /// The word that is read first.
    #[inline(always)]
    #[must_use]
    pub fn tail(&self) -> Tail {
        Tail(self.tail.load())
    }

    /// The first eight bytes of a frame to this backend.
    #[inline(always)]
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head.load()
    }

    /// Interface by which the backend is reached.
    #[inline(always)]
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex.load()
    }

    /// Whether the entry speaks of a backend.
    #[inline(always)]
    #[must_use]
    pub fn in_use(&self) -> bool {
        self.address[0].load() | self.address[1].load() != 0
    }

    /// Number of the service.
    #[inline(always)]
    #[must_use]
    pub fn service(&self) -> u32 {
        self.service.load()
    }

    /// The backend's IPv4 address, as it lies in a packet.
    #[inline(always)]
    #[must_use]
    pub fn address4(&self) -> u32 {
        second_half(self.address[1].load())
    }

    /// The backend's IPv6 address, as it lies in a packet.
    #[inline(always)]
    #[must_use]
    pub fn address6(&self) -> [u64; 2] {
        [self.address[0].load(), self.address[1].load()]
    }

    /// This machine's IPv4 address towards the backend, as it lies in a packet.
    #[inline(always)]
    #[must_use]
    pub fn source4(&self) -> u32 {
        second_half(self.source[1].load())
    }

    /// This machine's IPv6 address towards the backend, as it lies in a packet.
    #[inline(always)]
    #[must_use]
    pub fn source6(&self) -> [u64; 2] {
        [self.source[0].load(), self.source[1].load()]
    }

    /// The port, as it lies in a packet.
    #[inline(always)]
    #[must_use]
    pub fn port(&self) -> u16 {
        self.limits.load() as u16
    }

    /// Longest packet that fits into the tunnel, or on the way, in bytes.
    #[inline(always)]
    #[must_use]
    pub fn longest(&self) -> u16 {
        (self.limits.load() >> 16) as u16
    }

    /// The backend's address; `None` in an entry that is not in use.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        join(&self.address)
    }
}

/// The last four bytes of a word, as they lie in memory: where an IPv4-mapped address has the IPv4 address.
#[inline(always)]
const fn second_half(word: u64) -> u32 {
    if cfg!(target_endian = "big") {
        word as u32
    } else {
        (word >> 32) as u32
    }
}

/// The address in these words; `None` where all is zero.
fn join(words: &[Word; 2]) -> Option<IpAddr> {
    let [a, b] = words.each_ref().map(|word| word.load().to_ne_bytes());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a);
    bytes[8..].copy_from_slice(&b);
    let address = Ipv6Addr::from(bytes);
    (!address.is_unspecified()).then(|| address.to_canonical())
}

/// Writing, and reading what is written at once; by the daemon alone.
#[cfg(not(target_arch = "bpf"))]
impl BackendEntry {
    /// Makes the entry speak of this backend, to which no way is known.
    pub fn assign(&self, address: IpAddr, service: u32) {
        self.tail.publish(0);
        split(&self.address, Some(address));
        self.service.store(service);
    }

    /// How packets get to the backend; `None` while nobody knows.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        let tail = self.tail();
        if !tail.is_ready() {
            return None;
        }
        let [d0, d1, d2, d3, d4, d5, s0, s1] = self.head().to_ne_bytes();
        let [s2, s3, s4, s5] = tail.mac().to_ne_bytes();
        let link = Link {
            destination: [d0, d1, d2, d3, d4, d5],
            source: [s0, s1, s2, s3, s4, s5],
            ifindex: self.ifindex(),
        };
        let encapsulation = match Method::from_number(tail.method())? {
            Method::Direct => return Some(Way::Direct(link)),
            Method::Local => return Some(Way::Local),
            Method::Ipip => Encapsulation::Ipip,
            Method::Gue => Encapsulation::Gue {
                port: u16::from_be(self.port()),
                checksum: tail.checksum(),
            },
            Method::Gre => Encapsulation::Gre {
                checksum: tail.checksum(),
            },
            Method::Translated => {
                let server = Server {
                    port: Some(u16::from_be(self.port())).filter(|port| *port != 0),
                    mtu: self.longest(),
                    pool: tail.has_pool(),
                };
                return Some(Way::Translated(link, server));
            }
        };
        let mut tunnel = Tunnel {
            encapsulation,
            source: join(&self.source)?,
            mtu: 0,
        };
        tunnel.mtu = self.longest().saturating_add(tunnel.overhead());
        Some(Way::Tunnel(link, tunnel))
    }

    /// Sets how packets get to the backend, or that nobody knows.
    pub fn set_way(&self, way: Option<&Way>) {
        if self.way().as_ref() == way {
            return;
        }
        // More than one word changes: nobody may use the entry in between.
        self.tail.publish(self.tail.load() & !STATUS);
        let Some(way) = way else { return };
        let (link, source, method, limits, flags) = match *way {
            Way::Direct(link) => (link, None, Method::Direct, 0, 0),
            Way::Local => (Link::default(), None, Method::Local, 0, 0),
            Way::Translated(link, server) => {
                let port = server.port.unwrap_or(0).to_be();
                let limits = u64::from(port) | u64::from(server.mtu) << 16;
                let pool = if server.pool { POOL } else { 0 };
                (link, None, Method::Translated, limits, pool)
            }
            Way::Tunnel(link, tunnel) => {
                let (method, port, checksum) = match tunnel.encapsulation {
                    Encapsulation::Ipip => (Method::Ipip, 0, false),
                    Encapsulation::Gue { port, checksum } => (Method::Gue, port, checksum),
                    Encapsulation::Gre { checksum } => (Method::Gre, 0, checksum),
                };
                let longest = tunnel.mtu.saturating_sub(tunnel.overhead());
                let limits = u64::from(port.to_be()) | u64::from(longest) << 16;
                let checksum = if checksum { CHECKSUM } else { 0 };
                let ipv6 = if tunnel.source.is_ipv6() { IPV6 } else { 0 };
                (link, Some(tunnel.source), method, limits, checksum | ipv6)
            }
        };
        let [d0, d1, d2, d3, d4, d5] = link.destination;
        let [s0, s1, s2, s3, s4, s5] = link.source;
        self.head
            .publish(u64::from_ne_bytes([d0, d1, d2, d3, d4, d5, s0, s1]));
        self.ifindex.store(link.ifindex);
        split(&self.source, source);
        self.limits.publish(limits);
        let mac = u64::from(u32::from_ne_bytes([s2, s3, s4, s5]));
        self.tail
            .publish(mac | READY | (method as u64) << METHOD_SHIFT | flags);
    }

    /// Makes the entry free.
    pub fn clear(&self) {
        self.tail.publish(0);
        split(&self.address, None);
    }
}

/// Writes an address into words, or zeroes.
#[cfg(not(target_arch = "bpf"))]
fn split(words: &[Word; 2], address: Option<IpAddr>) {
    let address = match address {
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped(),
        Some(IpAddr::V6(address)) => address,
        None => Ipv6Addr::UNSPECIFIED,
    };
    for (word, value) in words.iter().zip(crate::packet::address_words(address)) {
        word.publish(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const LINK: Link = Link {
        destination: [1, 2, 3, 4, 5, 6],
        source: [7, 8, 9, 10, 11, 12],
        ifindex: 3,
    };

    fn ways() -> Vec<Way> {
        let encapsulations = [
            Encapsulation::Ipip,
            Encapsulation::Gue {
                port: 6080,
                checksum: false,
            },
            Encapsulation::Gue {
                port: 0x1234,
                checksum: true,
            },
            Encapsulation::Gre { checksum: false },
            Encapsulation::Gre { checksum: true },
        ];
        let mut ways = std::vec![Way::Direct(LINK), Way::Local];
        for encapsulation in encapsulations {
            for source in ["192.0.2.2", "2001:db8::d:2"] {
                let tunnel = Tunnel {
                    encapsulation,
                    source: source.parse().unwrap(),
                    mtu: 1500,
                };
                ways.push(Way::Tunnel(LINK, tunnel));
            }
        }
        for (port, pool) in [(None, false), (Some(8080), false), (Some(1), true)] {
            ways.push(Way::Translated(
                LINK,
                Server {
                    port,
                    mtu: 1500,
                    pool,
                },
            ));
        }
        ways
    }

    #[test]
    fn what_is_written_is_read() {
        let entry = BackendEntry::default();
        assert_eq!((entry.address(), entry.way()), (None, None));
        for address in ["10.0.0.11", "2001:db8::11"] {
            let address: IpAddr = address.parse().unwrap();
            entry.assign(address, 7);
            assert_eq!(
                (entry.address(), entry.service(), entry.way()),
                (Some(address), 7, None)
            );
            for way in ways() {
                entry.set_way(Some(&way));
                assert_eq!(entry.way(), Some(way));
                assert_eq!(entry.tail().is_direct(), matches!(way, Way::Direct(_)));
                entry.set_way(None);
                assert_eq!(entry.way(), None);
                assert!(!entry.tail().is_direct());
            }
        }
        entry.clear();
        assert_eq!(entry.address(), None);
    }

    #[test]
    fn the_words_are_as_they_lie_in_a_packet() {
        let entry = BackendEntry::default();
        entry.assign("10.0.0.11".parse().unwrap(), 0);
        let [_, _, _, _, tunnel, ..] = ways()[..] else {
            panic!("there are more ways");
        };
        entry.set_way(Some(&tunnel));
        assert_eq!(entry.head().to_ne_bytes(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(entry.tail().mac().to_ne_bytes(), [9, 10, 11, 12]);
        assert_eq!(entry.ifindex(), 3);
        assert_eq!(entry.address4().to_ne_bytes(), [10, 0, 0, 11]);
        assert_eq!(entry.source4().to_ne_bytes(), [192, 0, 2, 2]);
        assert_eq!(entry.port().to_ne_bytes(), 6080u16.to_be_bytes());
        assert_eq!(entry.longest(), 1500 - 32);
        assert!(!entry.tail().is_ipv6());
    }

    #[test]
    fn overheads_are_those_of_the_formats() {
        let overheads: Vec<u16> = ways()
            .iter()
            .filter_map(|way| match way {
                Way::Tunnel(_, tunnel) => Some(tunnel.overhead()),
                Way::Direct(_) | Way::Translated(..) | Way::Local => None,
            })
            .collect();
        assert_eq!(overheads, [20, 40, 32, 52, 32, 52, 24, 44, 28, 48]);
    }
}
