//! What names a flow: addresses, ports and protocol, as 64-bit words in the order in which the flow table stores them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::protocol;
use crate::{
    abi::{HashFields, Keeper, Persistence},
    hash::Seed,
};

/// Addresses, ports and protocol of a flow, for people and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// The client.
    pub source: IpAddr,
    /// The VIP.
    pub destination: IpAddr,
    /// The client's port.
    pub source_port: u16,
    /// The service's port.
    pub destination_port: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

/// Ports and protocol in one word: source port, destination port (network order), protocol; the rest is 0.
#[inline(always)]
const fn tail(ports: u32, protocol: u8) -> u64 {
    ports as u64 | (protocol as u64) << 32
}

/// The ports of an answer: the server's own or else that which was asked for, and that which asked.
#[inline(always)]
const fn answer_ports(own: u16, asked: u32) -> u32 {
    if own == 0 {
        asked.rotate_left(16)
    } else {
        own as u32 | asked << 16
    }
}

fn pack_ports(source: u16, destination: u16) -> u32 {
    u32::from(source.to_be()) | u32::from(destination.to_be()) << 16
}

fn unpack_tail(tail: u64) -> (u16, u16, u8) {
    (
        u16::from_be(tail as u16),
        u16::from_be((tail >> 16) as u16),
        (tail >> 32) as u8,
    )
}

/// Key of an IPv4 flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey4 {
    /// Source address in the lower, destination address in the upper half (network order), then ports and protocol.
    pub words: [u64; 2],
}

impl FlowKey4 {
    /// From the fields of a packet, all in network order as they lie in memory.
    #[inline(always)]
    #[must_use]
    pub const fn new(source: u32, destination: u32, ports: u32, protocol: u8) -> Self {
        Self {
            words: [source as u64 | (destination as u64) << 32, tail(ports, protocol)],
        }
    }

    /// Source address.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> u32 {
        self.words[0] as u32
    }

    /// Destination address.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> u32 {
        (self.words[0] >> 32) as u32
    }

    /// Source port in the lower, destination port in the upper half.
    #[inline(always)]
    #[must_use]
    pub const fn ports(&self) -> u32 {
        self.words[1] as u32
    }

    /// IANA protocol number.
    #[inline(always)]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        (self.words[1] >> 32) as u8
    }

    /// The way back.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self::new(
            self.destination(),
            self.source(),
            self.ports().rotate_left(16),
            self.protocol(),
        )
    }

    /// The way back from a server at this address, whose port is `port` or, if that is 0, the one that was asked for.
    #[inline(always)]
    #[must_use]
    pub const fn answered_by(&self, server: u32, port: u16) -> Self {
        let ports = answer_ports(port, self.ports());
        Self::new(server, self.source(), ports, self.protocol())
    }

    /// The same to another address and port.
    #[inline(always)]
    #[must_use]
    pub const fn redirected(&self, to: u32, port: u16) -> Self {
        let ports = self.ports() & 0xFFFF | (port as u32) << 16;
        Self::new(self.source(), to, ports, self.protocol())
    }

    /// Keyed hash.
    #[inline(always)]
    #[must_use]
    pub const fn hash(&self, seed: &Seed) -> u64 {
        seed.hash2(self.words)
    }

    /// The key with zeroes for what a schedule's hash is not over.
    #[inline(always)]
    #[must_use]
    pub const fn masked(&self, fields: HashFields) -> Self {
        let source = if fields.source() { u32::MAX as u64 } else { 0 };
        let destination = if fields.destination() {
            (u32::MAX as u64) << 32
        } else {
            0
        };
        Self {
            words: [
                self.words[0] & (source | destination),
                self.words[1] & fields.tail_mask(),
            ],
        }
    }
}

impl FlowKey4 {
    /// Key of the template for the client of this flow, or the `replica`-th one for its destination.
    #[inline(always)]
    #[must_use]
    pub const fn template(&self, persistence: Persistence, replica: u32) -> Self {
        let (keeper, number) = match persistence.keeper {
            Keeper::Client => (self.words[0] as u32, 0),
            Keeper::Destination | Keeper::Destinations => ((self.words[0] >> 32) as u32, 1 + replica),
        };
        Self::new(
            keeper & persistence.mask_v4(),
            number,
            persistence.service,
            protocol::TEMPLATE,
        )
    }
}

impl From<FlowKey4> for FlowKey {
    fn from(key: FlowKey4) -> Self {
        let (source_port, destination_port, protocol) = unpack_tail(key.words[1]);
        let address = |raw: u32| IpAddr::V4(Ipv4Addr::from(raw.to_ne_bytes()));
        Self {
            source: address(key.words[0] as u32),
            destination: address((key.words[0] >> 32) as u32),
            source_port,
            destination_port,
            protocol,
        }
    }
}

/// Key of an IPv6 flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey6 {
    /// Ports and protocol, then source address, then destination address (network order, two words each).
    pub words: [u64; 5],
}

impl FlowKey6 {
    /// From the fields of a packet, all in network order as they lie in memory.
    #[inline(always)]
    #[must_use]
    pub const fn new(source: [u64; 2], destination: [u64; 2], ports: u32, protocol: u8) -> Self {
        Self {
            words: [
                tail(ports, protocol),
                source[0],
                source[1],
                destination[0],
                destination[1],
            ],
        }
    }

    /// Source address.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> [u64; 2] {
        [self.words[1], self.words[2]]
    }

    /// Destination address.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> [u64; 2] {
        [self.words[3], self.words[4]]
    }

    /// Source port in the lower, destination port in the upper half.
    #[inline(always)]
    #[must_use]
    pub const fn ports(&self) -> u32 {
        self.words[0] as u32
    }

    /// IANA protocol number.
    #[inline(always)]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        (self.words[0] >> 32) as u8
    }

    /// The way back.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self::new(
            self.destination(),
            self.source(),
            self.ports().rotate_left(16),
            self.protocol(),
        )
    }

    /// The way back from a server at this address, whose port is `port` or, if that is 0, the one that was asked for.
    #[inline(always)]
    #[must_use]
    pub const fn answered_by(&self, server: [u64; 2], port: u16) -> Self {
        let ports = answer_ports(port, self.ports());
        Self::new(server, self.source(), ports, self.protocol())
    }

    /// The same to another address and port.
    #[inline(always)]
    #[must_use]
    pub const fn redirected(&self, to: [u64; 2], port: u16) -> Self {
        let ports = self.ports() & 0xFFFF | (port as u32) << 16;
        Self::new(self.source(), to, ports, self.protocol())
    }

    /// Keyed hash.
    #[inline(always)]
    #[must_use]
    pub const fn hash(&self, seed: &Seed) -> u64 {
        seed.hash5(self.words)
    }

    /// The key with zeroes for what a schedule's hash is not over.
    #[inline(always)]
    #[must_use]
    pub const fn masked(&self, fields: HashFields) -> Self {
        let source = if fields.source() { u64::MAX } else { 0 };
        let destination = if fields.destination() { u64::MAX } else { 0 };
        let [tail, s0, s1, d0, d1] = self.words;
        Self {
            words: [
                tail & fields.tail_mask(),
                s0 & source,
                s1 & source,
                d0 & destination,
                d1 & destination,
            ],
        }
    }
}

impl FlowKey6 {
    /// Key of the template for the client of this flow, or the `replica`-th one for its destination.
    #[inline(always)]
    #[must_use]
    pub const fn template(&self, persistence: Persistence, replica: u32) -> Self {
        let (keeper, number) = match persistence.keeper {
            Keeper::Client => ([self.words[1], self.words[2]], 0),
            Keeper::Destination | Keeper::Destinations => {
                ([self.words[3], self.words[4]], 1 + replica as u64)
            }
        };
        let [first, second] = persistence.mask_v6();
        let source = [keeper[0] & first, keeper[1] & second];
        Self::new(source, [0, number], persistence.service, protocol::TEMPLATE)
    }
}

impl From<FlowKey6> for FlowKey {
    fn from(key: FlowKey6) -> Self {
        let (source_port, destination_port, protocol) = unpack_tail(key.words[0]);
        let address = |a: u64, b: u64| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&a.to_ne_bytes());
            bytes[8..].copy_from_slice(&b.to_ne_bytes());
            IpAddr::V6(Ipv6Addr::from(bytes))
        };
        Self {
            source: address(key.words[1], key.words[2]),
            destination: address(key.words[3], key.words[4]),
            source_port,
            destination_port,
            protocol,
        }
    }
}

/// The two words of an IPv6 address, as they lie in a packet.
#[must_use]
pub fn address_words(address: Ipv6Addr) -> [u64; 2] {
    let bytes = address.octets();
    let (a, b) = bytes.split_at(8);
    let word = |half: &[u8]| {
        let mut word = [0; 8];
        word.copy_from_slice(half);
        u64::from_ne_bytes(word)
    };
    [word(a), word(b)]
}

impl FlowKey {
    /// The key as the IPv4 table stores it; `None` for addresses of another family.
    #[must_use]
    pub fn to_v4(&self) -> Option<FlowKey4> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (self.source, self.destination) else {
            return None;
        };
        let raw = |address: Ipv4Addr| u32::from_ne_bytes(address.octets());
        let ports = pack_ports(self.source_port, self.destination_port);
        Some(FlowKey4::new(raw(source), raw(destination), ports, self.protocol))
    }

    /// The key as the IPv6 table stores it; `None` for addresses of another family.
    #[must_use]
    pub fn to_v6(&self) -> Option<FlowKey6> {
        let (IpAddr::V6(source), IpAddr::V6(destination)) = (self.source, self.destination) else {
            return None;
        };
        let ports = pack_ports(self.source_port, self.destination_port);
        Some(FlowKey6::new(
            address_words(source),
            address_words(destination),
            ports,
            self.protocol,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{SocketAddrV4, SocketAddrV6};

    fn key(source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> FlowKey {
        FlowKey {
            source: source.into(),
            destination: destination.into(),
            source_port: 0x1234,
            destination_port: 443,
            protocol: 6,
        }
    }

    #[test]
    fn a_key_is_what_lies_in_the_packet() {
        let wire = |a: [u8; 4]| u32::from_ne_bytes(a);
        let ports = u32::from_le_bytes([0x12, 0x34, 0x01, 0xBB]);
        let packed = FlowKey4::new(wire([198, 51, 100, 7]), wire([192, 0, 2, 10]), ports, 6);
        let key = key([198, 51, 100, 7], [192, 0, 2, 10]);
        assert_eq!(FlowKey::from(packed), key);
        assert_eq!(key.to_v4(), Some(packed));
        assert_eq!(key.to_v6(), None);
    }

    #[test]
    fn families_do_not_mix() {
        let mixed = key(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
        assert_eq!((mixed.to_v4(), mixed.to_v6()), (None, None));
    }

    #[test]
    fn a_masked_key_has_what_the_hash_is_over() {
        let v4 = key([198, 51, 100, 7], [192, 0, 2, 10]);
        let v6 = key(
            Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6),
            Ipv6Addr::new(0x2001, 0xdb8, 6, 5, 4, 3, 2, 1),
        );
        for bits in 0..16u8 {
            let has = |bit: u8| bits & 1 << bit != 0;
            let fields = HashFields::new(has(0), has(1), has(2), has(3));
            for key in [v4, v6] {
                let none: IpAddr = if key.source.is_ipv4() {
                    Ipv4Addr::UNSPECIFIED.into()
                } else {
                    Ipv6Addr::UNSPECIFIED.into()
                };
                let expected = FlowKey {
                    source: if has(0) { key.source } else { none },
                    source_port: if has(1) { key.source_port } else { 0 },
                    destination: if has(2) { key.destination } else { none },
                    destination_port: if has(3) { key.destination_port } else { 0 },
                    protocol: if has(3) { key.protocol } else { 0 },
                };
                let masked = match key.to_v4() {
                    Some(key) => key.masked(fields).into(),
                    None => FlowKey::from(key.to_v6().unwrap().masked(fields)),
                };
                assert_eq!(masked, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn v4_round_trips(source: SocketAddrV4, destination: SocketAddrV4, protocol: u8) {
            let key = FlowKey {
                source: IpAddr::V4(*source.ip()),
                destination: IpAddr::V4(*destination.ip()),
                source_port: source.port(),
                destination_port: destination.port(),
                protocol,
            };
            prop_assert_eq!(key.to_v4().map(FlowKey::from), Some(key));
        }

        #[test]
        fn v6_round_trips(source: SocketAddrV6, destination: SocketAddrV6, protocol: u8) {
            let key = FlowKey {
                source: IpAddr::V6(*source.ip()),
                destination: IpAddr::V6(*destination.ip()),
                source_port: source.port(),
                destination_port: destination.port(),
                protocol,
            };
            prop_assert_eq!(key.to_v6().map(FlowKey::from), Some(key));
        }
    }
}
