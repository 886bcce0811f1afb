//! Errors from the way to a backend, about packets that were put into a tunnel: the packet inside the quoted packet tells
//! whose it was.

use super::{FlowKey4, FlowKey6, Frame, IpVersion, icmp, protocol, transport};

const IPV4: usize = 20;
const IPV6: usize = 40;
const PORTS: usize = 4;

/// A router's word that packets in a tunnel are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathError {
    /// What the router can carry, outer headers included.
    pub mtu: u32,
    /// Where the tunnel led, as it lies in an IPv6 packet (IPv4 as IPv4-mapped).
    pub backend: [u64; 2],
    /// Protocol of the outer header.
    pub protocol: u8,
    /// Destination port of the outer UDP header, as it lies in the packet; else 0.
    pub port: u16,
    /// Bytes that the tunnel added.
    pub overhead: usize,
    /// Version of what is inside.
    pub version: IpVersion,
    /// Where that begins in the frame.
    pub offset: usize,
    /// Bytes of it that are quoted.
    pub length: usize,
}

/// The IPv4 message at `offset`, `length` bytes long, to `own`: fragmentation needed, about a tunnel of ours.
#[inline(always)]
pub fn path_error4<F: Frame + ?Sized>(
    frame: &F,
    own: u32,
    offset: usize,
    length: usize,
) -> Option<PathError> {
    let message = frame.window::<{ icmp::HEADER + IPV4 }>(offset)?;
    let words = usize::from(message.byte::<8>() & 15);
    if message.be16::<0>() != 0x0304 || message.byte::<8>() >> 4 != 4 || words < 5 {
        return None;
    }
    // The quoted packet is ours, and its headers are whole.
    if message.raw32::<20>() != own || length < icmp::HEADER + words * 4 {
        return None;
    }
    let quote = Quote {
        mtu: message.be16::<6>().into(),
        backend: crate::decap::mapped(message.raw32::<24>()),
        start: offset + icmp::HEADER,
        kind: message.byte::<17>(),
        payload: offset + icmp::HEADER + words * 4,
        end: offset + length,
    };
    quote.inside(frame)
}

/// The IPv6 message at `offset`, `length` bytes long, to `own`: packet too big, about a tunnel of ours.
#[inline(always)]
pub fn path_error6<F: Frame + ?Sized>(
    frame: &F,
    own: [u64; 2],
    offset: usize,
    length: usize,
) -> Option<PathError> {
    let message = frame.window::<{ icmp::HEADER + IPV6 }>(offset)?;
    if message.be16::<0>() != 0x0200 || message.byte::<8>() >> 4 != 6 || length < icmp::HEADER + IPV6 {
        return None;
    }
    if [message.raw64::<16>(), message.raw64::<24>()] != own {
        return None;
    }
    let quote = Quote {
        mtu: u32::from_be(message.raw32::<4>()),
        backend: [message.raw64::<32>(), message.raw64::<40>()],
        start: offset + icmp::HEADER,
        kind: message.byte::<14>(),
        payload: offset + icmp::HEADER + IPV6,
        end: offset + length,
    };
    quote.inside(frame)
}

/// A quoted packet of ours.
struct Quote {
    mtu: u32,
    backend: [u64; 2],
    start: usize,
    kind: u8,
    payload: usize,
    end: usize,
}

impl Quote {
    /// Looks behind the tunnel's headers, which are as we write them.
    #[inline(always)]
    fn inside<F: Frame + ?Sized>(&self, frame: &F) -> Option<PathError> {
        let (version, port, skipped) = match self.kind {
            protocol::IPV4 => (IpVersion::V4, 0, 0),
            protocol::IPV6 => (IpVersion::V6, 0, 0),
            protocol::GRE => {
                let header = frame.window::<4>(self.payload)?;
                let skipped = if header.byte::<0>() & 0x80 == 0 { 4 } else { 8 };
                (version(header.be16::<2>())?, 0, skipped)
            }
            protocol::UDP => {
                let header = frame.window::<12>(self.payload)?;
                let version = match header.byte::<9>() {
                    protocol::IPV4 => IpVersion::V4,
                    protocol::IPV6 => IpVersion::V6,
                    _ => return None,
                };
                (version, header.raw16::<2>(), 12)
            }
            _ => return None,
        };
        let offset = self.payload + skipped;
        let length = self.end.checked_sub(offset)?;
        Some(PathError {
            mtu: self.mtu,
            backend: self.backend,
            protocol: self.kind,
            port,
            overhead: offset - self.start,
            version,
            offset,
            length,
        })
    }
}

#[inline(always)]
const fn version(number: u16) -> Option<IpVersion> {
    match number {
        0x0800 => Some(IpVersion::V4),
        0x86DD => Some(IpVersion::V6),
        _ => None,
    }
}

impl PathError {
    /// The flow of the IPv4 packet inside.
    #[inline(always)]
    pub fn flow4<F: Frame + ?Sized>(&self, frame: &F) -> Option<FlowKey4> {
        let header = frame.window::<IPV4>(self.offset)?;
        let words = usize::from(header.byte::<0>() & 15);
        let kind = header.byte::<9>();
        if header.byte::<0>() >> 4 != 4 || words < 5 || self.length < words * 4 + 8 || !has_ports(kind) {
            return None;
        }
        let ports = transport::ports(frame.window::<PORTS>(self.offset + words * 4)?.raw32::<0>());
        Some(FlowKey4::new(
            header.raw32::<12>(),
            header.raw32::<16>(),
            ports,
            kind,
        ))
    }

    /// The flow of the IPv6 packet inside, if no extension header is in the way.
    #[inline(always)]
    pub fn flow6<F: Frame + ?Sized>(&self, frame: &F) -> Option<FlowKey6> {
        let header = frame.window::<{ IPV6 + PORTS }>(self.offset)?;
        let kind = header.byte::<6>();
        if header.byte::<0>() >> 4 != 6 || self.length < IPV6 + 8 || !has_ports(kind) {
            return None;
        }
        Some(FlowKey6::new(
            [header.raw64::<8>(), header.raw64::<16>()],
            [header.raw64::<24>(), header.raw64::<32>()],
            transport::ports(header.raw32::<40>()),
            kind,
        ))
    }
}

#[inline(always)]
const fn has_ports(kind: u8) -> bool {
    matches!(kind, protocol::TCP | protocol::UDP | protocol::SCTP)
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::{vec, vec::Vec};

    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::packet::{FlowKey, address_words};

    const OWN4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
    const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xd, 2);
    const BACKEND4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
    const BACKEND6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xb, 9);

    fn own4() -> u32 {
        u32::from_ne_bytes(OWN4.octets())
    }

    /// The client's packet, of either family.
    fn inner(v4: bool) -> (Vec<u8>, FlowKey) {
        let mut packet = Vec::new();
        let (source, destination): (IpAddr, IpAddr) = if v4 {
            ([203, 0, 113, 7].into(), [192, 0, 2, 10].into())
        } else {
            (
                "2001:db8:c::7".parse().unwrap(),
                "2001:db8:f::10".parse().unwrap(),
            )
        };
        let builder = match (source, destination) {
            (IpAddr::V4(a), IpAddr::V4(b)) => PacketBuilder::ipv4(a.octets(), b.octets(), 63),
            (IpAddr::V6(a), IpAddr::V6(b)) => PacketBuilder::ipv6(a.octets(), b.octets(), 63),
            _ => unreachable!("they are of one family"),
        };
        builder
            .tcp(40_000, 80, 1, 1024)
            .write(&mut packet, b"data")
            .unwrap();
        let key = FlowKey {
            source,
            destination,
            source_port: 40_000,
            destination_port: 80,
            protocol: protocol::TCP,
        };
        (packet, key)
    }

    /// What the method has between the outer header and the packet: number of its protocol, bytes.
    fn between(method: u8, v4: bool) -> (u8, Vec<u8>) {
        let kind: u16 = if v4 { 0x0800 } else { 0x86DD };
        let [a, b] = kind.to_be_bytes();
        let inside = if v4 { protocol::IPV4 } else { protocol::IPV6 };
        match method {
            0 => (inside, vec![]),
            1 => (protocol::GRE, vec![0, 0, a, b]),
            2 => (protocol::GRE, vec![0x80, 0, a, b, 1, 2, 0, 0]),
            _ => (
                protocol::UDP,
                vec![0xC1, 2, 0x17, 0xC0, 0, 100, 0, 0, 0, inside, 0, 0],
            ),
        }
    }

    /// The message about that, and how long the tunnel's headers are.
    fn message(outer4: bool, method: u8, v4: bool) -> (Vec<u8>, usize) {
        let (number, between) = between(method, v4);
        let inside = [between.clone(), inner(v4).0].concat();
        let mut message = if outer4 {
            vec![3, 4, 0, 0, 0, 0, 0x05, 0x78]
        } else {
            vec![2, 0, 0, 0, 0, 0, 0x05, 0x78]
        };
        if outer4 {
            etherparse::Ipv4Header::new(
                inside.len() as u16,
                64,
                number.into(),
                OWN4.octets(),
                BACKEND4.octets(),
            )
            .unwrap()
            .write(&mut message)
            .unwrap();
        } else {
            etherparse::Ipv6Header {
                payload_length: inside.len() as u16,
                next_header: number.into(),
                hop_limit: 64,
                source: OWN6.octets(),
                destination: BACKEND6.octets(),
                ..Default::default()
            }
            .write(&mut message)
            .unwrap();
        }
        message.extend(inside);
        (message, if outer4 { 20 } else { 40 } + between.len())
    }

    fn read(outer4: bool, message: &[u8]) -> Option<PathError> {
        if outer4 {
            path_error4(message, own4(), 0, message.len())
        } else {
            path_error6(message, address_words(OWN6), 0, message.len())
        }
    }

    #[test]
    fn each_tunnel_is_seen_through() {
        for (outer4, v4) in [(true, true), (true, false), (false, true), (false, false)] {
            for method in 0..4 {
                let (message, overhead) = message(outer4, method, v4);
                let error = read(outer4, &message).expect("it is about a tunnel");
                let backend = if outer4 {
                    BACKEND4.to_ipv6_mapped()
                } else {
                    BACKEND6
                };
                assert_eq!((error.mtu, error.overhead), (1400, overhead));
                assert_eq!(error.backend, address_words(backend));
                assert_eq!(error.length, inner(v4).0.len());
                assert_eq!(
                    error.port,
                    if method == 3 { 6080_u16.to_be() } else { 0 },
                    "GUE's port"
                );
                let key = inner(v4).1;
                if v4 {
                    assert_eq!(error.flow4(&message[..]), key.to_v4());
                } else {
                    assert_eq!(error.flow6(&message[..]), key.to_v6());
                }
            }
        }
    }

    #[test]
    fn with_eight_bytes_of_the_inner_transport_the_flow_is_known_and_with_less_it_is_not() {
        for (outer4, v4) in [(true, true), (false, false)] {
            let (message, overhead) = message(outer4, 0, v4);
            let least = 8 + overhead + if v4 { 28 } else { 48 };
            let flow = |length: usize| {
                let error = read(outer4, &message[..length])?;
                if v4 {
                    error.flow4(&message[..length]).map(|_| ())
                } else {
                    error.flow6(&message[..length]).map(|_| ())
                }
            };
            assert_eq!(flow(least), Some(()));
            assert_eq!(flow(least - 1), None);
        }
    }

    #[test]
    fn only_errors_about_packets_of_our_own_count() {
        for outer4 in [true, false] {
            let (good, _) = message(outer4, 1, true);
            assert!(read(outer4, &good).is_some());
            for (at, what) in [
                (0, "another kind of error"),
                (1, "another code"),
                (8, "another version"),
                (if outer4 { 20 } else { 16 }, "another source"),
            ] {
                let mut bad = good.clone();
                bad[at] ^= 0x70;
                assert_eq!(read(outer4, &bad), None, "{what}");
            }
        }
    }

    proptest! {
        /// What comes out lies within the message, whatever its bytes.
        #[test]
        fn nothing_is_read_behind_the_message(
            bytes in proptest::collection::vec(any::<u8>(), 0..160),
            outer4: bool,
            method in 0..4_u8,
            flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6),
            made_up: bool,
        ) {
            let mut message = if made_up { bytes } else { message(outer4, method, true).0 };
            for (at, value) in flips {
                if let Some(length) = core::num::NonZeroUsize::new(message.len()) {
                    message[at % length] = value;
                }
            }
            if let Some(error) = read(outer4, &message) {
                prop_assert!(error.offset + error.length == message.len());
                let _ = (error.flow4(&message[..]), error.flow6(&message[..]));
            }
        }
    }
}
