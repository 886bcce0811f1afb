//! Tunnels: what comes out is taken apart by etherparse, checksums and all, and has the packet in it that went in.

use std::{collections::BTreeMap, net::IpAddr};

use etherparse::{
    IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, LaxPacketHeaders, NetHeaders, SlicedPacket, TransportHeader,
    TransportSlice, UdpHeaderSlice, checksum::Sum16BitWords,
};
use lb_tests::prog_run::{
    Action, DIRECTOR_MAC, INGRESS, Outcome, Rig, SIZES, backend_mac, director_address, on_link,
};
use lb_userspace::core::{
    model::{Connections, Encapsulation, Forward, Frontend, GUE_PORT, Protocol},
    plan::{Desired, DesiredBackend, DesiredService},
    schedule::{Scheduler, Scheduling},
    timeouts::Timeouts,
};

use crate::{
    case::{Case, check},
    packets::*,
    world::{TUNNELLED, WEB},
};

pub(crate) const ENCAPSULATIONS: [Encapsulation; 6] = [
    Encapsulation::Ipip,
    Encapsulation::Gue {
        port: GUE_PORT,
        checksum: false,
    },
    Encapsulation::Gue {
        port: GUE_PORT,
        checksum: true,
    },
    Encapsulation::Gue {
        port: 5555,
        checksum: true,
    },
    Encapsulation::Gre { checksum: false },
    Encapsulation::Gre { checksum: true },
];

pub(crate) const BACKENDS: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9)),
];

/// A program with one service a method and family of backends: ports 100 and following, over TCP and UDP.
pub(crate) struct World {
    pub(crate) rig: Rig,
    pub(crate) tunnels: Vec<(u16, Encapsulation, IpAddr)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let pairs = ENCAPSULATIONS
            .into_iter()
            .flat_map(|encapsulation| BACKENDS.map(|backend| (encapsulation, backend)));
        let tunnels: Vec<_> = (100..)
            .zip(pairs)
            .map(|(port, (encapsulation, backend))| (port, encapsulation, backend))
            .collect();
        let frontends = |port| {
            let vips = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
            let both = |vip| [Protocol::Tcp, Protocol::Udp].map(|protocol| Frontend { vip, port, protocol });
            vips.into_iter().flat_map(both).collect()
        };
        let services = tunnels
            .iter()
            .map(|&(port, encapsulation, backend)| DesiredService {
                name: format!("port-{port}"),
                frontends: frontends(port),
                scheduling: Scheduling::new(Scheduler::Maglev, 13),
                timeouts: Timeouts::default(),
                forward: Forward::Tunnel(encapsulation),
                pool: None,
                connections: Connections::default(),
                backends: vec![DesiredBackend::new(backend, 100)],
            });
        let desired = Desired {
            services: services.collect(),
            egress: BACKENDS
                .map(|backend| (backend, on_link(backend, backend_mac(9), INGRESS)))
                .into(),
            leases: BTreeMap::new(),
        };
        let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
        rig.configure(&desired).expect("the services fit");
        Self { rig, tunnels }
    }

    pub(crate) fn forwards(&mut self, packet: &[u8]) -> Vec<u8> {
        let outcome = self.rig.run(packet).expect("the kernel takes the packet");
        assert_eq!(outcome.action, Action::Tx, "{:?}", outcome.counted);
        outcome.packet
    }
}

/// A packet that was put into a tunnel, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Unwrapped {
    class: u8,
    ttl: u8,
    /// The outer UDP source port, or the outer flow label: what tells flows apart on the way.
    entropy: Option<u32>,
    /// Whether the method wrote a checksum, which was found right.
    checksum: bool,
    packet: Vec<u8>,
}

/// One's complement sum of 16-bit words, 0xFFFF where it comes out right.
fn is_whole(pseudo: Sum16BitWords, bytes: &[u8]) -> bool {
    pseudo.add_slice(bytes).ones_complement() == 0
}

/// Takes the frame apart, and checks all that is the same for every packet.
fn unwrap(frame: &[u8], tags: usize, tunnel: Encapsulation, backend: IpAddr, inside_v6: bool) -> Unwrapped {
    assert_eq!(frame[..6], backend_mac(9));
    assert_eq!(frame[6..12], DIRECTOR_MAC);
    let outer = &frame[14 + 4 * tags..];
    let ether_type = u16::from_be_bytes([frame[12 + 4 * tags], frame[13 + 4 * tags]]);
    let (class, ttl, protocol, payload, label, pseudo) = match (backend, director_address(backend)) {
        (IpAddr::V4(destination), IpAddr::V4(source)) => {
            assert_eq!(ether_type, 0x0800);
            let header = Ipv4HeaderSlice::from_slice(outer).unwrap();
            assert_eq!(
                header.header_checksum(),
                header.to_header().calc_header_checksum()
            );
            assert_eq!(
                (header.source_addr(), header.destination_addr()),
                (source, destination)
            );
            assert!(header.dont_fragment() && !header.more_fragments());
            assert_eq!((header.ihl(), header.identification()), (5, 0));
            let length = usize::from(header.total_len());
            let pseudo = Sum16BitWords::new()
                .add_4bytes(header.source())
                .add_4bytes(header.destination());
            let class = header.dcp().value() << 2 | header.ecn().value();
            (
                class,
                header.ttl(),
                header.protocol(),
                &outer[20..length],
                None,
                pseudo,
            )
        }
        (IpAddr::V6(destination), IpAddr::V6(source)) => {
            assert_eq!(ether_type, 0x86DD);
            let header = Ipv6HeaderSlice::from_slice(outer).unwrap();
            assert_eq!(
                (header.source_addr(), header.destination_addr()),
                (source, destination)
            );
            let length = usize::from(header.payload_length());
            let pseudo = Sum16BitWords::new()
                .add_16bytes(header.source())
                .add_16bytes(header.destination());
            let label = header.flow_label().value();
            (
                header.traffic_class(),
                header.hop_limit(),
                header.next_header(),
                &outer[40..40 + length],
                Some(label),
                pseudo,
            )
        }
        mixed => panic!("{mixed:?}"),
    };
    let (mut entropy, mut checksum) = (label, false);
    let inner = match tunnel {
        Encapsulation::Ipip => {
            let expected = if inside_v6 { IpNumber::IPV6 } else { IpNumber::IPV4 };
            assert_eq!(protocol, expected);
            payload
        }
        Encapsulation::Gue { port, .. } => {
            assert_eq!(protocol, IpNumber::UDP);
            let header = UdpHeaderSlice::from_slice(payload).unwrap();
            assert_eq!(
                (header.destination_port(), usize::from(header.length())),
                (port, payload.len())
            );
            assert!(header.source_port() >= 0xC000);
            entropy = entropy.or(Some(header.source_port().into()));
            checksum = header.checksum() != 0;
            if checksum {
                let pseudo = pseudo
                    .add_2bytes([0, 17])
                    .add_2bytes((payload.len() as u16).to_be_bytes());
                assert!(is_whole(pseudo, payload), "{payload:02x?}");
            }
            // Variant 0, no control message, no options; the protocol; no flags.
            assert_eq!(payload[8..12], [0, if inside_v6 { 41 } else { 4 }, 0, 0]);
            &payload[12..]
        }
        Encapsulation::Gre { .. } => {
            assert_eq!(protocol, IpNumber::GRE);
            checksum = payload[0] == 0x80;
            assert!(payload[0] & 0x7F == 0 && payload[1] == 0, "{payload:02x?}");
            let inside = if inside_v6 { [0x86, 0xDD] } else { [0x08, 0x00] };
            assert_eq!(payload[2..4], inside);
            if checksum {
                assert!(is_whole(Sum16BitWords::new(), payload), "{payload:02x?}");
                assert_eq!(payload[6..8], [0, 0]);
            }
            &payload[if checksum { 8 } else { 4 }..]
        }
    };
    Unwrapped {
        class,
        ttl,
        entropy,
        checksum,
        packet: inner.to_vec(),
    }
}

const fn wants_checksum(tunnel: Encapsulation) -> bool {
    matches!(
        tunnel,
        Encapsulation::Gue { checksum: true, .. } | Encapsulation::Gre { checksum: true }
    )
}

/// The packet one hop further, without its link header.
pub(crate) fn one_hop_on(frame: &[u8], tags: usize, v4: bool) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.drain(12..12 + 4 * tags);
    if v4 {
        let ttl = frame[IP + 8] - 1;
        frame = with_ip(frame, 8, &[ttl]);
    } else {
        frame[IP + 7] -= 1;
    }
    frame.split_off(IP)
}

/// Packets to a port, and whether they are IPv4.
pub(crate) fn samples(port: u16) -> Vec<(Vec<u8>, bool)> {
    let data: Vec<u8> = (0..1001u16).map(|n| (n % 253) as u8).collect();
    vec![
        (tcp4(port, SYN, &[]), true),
        (tcp4(port, ACK | PSH, &data), true),
        (udp4(port, b"who is www?"), true),
        (with_options(tcp4(port, ACK, b"odd"), &[1; 12]), true),
        (with_ip(udp4(port, b"x"), 1, &[0xBA]), true),
        (tcp6(port, SYN, &[]), false),
        (tcp6(port, ACK | PSH, &data), false),
        (udp6(port, b"who is www?"), false),
        (with(tcp6(port, ACK, b"odd"), IP, &[0x6B, 0xA0]), false),
        (
            with_extensions(udp6(port, b"x"), &[padding_options(DESTINATION_OPTIONS, 2)]),
            false,
        ),
    ]
}

/// DSCP and ECN of a packet.
fn class(packet: &[u8], v4: bool) -> u8 {
    if v4 {
        packet[1]
    } else {
        packet[0] << 4 | packet[1] >> 4
    }
}

#[test]
fn every_method_carries_every_kind_of_packet_to_both_families() {
    let mut world = World::new();
    for (port, tunnel, backend) in world.tunnels.clone() {
        for (packet, v4) in samples(port) {
            for tags in [&[][..], &[0x8100], &[0x88A8, 0x8100]] {
                let tagged = tagged(packet.clone(), tags);
                let out = world.forwards(&tagged);
                assert_eq!(out[12..12 + 4 * tags.len()], tagged[12..12 + 4 * tags.len()]);
                let unwrapped = unwrap(&out, tags.len(), tunnel, backend, !v4);
                assert_eq!(
                    unwrapped.packet,
                    one_hop_on(&tagged, tags.len(), v4),
                    "{tunnel:?} {backend}"
                );
                assert_eq!(unwrapped.ttl, 64);
                assert_eq!(unwrapped.class, class(&unwrapped.packet, v4));
                let summable = v4 || packet[IP + 6] != DESTINATION_OPTIONS;
                assert_eq!(
                    unwrapped.checksum,
                    wants_checksum(tunnel) && summable,
                    "{tunnel:?}"
                );
                // What is inside still is a packet whose checksums are right.
                let headers = LaxPacketHeaders::from_ip(&unwrapped.packet).unwrap();
                assert!(headers.stop_err.is_none());
                if let (Some(NetHeaders::Ipv4(ip, _)), Some(TransportHeader::Tcp(tcp))) =
                    (headers.net, headers.transport)
                {
                    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                    let payload = headers.payload.slice();
                    assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, payload).unwrap());
                }
            }
        }
    }
}

#[test]
fn flows_are_told_apart_on_the_way_and_each_stays_together() {
    let mut world = World::new();
    for (port, tunnel, backend) in world.tunnels.clone() {
        let mut entropy = |client_port: u16, flags| {
            let out = world.forwards(&tcp4_from(client_port, port, flags));
            unwrap(&out, 0, tunnel, backend, false).entropy
        };
        let mut seen = std::collections::BTreeSet::new();
        for client_port in 1000..1100 {
            let first = entropy(client_port, SYN);
            assert_eq!(entropy(client_port, ACK), first);
            seen.insert(first);
        }
        let tells = backend.is_ipv6() || matches!(tunnel, Encapsulation::Gue { .. });
        if tells {
            assert!(seen.len() > 90, "{tunnel:?}: {}", seen.len());
        } else {
            assert_eq!(seen, [None].into());
        }
    }
}

/// A datagram without a checksum is carried without one outside, too.
#[test]
fn what_has_no_checksum_inside_gets_none_outside() {
    let mut world = World::new();
    for (port, tunnel, backend) in world.tunnels.clone() {
        let packet = with(udp4(port, b"no checksum"), L4_OF_V4 + 6, &[0, 0]);
        let out = world.forwards(&packet);
        let unwrapped = unwrap(&out, 0, tunnel, backend, false);
        assert!(!unwrapped.checksum);
        assert_eq!(unwrapped.packet, one_hop_on(&packet, 0, true));
    }
}

/// Errors about a backend's replies take the same way as the flow.
#[test]
fn icmp_errors_go_through_the_tunnel() {
    let mut world = World::new();
    for (port, tunnel, backend) in world.tunnels.clone() {
        for (packet, v4) in [
            (error4(3, 4, &reply4(port, 6, &[7; 500])), true),
            (error6(2, 0, &reply6(port, 6, &[7; 1000])), false),
        ] {
            let out = world.forwards(&packet);
            let unwrapped = unwrap(&out, 0, tunnel, backend, !v4);
            assert_eq!(unwrapped.packet, one_hop_on(&packet, 0, v4));
            assert_eq!(unwrapped.checksum, wants_checksum(tunnel));
        }
    }
}

/// The padding of a short frame is no part of the packet, inside or outside.
#[test]
fn padding_stays_outside() {
    let mut world = World::new();
    for (port, tunnel, backend) in world.tunnels.clone() {
        let mut packet = udp4(port, &[]);
        let plain = one_hop_on(&packet, 0, true);
        packet.resize(60, 0x5A);
        let out = world.forwards(&packet);
        assert_eq!(unwrap(&out, 0, tunnel, backend, false).packet, plain);
    }
}

const fn overhead(tunnel: Encapsulation, backend: IpAddr) -> usize {
    let between = match tunnel {
        Encapsulation::Ipip => 0,
        Encapsulation::Gue { .. } => 12,
        Encapsulation::Gre { checksum: false } => 4,
        Encapsulation::Gre { checksum: true } => 8,
    };
    between + if backend.is_ipv6() { 40 } else { 20 }
}

/// Checks an answer to a packet that was too long, with etherparse.
fn check_answer(outcome: &Outcome, packet: &[u8], tags: usize, fits: usize, v4: bool) {
    assert_eq!(outcome.action, Action::Tx);
    let answer = &outcome.packet;
    assert_eq!(answer[..6], ROUTER_MAC);
    assert_eq!(answer[6..12], OWN_MAC);
    assert_eq!(answer[12..14 + 4 * tags], packet[12..14 + 4 * tags]);
    let sliced = SlicedPacket::from_ethernet(answer).unwrap();
    let quote = &packet[14 + 4 * tags..][..512];
    match sliced.transport.unwrap() {
        TransportSlice::Icmpv4(icmp) if v4 => {
            let ip = Ipv4HeaderSlice::from_slice(&answer[14 + 4 * tags..]).unwrap();
            assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
            assert_eq!((ip.source_addr(), ip.destination_addr()), (VIP4, CLIENT4));
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (3, 4));
            assert_eq!(icmp.bytes5to8(), [0, 0, (fits >> 8) as u8, fits as u8]);
            assert!(is_whole(Sum16BitWords::new(), icmp.slice()));
            assert_eq!(icmp.payload(), quote);
        }
        TransportSlice::Icmpv6(icmp) if !v4 => {
            let ip = Ipv6HeaderSlice::from_slice(&answer[14 + 4 * tags..]).unwrap();
            assert_eq!((ip.source_addr(), ip.destination_addr()), (VIP6, CLIENT6));
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (2, 0));
            assert_eq!(icmp.bytes5to8(), (fits as u32).to_be_bytes());
            assert!(icmp.is_checksum_valid(ip.source(), ip.destination()));
            assert_eq!(icmp.payload(), quote);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_packet_that_does_not_fit_is_answered_with_the_length_that_does() {
    let mut world = World::new();
    for (port, tunnel, backend) in world.tunnels.clone() {
        let fits = 1500 - overhead(tunnel, backend);
        for v4 in [true, false] {
            let of_length = |length: usize| {
                if v4 {
                    tcp4(port, ACK, &vec![0x42; length - 40])
                } else {
                    tcp6(port, ACK, &vec![0x42; length - 60])
                }
            };
            let out = world.forwards(&of_length(fits));
            assert_eq!(out.len(), 14 + 1500, "{tunnel:?} {backend}");
            for tags in [&[][..], &[0x88A8, 0x8100]] {
                for length in [fits + 1, 1500, 9000] {
                    let packet = tagged(of_length(length), tags);
                    let outcome = world.rig.run(&packet).expect("the kernel takes the packet");
                    if outcome.counted.contains_key("reason.too_big_unanswered") {
                        // More than may be answered in so short a time.
                        assert_eq!((outcome.action, &outcome.packet), (Action::Drop, &packet));
                        continue;
                    }
                    assert_eq!(
                        outcome.counted,
                        [("reason.too_big_answered".to_owned(), 1)].into()
                    );
                    check_answer(&outcome, &packet, tags.len(), fits, v4);
                }
            }
        }
    }
}

/// No more packets are answered than Linux would answer with errors.
#[test]
fn answers_are_rationed() {
    let mut world = World::new();
    let (port, ..) = world.tunnels[0];
    let packet = tcp4(port, ACK, &[0; 1460]);
    let answered = (0..500).filter(|_| {
        let outcome = world.rig.run(&packet).expect("the kernel takes the packet");
        outcome.action == Action::Tx
    });
    let answered = answered.count();
    assert!((50..500).contains(&answered), "{answered} of 500");
}

/// Metadata that leaves no room in front of a packet: the headroom less the kernel's own `xdp_frame`.
const META: u8 = 216;

pub(crate) fn cases() -> Vec<Case> {
    let looped = |packet: Vec<u8>| with(packet, 6, &backend_mac(WEB.backend));
    let port = TUNNELLED.port;
    let long = || tcp4(port, ACK, &[0; 1460]);
    let mut answer = Vec::new();
    etherparse::PacketBuilder::ethernet2(OWN_MAC, ROUTER_MAC)
        .ipv4(VIP4.octets(), CLIENT4.octets(), 64)
        .icmpv4_raw(3, 4, [0, 0, 0x05, 0xC8])
        .write(&mut answer, &long()[IP..IP + 512])
        .expect("memory takes everything");
    let mut answer = with_ip(answer, 1, &[0xC0]);
    // etherparse forbids to fragment what it makes.
    answer = with_ip(answer, 6, &[0, 0]);
    vec![
        Case::answers(
            "IPv4 that does not fit into the tunnel",
            "too_big_answered",
            long(),
            answer,
        )
        .after([tcp4(port, SYN, &[])]),
        Case::drops(
            "IPv4 that does not fit, and no room for the answer",
            "too_big_unanswered",
            long(),
        )
        .after([tcp4(port, SYN, &[])])
        .behind(META),
        Case::drops(
            "IPv4 no room for the tunnel's header",
            "no_headroom",
            tcp4(port, ACK, &[]),
        )
        .after([tcp4(port, SYN, &[])])
        .with_packet(with_ip(tcp4(port, ACK, &[]), 8, &[60]))
        .behind(META),
        Case::drops(
            "IPv4 with a TTL for the way to the director alone",
            "ttl_expired",
            with_ip(tcp4(port, SYN, &[]), 8, &[1]),
        )
        .opens(&TUNNELLED),
        Case::drops(
            "IPv6 with a hop limit for the way to the director alone",
            "ttl_expired",
            with(tcp6(port, SYN, &[]), IP + 7, &[1]),
        )
        .opens(&TUNNELLED),
        Case::drops(
            "IPv4 from the backend that it is for",
            "loop",
            looped(tcp4(80, SYN, &[])),
        )
        .opens(&WEB),
        Case::drops(
            "IPv6 from the backend that it is for",
            "loop",
            looped(tcp6(80, SYN, &[])),
        )
        .opens(&WEB),
    ]
}

#[test]
fn what_cannot_go_through_a_tunnel_has_its_reason() {
    check(&cases());
}
