//! The whole of a frame: packets that etherparse builds come apart into what they were built from, and no bytes at all
//! make the parser panic.

use core::net::IpAddr;
use std::vec::Vec;

use etherparse::{
    IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6Extensions, Ipv6Header, Ipv6RawExtHeader,
    PacketBuilder, TcpHeader, VlanId, ip_number,
};
use proptest::{prelude::*, sample::Index};

use super::{FlowKey, FlowKey4, FlowKey6, Parsed, TcpFlags, Usual, UsualFrame, parse};
use crate::reason::Reason;

/// A good packet, and what it was built from.
#[derive(Debug, Clone)]
struct Good {
    frame: Vec<u8>,
    parsed: Parsed,
}

fn client4() -> impl Strategy<Value = [u8; 4]> {
    (1..224u8, any::<[u8; 3]>())
        .prop_filter_map("loopback", |(a, [b, c, d])| (a != 127).then_some([a, b, c, d]))
}

fn client6() -> impl Strategy<Value = [u8; 16]> {
    any::<[u8; 16]>().prop_map(|mut address| {
        address[0] = 0x20 | address[0] & 0x1F;
        address
    })
}

fn options4() -> impl Strategy<Value = Ipv4Options> {
    (0..=10usize, any::<[u8; 40]>())
        .prop_map(|(words, bytes)| Ipv4Options::try_from(&bytes[..words * 4]).unwrap_or_default())
}

fn extension() -> impl Strategy<Value = Option<Ipv6RawExtHeader>> {
    let header = (0..8usize, any::<[u8; 62]>()).prop_filter_map("a length it can have", |(units, bytes)| {
        Ipv6RawExtHeader::new_raw(IpNumber::TCP, &bytes[..6 + units.min(7) * 8]).ok()
    });
    proptest::option::of(header)
}

/// The headers with addresses, and options or extension headers.
fn network() -> impl Strategy<Value = IpHeaders> {
    let v4 = (client4(), any::<[u8; 4]>(), 1..=255u8, options4()).prop_filter_map(
        "a packet to itself",
        |(source, destination, ttl, options)| {
            let mut header = Ipv4Header::new(0, ttl, ip_number::TCP, source, destination).ok()?;
            header.options = options;
            (source != destination).then_some(IpHeaders::Ipv4(header, Default::default()))
        },
    );
    let v6 = (
        client6(),
        any::<[u8; 16]>(),
        1..=255u8,
        [extension(), extension()],
    )
        .prop_filter_map(
            "a packet to itself",
            |(source, destination, hop_limit, [hop_by_hop_options, destination_options])| {
                let header = Ipv6Header {
                    source,
                    destination,
                    hop_limit,
                    ..Ipv6Header::default()
                };
                let extensions = Ipv6Extensions {
                    hop_by_hop_options,
                    destination_options,
                    ..Ipv6Extensions::default()
                };
                (source != destination).then_some(IpHeaders::Ipv6(header, extensions))
            },
        );
    prop_oneof![v4, v6]
}

fn good() -> impl Strategy<Value = Good> {
    let flags = (any::<[bool; 8]>()).prop_filter_map("sane flags", |bits| {
        let byte = (0..8).map(|n| u8::from(bits[n]) << n).sum();
        TcpFlags::new(byte).is_sane().then_some(byte)
    });
    (
        (
            any::<[u16; 2]>().prop_map(|ids| ids.map(|id| id & 0x0FFF)),
            0..3usize,
        ),
        network(),
        (1..=u16::MAX, 1..=u16::MAX),
        proptest::option::of(flags),
        proptest::collection::vec(any::<u8>(), 0..64),
        0..20usize,
    )
        .prop_map(|((ids, tags), ip, ports, flags, payload, padding)| {
            let (source, destination): (IpAddr, IpAddr) = match &ip {
                IpHeaders::Ipv4(header, _) => (header.source.into(), header.destination.into()),
                IpHeaders::Ipv6(header, _) => (header.source.into(), header.destination.into()),
            };
            let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
            let id = |n: usize| VlanId::try_new(ids[n]).unwrap_or_default();
            let network = match tags {
                0 => ethernet.ip(ip),
                1 => ethernet.single_vlan(id(0)).ip(ip),
                _ => ethernet.double_vlan(id(0), id(1)).ip(ip),
            };
            let mut frame = Vec::new();
            let written = match flags {
                Some(flags) => network.tcp_header(tcp(ports, flags)).write(&mut frame, &payload),
                None => network.udp(ports.0, ports.1).write(&mut frame, &payload),
            };
            written.expect("memory takes everything");
            frame.resize(frame.len() + padding, 0xA5);
            let key = FlowKey {
                source,
                destination,
                source_port: ports.0,
                destination_port: ports.1,
                protocol: if flags.is_some() { 6 } else { 17 },
            };
            let flags = TcpFlags::new(flags.unwrap_or(0));
            Good {
                frame,
                parsed: Parsed {
                    key,
                    flags,
                    quoted: false,
                },
            }
        })
}

fn tcp((source, destination): (u16, u16), flags: u8) -> TcpHeader {
    let mut header = TcpHeader::new(source, destination, 1, 1000);
    let bit = |n: u8| flags >> n & 1 != 0;
    (header.fin, header.syn, header.rst, header.psh) = (bit(0), bit(1), bit(2), bit(3));
    (header.ack, header.urg, header.ece, header.cwr) = (bit(4), bit(5), bit(6), bit(7));
    header
}

fn parse_any(frame: &[u8]) -> Result<Parsed, Reason> {
    parse(frame, |_| true)
}

/// The flow of a packet that is as nearly all are, and the packet's length on the link.
fn usual(frame: &[u8]) -> Option<(FlowKey, usize)> {
    match UsualFrame::of(frame)? {
        UsualFrame::Ipv4(ip) => {
            Usual::<FlowKey4>::of(frame, &ip).map(|usual| (usual.key.into(), usual.bytes))
        }
        UsualFrame::Ipv6(ip) => {
            Usual::<FlowKey6>::of(frame, &ip).map(|usual| (usual.key.into(), usual.bytes))
        }
    }
}

/// Whether the headers of a good packet are those that nearly all have: no tags, options or extension headers.
fn is_short(frame: &[u8]) -> bool {
    match frame[12..14] {
        [0x08, 0x00] => frame[14] == 0x45,
        [0x86, 0xDD] => matches!(frame[20], 6 | 17),
        _ => false,
    }
}

fn cases() -> ProptestConfig {
    if cfg!(miri) {
        ProptestConfig {
            cases: 8,
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    } else {
        ProptestConfig::with_cases(1000)
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_good_packet_comes_apart_into_what_it_was_built_from(good in good()) {
        prop_assert_eq!(parse_any(&good.frame), Ok(good.parsed));
    }

    #[test]
    fn whom_a_packet_is_for_is_asked_with_its_destination(good in good()) {
        let destination = good.parsed.key.destination;
        prop_assert_eq!(parse(&good.frame[..], |address| address == destination), Ok(good.parsed));
        prop_assert_eq!(parse(&good.frame[..], |address| address != destination), Err(Reason::NotVip));
    }

    #[test]
    fn what_is_cut_off_is_no_packet(good in good(), at: Index) {
        let padding = good.frame.iter().rev().take_while(|&&byte| byte == 0xA5).count();
        let at = at.index(good.frame.len() - padding);
        let outcome = parse_any(&good.frame[..at]);
        prop_assert!(matches!(outcome, Err(Reason::Truncated | Reason::BadIpHeader)), "{:?}", outcome);
    }

    #[test]
    fn a_damaged_packet_never_panics_and_never_has_a_port_0(
        good in good(),
        damage in proptest::collection::vec(any::<(Index, u8)>(), 1..8),
    ) {
        let mut frame = good.frame;
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if let Ok(parsed) = parse_any(&frame) {
            prop_assert!(parsed.key.source_port != 0 && parsed.key.destination_port != 0);
        }
    }

    #[test]
    fn the_short_way_takes_what_nearly_all_packets_are_and_nothing_else(good in good()) {
        let expected = is_short(&good.frame) && good.parsed.flags.is_plain();
        prop_assert_eq!(usual(&good.frame).map(|(key, _)| key), expected.then_some(good.parsed.key));
    }

    #[test]
    fn what_takes_the_short_way_would_pass_on_the_long_one(
        good in good(),
        damage in proptest::collection::vec(any::<(Index, u8)>(), 0..3),
        length: Index,
    ) {
        let mut frame = good.frame;
        for (at, byte) in damage {
            // Half of it in the headers that nearly all packets have.
            let at = at.index(frame.len());
            let at = if byte & 1 == 0 { at % 60 % frame.len() } else { at };
            frame[at] = byte;
        }
        frame.truncate(frame.len() - length.index(frame.len()) % 30);
        if let Some((key, bytes)) = usual(&frame) {
            prop_assert!(bytes <= frame.len());
            match parse_any(&frame) {
                Ok(parsed) => prop_assert!(parsed.key == key && parsed.flags.is_plain(), "{:?}", parsed),
                // No flow has such a name.
                Err(reason) => {
                    prop_assert!(matches!(reason, Reason::MartianSource | Reason::PortZero), "{:?}", reason);
                }
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (parse_any(&bytes), usual(&bytes));
    }
}
