//! The backend's end of a tunnel: what the director puts in comes out, and nothing else gets in.

use std::net::IpAddr;

use lb_common::decap::Outcome;
use lb_tests::prog_run::{Action, director_address, run_program};
use lb_userspace::{
    core::model::{Encapsulation, GUE_PORT},
    datapath::decap::{Decap, Program},
};

use crate::{
    packets::*,
    tunnels::{BACKENDS, World, one_hop_on, samples},
};

/// The program on a backend, for one test.
struct Backend {
    program: Program,
}

impl Backend {
    fn new(sources: &[(IpAddr, u8)], gue_port: u16) -> Self {
        let decap = Decap {
            addresses: BACKENDS.to_vec(),
            sources: sources.to_vec(),
            gue_port,
        };
        Self {
            program: decap.load(None).expect("the tests of the program need root"),
        }
    }

    /// What becomes of the frame, and what was counted.
    fn takes(&mut self, frame: &[u8]) -> (Action, Outcome, Vec<u8>) {
        let before = self.program.counters().expect("the map can be read");
        let program = self.program.program().expect("it was loaded");
        let (action, packet) = run_program(program, 0, frame).expect("the kernel takes the packet");
        let after = self.program.counters().expect("the map can be read");
        let moved: Vec<Outcome> = before
            .iter()
            .zip(&after)
            .filter(|((_, before), (_, after))| before != after)
            .map(|((outcome, _), _)| *outcome)
            .collect();
        let [outcome] = moved[..] else {
            panic!("counted {moved:?}");
        };
        (action, outcome, packet)
    }
}

/// Everything that a director sends comes out as it was, one hop further.
#[test]
fn what_was_wrapped_is_unwrapped() {
    let mut world = World::new();
    for (port, tunnel, address) in world.tunnels.clone() {
        let gue_port = match tunnel {
            Encapsulation::Gue { port, .. } => port,
            Encapsulation::Ipip | Encapsulation::Gre { .. } => GUE_PORT,
        };
        let source = director_address(address);
        let mut backend = Backend::new(&[(source, 24)], gue_port);
        for (packet, v4) in samples(port) {
            for tags in [&[][..], &[0x8100], &[0x88A8, 0x8100]] {
                let frame = tagged(packet.clone(), tags);
                let wrapped = world.forwards(&frame);
                let (action, outcome, unwrapped) = backend.takes(&wrapped);
                assert_eq!(
                    (action, outcome),
                    (Action::Pass, Outcome::Unwrapped),
                    "{tunnel:?}"
                );
                // The link header is the director's to the backend, with the type of what is inside.
                let mut link = wrapped[..12].to_vec();
                link.extend(&frame[12..14 + 4 * tags.len()]);
                assert_eq!(unwrapped[..link.len()], link);
                assert_eq!(unwrapped[link.len()..], one_hop_on(&frame, tags.len(), v4));
            }
        }
    }
}

/// An IPv4 packet of this protocol from the director to the backend.
fn outer4(class: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(to), IpAddr::V4(from)) = (BACKENDS[0], director_address(BACKENDS[0])) else {
        panic!("the first backend has an IPv4 address");
    };
    let mut packet = frame(0x0800, &[0x45, class, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    let total = (packet.len() - IP) as u16;
    with_ip(packet, 2, &total.to_be_bytes())
}

/// An IPv6 packet of this protocol from the director to the backend.
fn outer6(class: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(to), IpAddr::V6(from)) = (BACKENDS[1], director_address(BACKENDS[1])) else {
        panic!("the second backend has an IPv6 address");
    };
    let [a, b] = (payload.len() as u16).to_be_bytes();
    let mut packet = frame(0x86DD, &[0x60 | class >> 4, class << 4, 0, 0, a, b, protocol, 64]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// A packet without its link header.
fn bare(packet: &[u8]) -> Vec<u8> {
    packet[IP..].to_vec()
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let words = [0xC001, port, 8 + payload.len() as u16, 0].map(u16::to_be_bytes);
    [words.as_flattened(), payload].concat()
}

#[test]
fn what_is_no_tunnels_packet_reaches_the_kernel_as_it_is() {
    let mut backend = Backend::new(&[], GUE_PORT);
    let inner = bare(&tcp4(80, SYN, &[]));
    let elsewhere = |packet: Vec<u8>| with_ip(packet, 19, &[77]);
    for (what, packet) in [
        ("ARP", frame(0x0806, &[0; 46])),
        ("TCP to the backend", outer4(0, 6, &inner[20..])),
        ("UDP to another port", outer4(0, 17, &udp(53, b"who is www?"))),
        ("a tunnel to somebody else", elsewhere(outer4(0, 4, &inner))),
        (
            "GRE with Ethernet inside",
            outer4(0, 47, &[&[0, 0, 0x65, 0x58][..], &[0; 60]].concat()),
        ),
        ("TCP over IPv6", outer6(0, 6, &inner[20..])),
        (
            "a broken checksum",
            with(outer4(0, 4, &inner), IP + 10, &[0xBA, 0xD0]),
        ),
        ("a cut packet", outer4(0, 4, &inner)[..60].to_vec()),
    ] {
        let (action, outcome, out) = backend.takes(&packet);
        assert_eq!((action, outcome), (Action::Pass, Outcome::NoTunnel), "{what}");
        assert_eq!(out, packet, "{what}");
    }
    for packet in [
        with_ip(outer4(0, 4, &inner), 6, &[0x20, 0]),
        with_ip(outer4(0, 17, &udp(GUE_PORT, &inner)), 6, &[0, 9]),
        with_extensions(outer6(0, 41, &bare(&tcp6(80, SYN, &[]))), &[fragment(0, true)]),
    ] {
        let (action, outcome, out) = backend.takes(&packet);
        assert_eq!((action, outcome), (Action::Pass, Outcome::Fragment));
        assert_eq!(out, packet);
    }
}

#[test]
fn nonsense_and_nests_are_dropped() {
    use Outcome::{BadChecksum, Malformed, Nested};
    let mut backend = Backend::new(&[], GUE_PORT);
    let inner4 = || bare(&tcp4(80, SYN, &[]));
    let inner6 = || bare(&tcp6(80, SYN, &[]));
    let gue = |bytes: &[u8]| udp(GUE_PORT, bytes);
    let gre = |flags: u8, rest: &[u8]| [&[flags, 0, 8, 0][..], rest].concat();
    let in_gue = |kind, packet: Vec<u8>| gue(&[&[0, kind, 0, 0][..], &packet].concat());
    let with_checksum = |mut packet: Vec<u8>| {
        packet[6..8].copy_from_slice(&[0xBA, 0xD1]);
        packet
    };
    for (what, packet, expected) in [
        ("IPv6 where IPv4 was said", outer4(0, 4, &inner6()), Malformed),
        ("IPv4 where IPv6 was said", outer6(0, 41, &inner4()), Malformed),
        (
            "an inner length beyond the outer",
            outer4(0, 4, &with(inner4(), 2, &[0, 41])),
            Malformed,
        ),
        (
            "an inner length below its header",
            outer4(0, 4, &with(inner4(), 2, &[0, 19])),
            Malformed,
        ),
        (
            "an inner header of four words",
            outer4(0, 4, &with(inner4(), 0, &[0x44])),
            Malformed,
        ),
        (
            "an inner IPv6 length beyond the outer",
            outer6(0, 41, &with(inner6(), 4, &[0, 21])),
            Malformed,
        ),
        ("half a header", outer4(0, 4, &inner4()[..12]), Malformed),
        (
            "GUE's control messages",
            outer4(0, 17, &gue(&[0x20, 4, 0, 0, 0x45])),
            Malformed,
        ),
        ("GUE of nothing", outer4(0, 17, &gue(&[])), Malformed),
        (
            "GRE with a key",
            outer4(0, 47, &gre(0x20, &[&[0, 0, 0, 7], &inner4()[..]].concat())),
            Malformed,
        ),
        (
            "IPIP in IPIP",
            outer4(0, 4, &bare(&outer4(0, 4, &inner4()))),
            Nested,
        ),
        (
            "GRE in IPIP",
            outer4(0, 4, &bare(&outer4(0, 47, &gre(0, &inner4())))),
            Nested,
        ),
        (
            "GUE in GRE",
            outer4(0, 47, &gre(0, &bare(&outer4(0, 17, &in_gue(4, inner4()))))),
            Nested,
        ),
        (
            "IPv6 in IPv6 in IPv6",
            outer6(0, 41, &bare(&outer6(0, 41, &inner6()))),
            Nested,
        ),
        (
            "GUE's checksum",
            outer4(0, 17, &with_checksum(in_gue(4, inner4()))),
            BadChecksum,
        ),
        (
            "GUE's checksum over IPv6",
            outer6(0, 17, &with_checksum(in_gue(41, inner6()))),
            BadChecksum,
        ),
        (
            "GRE's checksum",
            outer4(0, 47, &gre(0x80, &[&[0xBA, 0xD1, 0, 0], &inner4()[..]].concat())),
            BadChecksum,
        ),
    ] {
        let (action, outcome, _) = backend.takes(&packet);
        assert_eq!((action, outcome), (Action::Drop, expected), "{what}");
    }
}

#[test]
fn only_those_who_may_get_packets_in() {
    let mut backend = Backend::new(
        &[
            ("192.0.2.0".parse().unwrap(), 24),
            ("fd01::".parse().unwrap(), 16),
        ],
        GUE_PORT,
    );
    let inner = bare(&tcp4(80, SYN, &[]));
    for packet in [
        outer4(0, 4, &inner),
        outer4(0, 17, &udp(GUE_PORT, &inner)),
        outer6(0, 4, &inner),
    ] {
        let (action, outcome, _) = backend.takes(&packet);
        assert_eq!((action, outcome), (Action::Drop, Outcome::ForeignSource));
    }
    let from_the_network = with_ip(outer4(0, 4, &inner), 12, &[192, 0, 2, 77]);
    assert_eq!(backend.takes(&from_the_network).1, Outcome::Unwrapped);
}

/// The table of RFC 6040, with the packet's checksum right behind it.
#[test]
fn congestion_on_the_way_reaches_whoever_understands_it() {
    const CE: u8 = 3;
    let mut backend = Backend::new(&[], GUE_PORT);
    for dscp in [0u8, 0xB8] {
        for outer in 0..4 {
            for mark in 0..4 {
                let v4 = with_ip(tcp4(80, ACK, b"x"), 1, &[dscp | mark]);
                let v6 = with(tcp6(80, ACK, b"x"), IP, &[0x60 | dscp >> 4, (dscp | mark) << 4]);
                for (wrapped, expected) in [
                    (outer4(outer, 4, &v4[IP..]), v4),
                    (outer6(outer, 41, &v6[IP..]), v6),
                ] {
                    let (action, outcome, out) = backend.takes(&wrapped);
                    if outer == CE && mark == 0 {
                        assert_eq!((action, outcome), (Action::Drop, Outcome::Congested));
                        continue;
                    }
                    assert_eq!(outcome, Outcome::Unwrapped);
                    let leaves = match (outer, mark) {
                        (CE, _) => CE,
                        (1, 2) => 1,
                        (_, mark) => mark,
                    };
                    let expected = if expected[12] == 0x08 {
                        with_ip(expected, 1, &[dscp | leaves])
                    } else {
                        with(expected, IP + 1, &[(dscp | leaves) << 4])
                    };
                    assert_eq!(out[IP..], expected[IP..], "{outer:02b} {mark:02b}");
                }
            }
        }
    }
}
