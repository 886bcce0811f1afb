//! Network address translation: what comes out is what etherparse builds for the other addresses, checksums and all.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use etherparse::{PacketBuilder, PacketBuilderStep, SlicedPacket, TcpHeader, TransportSlice};
use lb_common::{flow_state::FlowState, flow_table::Entry, packet::FlowKey};
use lb_tests::{
    fragments::{parts4, parts6},
    prog_run::{Action, DIRECTOR_MAC, INGRESS, Outcome, Rig, SIZES, backend_mac, on_link},
};
use lb_userspace::core::{
    model::{Connections, Forward, Frontend, Pool, Protocol},
    plan::{Desired, DesiredBackend, DesiredService},
    schedule::{Scheduler, Scheduling},
    timeouts::Timeouts,
};

use crate::{packets::*, world::Journal};

/// Reasons that only the tests of this file meet.
pub(crate) const REASONS: [&str; 5] = [
    "no_translation",
    "translation_lost",
    "translation_conflict",
    "translations_full",
    "pool_exhausted",
];

const BACKENDS: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9)),
];
const POOL: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 100)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, 0)),
];
const POOL_PORTS: std::ops::RangeInclusive<u16> = 60_000..=60_004;
/// Port that the servers listen at.
pub(crate) const SERVER_PORT: u16 = 8080;
/// Ports of services: two with NAT, one with full NAT, one whose server listens at the VIP's port.
pub(crate) const NAT: u16 = 200;
pub(crate) const OTHER: u16 = 201;
pub(crate) const FULL: u16 = 202;
pub(crate) const SAME_PORT: u16 = 203;
const TTL: u8 = 61;

pub(crate) fn rig() -> Rig {
    let service = |port: u16, v4: bool, forward| {
        let family = usize::from(!v4);
        let vip = if v4 { IpAddr::V4(VIP4) } else { VIP6.into() };
        DesiredService {
            name: format!("{port}-{v4}"),
            frontends: [Protocol::Tcp, Protocol::Udp]
                .map(|protocol| Frontend { vip, port, protocol })
                .to_vec(),
            areas: Vec::new(),
            scheduling: Scheduling::new(Scheduler::Maglev, 13),
            timeouts: Timeouts::default(),
            forward,
            connections: Connections::default(),
            pool: (forward == Forward::FullNat).then(|| Pool {
                addresses: vec![POOL[family]],
                first_port: *POOL_PORTS.start(),
                last_port: *POOL_PORTS.end(),
            }),
            backends: vec![DesiredBackend {
                port: (port != SAME_PORT).then_some(SERVER_PORT),
                ..DesiredBackend::new(BACKENDS[family], 100)
            }],
        }
    };
    let services = [true, false].into_iter().flat_map(|v4| {
        [
            service(NAT, v4, Forward::Nat),
            service(OTHER, v4, Forward::Nat),
            service(FULL, v4, Forward::FullNat),
            service(SAME_PORT, v4, Forward::Nat),
        ]
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
    rig
}

/// A packet as etherparse builds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) macs: ([u8; 6], [u8; 6]),
    pub(crate) ttl: u8,
    pub(crate) flags: Option<u8>,
}

type Network = PacketBuilderStep<etherparse::IpHeaders>;

fn network(from: IpAddr, to: IpAddr, (source, destination): ([u8; 6], [u8; 6]), ttl: u8) -> Network {
    let link = PacketBuilder::ethernet2(source, destination);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => link.ipv4(from.octets(), to.octets(), ttl),
        (IpAddr::V6(from), IpAddr::V6(to)) => link.ipv6(from.octets(), to.octets(), ttl),
        _ => panic!("{from} and {to} are of two families"),
    }
}

impl Sent {
    pub(crate) fn build(self, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        let network = network(self.from.ip(), self.to.ip(), self.macs, self.ttl);
        let (from, to) = (self.from.port(), self.to.port());
        match self.flags {
            None => network.udp(from, to).write(&mut packet, payload),
            Some(flags) => {
                let mut header = TcpHeader::new(from, to, 1, 1000);
                header.fin = flags & FIN != 0;
                header.syn = flags & SYN != 0;
                header.rst = flags & RST != 0;
                header.ack = flags & ACK != 0;
                network.tcp_header(header).write(&mut packet, payload)
            }
        }
        .expect("memory takes everything");
        packet
    }
}

/// The client's packet to the service at this port, as it comes in.
pub(crate) fn asked(v4: bool, client_port: u16, port: u16, flags: Option<u8>) -> Sent {
    let (client, vip): (IpAddr, IpAddr) = if v4 {
        (CLIENT4.into(), VIP4.into())
    } else {
        (CLIENT6.into(), VIP6.into())
    };
    Sent {
        from: (client, client_port).into(),
        to: (vip, port).into(),
        macs: (ROUTER_MAC, OWN_MAC),
        ttl: TTL,
        flags,
    }
}

/// The same on its way to the backend, from this address.
pub(crate) fn forwarded(asked: Sent, from: SocketAddr, server_port: u16) -> Sent {
    Sent {
        from,
        to: (BACKENDS[usize::from(from.is_ipv6())], server_port).into(),
        macs: (DIRECTOR_MAC, backend_mac(9)),
        ttl: TTL - 1,
        ..asked
    }
}

/// The answer to what was forwarded, as it reaches the director.
pub(crate) fn answered(forwarded: Sent, flags: Option<u8>) -> Sent {
    Sent {
        from: forwarded.to,
        to: forwarded.from,
        macs: (backend_mac(9), DIRECTOR_MAC),
        ttl: TTL,
        flags,
    }
}

/// The same on its way to whoever asked.
pub(crate) fn returned(answered: Sent, asked: Sent) -> Sent {
    Sent {
        from: asked.to,
        to: asked.from,
        macs: (OWN_MAC, ROUTER_MAC),
        ttl: TTL - 1,
        ..answered
    }
}

fn run(rig: &mut Rig, packet: &[u8]) -> Outcome {
    rig.run(packet).expect("the kernel takes the packet")
}

fn sent(rig: &mut Rig, packet: &[u8]) -> Vec<u8> {
    let outcome = run(rig, packet);
    assert_eq!(outcome.action, Action::Tx, "{:?}", outcome.counted);
    outcome.packet
}

/// Where the packet says it comes from.
pub(crate) fn source_of(packet: &[u8]) -> SocketAddr {
    let sliced = SlicedPacket::from_ethernet(packet).expect("a packet");
    let address: IpAddr = match sliced.net.expect("a network header") {
        etherparse::NetSlice::Ipv4(ip) => ip.header().source_addr().into(),
        etherparse::NetSlice::Ipv6(ip) => ip.header().source_addr().into(),
        other @ etherparse::NetSlice::Arp(_) => panic!("{other:?}"),
    };
    let port = match sliced.transport.expect("a transport header") {
        TransportSlice::Tcp(tcp) => tcp.source_port(),
        TransportSlice::Udp(udp) => udp.source_port(),
        other => panic!("{other:?}"),
    };
    (address, port).into()
}

fn refused(rig: &mut Rig, packet: &[u8], reason: &str) {
    let outcome = run(rig, packet);
    assert_eq!(outcome.action, Action::Drop);
    assert_eq!(outcome.counted, [(format!("reason.{reason}"), 1)].into());
}

fn state(rig: &Rig, asked: Sent) -> FlowState {
    let key = FlowKey {
        source: asked.from.ip(),
        destination: asked.to.ip(),
        source_port: asked.from.port(),
        destination_port: asked.to.port(),
        protocol: if asked.flags.is_some() { 6 } else { 17 },
    };
    rig.flow(&key).expect("it has a flow").state
}

#[test]
fn packets_and_replies_are_translated() {
    let mut rig = rig();
    for v4 in [true, false] {
        for (port, server_port) in [(NAT, SERVER_PORT), (FULL, SERVER_PORT), (SAME_PORT, SAME_PORT)] {
            for udp in [false, true] {
                for payload in [&b""[..], b"x", b"data of a client's"] {
                    let flags = |flags| (!udp).then_some(flags);
                    let ask = asked(v4, CLIENT_PORT, port, flags(SYN));
                    let out = sent(&mut rig, &ask.build(payload));
                    let from = if port == FULL {
                        let from = source_of(&out);
                        assert_eq!(from.ip(), POOL[usize::from(!v4)]);
                        assert!(POOL_PORTS.contains(&from.port()));
                        from
                    } else {
                        ask.from
                    };
                    let forward = forwarded(ask, from, server_port);
                    assert_eq!(out, forward.build(payload));
                    let answer = answered(forward, flags(SYN | ACK));
                    let back = sent(&mut rig, &answer.build(payload));
                    assert_eq!(back, returned(answer, ask).build(payload));
                    // The next packet goes the same way.
                    let next = Sent {
                        flags: flags(ACK),
                        ..ask
                    };
                    let out = sent(&mut rig, &next.build(payload));
                    assert_eq!(out, forwarded(next, from, server_port).build(payload));
                }
            }
            rig.forget_flows();
        }
    }
}

#[test]
fn both_sides_are_heard() {
    let mut rig = rig();
    let mut journal = Journal::from_now(&rig);
    let refused = |rig: &Rig| -> u64 {
        let of = |backend| rig.kernel.backend_totals(backend).expect("a counter").refused;
        (0..8).map(of).sum()
    };
    for v4 in [true, false] {
        let before = refused(&rig);
        let ask = |flags| asked(v4, CLIENT_PORT, NAT, Some(flags));
        let reply = |flags| {
            let forward = forwarded(ask(ACK), ask(ACK).from, SERVER_PORT);
            answered(forward, Some(flags)).build(b"")
        };
        // And other directors are told of each change, once the connection is worth it; a reset in answer to a SYN refuses.
        for (packet, expected, noted, refusals) in [
            (ask(SYN).build(b""), FlowState::SynRecv, 0, 0),
            (reply(SYN | ACK), FlowState::SynRecv, 0, 0),
            (ask(ACK).build(b""), FlowState::Established, 1, 0),
            (reply(ACK), FlowState::Established, 0, 0),
            (reply(FIN | ACK), FlowState::FinWait, 1, 0),
            (ask(ACK).build(b""), FlowState::FinWait, 0, 0),
            (ask(FIN | ACK).build(b""), FlowState::TimeWait, 1, 0),
            // The client uses its port again.
            (ask(SYN).build(b""), FlowState::SynRecv, 0, 0),
            (reply(RST | ACK), FlowState::Close, 1, 1),
            // The same reset again says nothing new.
            (reply(RST | ACK), FlowState::Close, 0, 1),
            // And one that ends a connection refuses none.
            (ask(SYN).build(b""), FlowState::SynRecv, 0, 1),
            (ask(ACK).build(b""), FlowState::Established, 1, 1),
            (reply(RST), FlowState::Close, 1, 1),
        ] {
            sent(&mut rig, &packet);
            assert_eq!(
                (state(&rig, ask(ACK)), journal.noted(&rig), refused(&rig) - before),
                (expected, noted, refusals)
            );
        }
    }
}

/// UDP's checksum is never 0 unless there is none, whatever the addresses do to it.
#[test]
fn the_two_zeroes_of_udp_are_kept_apart() {
    let mut rig = rig();
    let ask = asked(true, CLIENT_PORT, NAT, None);
    let forward = forwarded(ask, ask.from, SERVER_PORT);
    let none = with(ask.build(b"data"), L4_OF_V4 + 6, &[0, 0]);
    assert_eq!(
        sent(&mut rig, &none),
        with(forward.build(b"data"), L4_OF_V4 + 6, &[0, 0])
    );
    let mut met = 0;
    for word in 0..=u16::MAX {
        let payload = word.to_be_bytes();
        let expected = forward.build(&payload);
        if expected[L4_OF_V4 + 6..L4_OF_V4 + 8] == [0xFF, 0xFF] || word % 4096 == 0 {
            assert_eq!(sent(&mut rig, &ask.build(&payload)), expected);
            met += 1;
        }
    }
    assert!(met > 16, "no payload that sums to zero");
}

/// An error that quotes so much of a packet.
fn error(v4: bool, from: IpAddr, to: IpAddr, macs: ([u8; 6], [u8; 6]), ttl: u8, quote: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let network = network(from, to, macs, ttl);
    if v4 {
        network.icmpv4_raw(3, 4, [0, 0, 5, 0]).write(&mut packet, quote)
    } else {
        network.icmpv6_raw(2, 0, [0, 0, 5, 0]).write(&mut packet, quote)
    }
    .expect("memory takes everything");
    packet
}

#[test]
fn errors_speak_of_the_packet_that_their_reader_sent() {
    let mut rig = rig();
    for v4 in [true, false] {
        let router: IpAddr = if v4 {
            [203, 0, 113, 1].into()
        } else {
            [0xFD; 16].into()
        };
        for port in [NAT, FULL] {
            for flags in [Some(ACK), None] {
                let ask = asked(v4, CLIENT_PORT, port, flags);
                let from = source_of(&sent(&mut rig, &ask.build(b"hello")));
                let forward = forwarded(ask, from, SERVER_PORT);
                let answer = answered(forward, flags);
                let back = returned(answer, ask);
                let header = if v4 { 20 } else { 40 };
                for quoted in [header + 8, header + 20, header + 25] {
                    // From a router on the way to the client, about a reply.
                    let cut = |packet: Sent| {
                        let packet = packet.build(b"hello")[IP..].to_vec();
                        packet[..quoted.min(packet.len())].to_vec()
                    };
                    let seen = Sent {
                        ttl: answer.ttl,
                        ..back
                    };
                    let macs = (ROUTER_MAC, OWN_MAC);
                    let outcome = sent(&mut rig, &error(v4, router, ask.to.ip(), macs, TTL, &cut(seen)));
                    let source = if port == FULL { from.ip() } else { router };
                    let macs = (DIRECTOR_MAC, backend_mac(9));
                    let told = error(v4, source, answer.from.ip(), macs, TTL - 1, &cut(answer));
                    assert_eq!(outcome, told, "to the backend, {quoted} bytes");
                    // From a router on the way to the backend, about what the client sent.
                    let macs = (backend_mac(9), DIRECTOR_MAC);
                    let outcome = sent(&mut rig, &error(v4, router, from.ip(), macs, TTL, &cut(forward)));
                    let seen = Sent {
                        ttl: forward.ttl,
                        ..ask
                    };
                    let macs = (OWN_MAC, ROUTER_MAC);
                    let told = error(v4, ask.to.ip(), ask.from.ip(), macs, TTL - 1, &cut(seen));
                    assert_eq!(outcome, told, "to the client, {quoted} bytes");
                }
            }
            rig.forget_flows();
        }
    }
}

/// What nobody asked for is the kernel's, as it came.
#[test]
fn what_is_no_reply_passes() {
    let mut rig = rig();
    for v4 in [true, false] {
        let ask = asked(v4, CLIENT_PORT, NAT, Some(SYN));
        let forward = forwarded(ask, ask.from, SERVER_PORT);
        let stranger = answered(forward, Some(ACK)).build(b"");
        let outcome = run(&mut rig, &stranger);
        assert_eq!(outcome.action, Action::Pass);
        assert_eq!(outcome.counted, [("reason.not_vip".to_owned(), 1)].into());
        assert_eq!(outcome.packet, stranger);
    }
}

#[test]
fn a_packet_that_has_used_up_its_hops_goes_no_further() {
    let mut rig = rig();
    for v4 in [true, false] {
        let ask = asked(v4, CLIENT_PORT, NAT, Some(SYN));
        refused_but_entered(&mut rig, &Sent { ttl: 1, ..ask }.build(b""), "ttl_expired");
        let forward = forwarded(ask, ask.from, SERVER_PORT);
        let answer = Sent {
            ttl: 1,
            ..answered(forward, Some(SYN | ACK))
        };
        refused(&mut rig, &answer.build(b""), "ttl_expired");
    }
}

fn refused_but_entered(rig: &mut Rig, packet: &[u8], reason: &str) {
    let outcome = run(rig, packet);
    assert_eq!(outcome.action, Action::Drop);
    assert_eq!(outcome.counted.get(&format!("reason.{reason}")), Some(&1));
}

/// No two living flows share what their replies are named by.
#[test]
fn what_is_taken_is_not_given_out_again() {
    let mut rig = rig();
    for v4 in [true, false] {
        // The same client port to two services with the same backend.
        sent(&mut rig, &asked(v4, CLIENT_PORT, NAT, Some(SYN)).build(b""));
        let second = asked(v4, CLIENT_PORT, OTHER, Some(SYN)).build(b"");
        refused(&mut rig, &second, "translation_conflict");
        sent(&mut rig, &asked(v4, CLIENT_PORT + 1, OTHER, Some(SYN)).build(b""));

        let mut given = BTreeSet::new();
        for client in 0..5 {
            let ask = asked(v4, CLIENT_PORT + client, FULL, Some(SYN));
            assert!(given.insert(source_of(&sent(&mut rig, &ask.build(b"")))));
        }
        let sixth = asked(v4, CLIENT_PORT + 5, FULL, Some(SYN)).build(b"");
        refused(&mut rig, &sixth, "pool_exhausted");
        // Those that have one keep it.
        let first = asked(v4, CLIENT_PORT, FULL, Some(ACK));
        assert!(given.contains(&source_of(&sent(&mut rig, &first.build(b"")))));
        // UDP has ports of its own.
        sent(&mut rig, &asked(v4, CLIENT_PORT, FULL, None).build(b""));
    }
}

#[test]
fn a_full_table_refuses_and_evicts_nobody() {
    let mut rig = rig();
    for v4 in [true, false] {
        let mut entered = Vec::new();
        for client in 0..400 {
            let ask = asked(v4, 1000 + client, NAT, Some(SYN));
            let outcome = run(&mut rig, &ask.build(b""));
            if outcome.action == Action::Tx {
                entered.push(ask);
            } else {
                assert_eq!(
                    outcome.counted,
                    [("reason.translations_full".to_owned(), 1)].into()
                );
            }
        }
        assert!((200..=256).contains(&entered.len()), "{}", entered.len());
        for ask in entered {
            let forward = forwarded(ask, ask.from, SERVER_PORT);
            let answer = answered(forward, Some(SYN | ACK));
            assert_eq!(
                sent(&mut rig, &answer.build(b"")),
                returned(answer, ask).build(b"")
            );
        }
    }
}

#[test]
fn a_flow_without_its_translation_begins_anew() {
    let mut rig = rig();
    for v4 in [true, false] {
        let ask = asked(v4, CLIENT_PORT, NAT, Some(ACK)).build(b"");
        sent(&mut rig, &ask);
        let tables = &rig.kernel.tables;
        let (four, six) = (tables.translations_v4.iter(), tables.translations_v6.iter());
        for entry in four.flat_map(|bucket| &bucket.entries) {
            entry.remove(entry.state());
        }
        for entry in six.flat_map(|bucket| &bucket.entries) {
            entry.remove(entry.state());
        }
        refused(&mut rig, &ask, "translation_lost");
        sent(&mut rig, &ask);
        let reset = asked(v4, CLIENT_PORT + 9, NAT, Some(RST)).build(b"");
        refused(&mut rig, &reset, "no_translation");
    }
}

/// Datagrams in fragments, and replies in fragments: what comes out are the fragments of what comes out in one piece.
#[test]
fn fragments_are_translated() {
    const PART: usize = 800;
    let mut rig = rig();
    let data: Vec<u8> = (0..2500_u16).map(|n| n as u8).collect();
    for v4 in [true, false] {
        let parts = |packet: Sent, name| {
            let whole = packet.build(&data);
            if v4 {
                parts4(&whole, name, PART)
            } else {
                parts6(&whole, name.into(), PART)
            }
        };
        for (port, server_port) in [(NAT, SERVER_PORT), (FULL, SERVER_PORT)] {
            let ask = asked(v4, CLIENT_PORT, port, None);
            let from = source_of(&sent(&mut rig, &ask.build(b"in one piece")));
            let out: Vec<_> = parts(ask, 7).iter().map(|part| sent(&mut rig, part)).collect();
            let forward = forwarded(ask, from, server_port);
            assert_eq!(out, parts(forward, 7));
            let answer = answered(forward, None);
            let back: Vec<_> = parts(answer, 9).iter().map(|part| sent(&mut rig, part)).collect();
            assert_eq!(back, parts(returned(answer, ask), 9));
            // Of a packet of which nothing is known.
            let outcome = run(&mut rig, &parts(answer, 10)[1]);
            assert_eq!(outcome.action, Action::Pass);
            rig.forget_flows();
        }
    }
}
