//! What services do with connections beside scheduling them: clients that keep their backend, datagrams that are on their
//! own, and connections that nobody knows.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use lb_common::{
    flow_state::FlowState,
    flow_table::{Entry, Entry4},
    packet::protocol,
};
use lb_tests::prog_run::{Action, INGRESS, Rig, SIZES, one_service};
use lb_userspace::{
    core::{
        model::{Connections, Frontend, Persistence, Protocol, Telling},
        plan::Desired,
        schedule::{Scheduler, Scheduling},
    },
    datapath::{Ending, end},
};

use crate::{
    case::{Case, Flow, check},
    packets::*,
    world::{Journal, SILENT, STRICT},
};

/// A segment with this acknowledgement.
fn acknowledging(packet: Vec<u8>, at: usize, number: u32) -> Vec<u8> {
    with(packet, at + 8, &number.to_be_bytes())
}

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let ack = 0xFEDC_BA98;
    vec![
        Case::resets("IPv4 data of an unknown connection",
            acknowledging(tcp4(STRICT.port, ACK | PSH, b"GET /"), L4_OF_V4, ack), reset4(STRICT.port, ack, None)),
        Case::resets("IPv6 data of an unknown connection",
            acknowledging(tcp6(STRICT.port, ACK | PSH, b"GET /"), L4_OF_V6, ack), reset6(STRICT.port, ack, None)),
        Case::resets("IPv4 behind options",
            with_options(acknowledging(tcp4(STRICT.port, ACK, &[7; 900]), L4_OF_V4, ack), &[1; 12]),
            reset4(STRICT.port, ack, None)),
        Case::resets("IPv6 behind an extension header",
            with_extensions(acknowledging(tcp6(STRICT.port, ACK, &[7; 900]), L4_OF_V6, ack), &[padding_options(HOP_BY_HOP, 2)]),
            reset6(STRICT.port, ack, None)),
        Case::resets("the answer to a SYN and ACK", acknowledging(tcp4(STRICT.port, SYN | ACK, &[]), L4_OF_V4, 5), reset4(STRICT.port, 5, None)),
        Case::drops("a reset is not answered", "unknown_flow", tcp4(STRICT.port, RST, &[])),
        Case::drops("nor is one with an ACK", "unknown_flow", tcp6(STRICT.port, RST | ACK, &[])),
        Case::forwards("a SYN begins a connection", &STRICT, Flow::New, tcp4(STRICT.port, SYN, &[])),
        Case::forwards("which goes on", &STRICT, Flow::Old, tcp6(STRICT.port, ACK, &[])).after([tcp6(STRICT.port, SYN, &[])]),
        Case::drops("IPv4 unknown connection that is dropped", "unknown_flow", tcp4(SILENT.port, ACK, &[])),
        Case::drops("IPv6 unknown connection that is dropped", "unknown_flow", tcp6(SILENT.port, FIN | ACK, &[])),
        Case::forwards("a connection that is known", &SILENT, Flow::Old, tcp4(SILENT.port, ACK, &[])).after([tcp4(SILENT.port, SYN, &[])]),
    ]
}

#[test]
fn unknown_connections_meet_what_their_service_has_for_them() {
    check(&cases());
}

const fn frontend(vip: IpAddr, port: u16, protocol: Protocol) -> Frontend {
    Frontend { vip, port, protocol }
}

fn service(frontends: &[Frontend], connections: Connections) -> Desired {
    let mut desired = one_service(frontends, 4, INGRESS);
    desired.services[0].scheduling = Scheduling::new(Scheduler::Rr, 251);
    desired.services[0].connections = connections;
    desired
}

fn rig(desired: &Desired) -> Rig {
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    rig.configure(desired).expect("the service fits");
    rig
}

fn send(rig: &mut Rig, packet: &[u8]) -> u8 {
    let sent = rig.send(packet).expect("the kernel takes it");
    sent.expect("a backend")
}

/// A SYN of an IPv4 client from and to these ports.
fn open4(client: Ipv4Addr, from: u16, to: u16) -> Vec<u8> {
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    with(syn4(client, VIP4), L4_OF_V4, &ports)
}

/// A SYN of the IPv6 client whose address ends in this, from and to these ports.
fn open6(client: u64, from: u16, to: u16) -> Vec<u8> {
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    let mut address = CLIENT6.octets();
    address[8..].copy_from_slice(&client.to_be_bytes());
    with(syn6(address.into(), VIP6), L4_OF_V6, &ports)
}

fn states(rig: &Rig) -> BTreeMap<FlowState, usize> {
    let mut states = BTreeMap::new();
    let v4 = rig
        .kernel
        .tables
        .flows_v4
        .iter()
        .flat_map(|bucket| &bucket.entries);
    let v6 = rig
        .kernel
        .tables
        .flows_v6
        .iter()
        .flat_map(|bucket| &bucket.entries);
    let v4 = v4.filter_map(Entry::snapshot).map(|flow| flow.control.state());
    let v6 = v6.filter_map(Entry::snapshot).map(|flow| flow.control.state());
    v4.chain(v6)
        .for_each(|state| *states.entry(state).or_default() += 1);
    states
}

#[test]
fn a_client_keeps_its_backend() {
    let both = |port| {
        [
            frontend(VIP4.into(), port, Protocol::Tcp),
            frontend(VIP6.into(), port, Protocol::Tcp),
        ]
    };
    let persistence = Persistence {
        prefix_v4: 24,
        prefix_v6: 64,
    };
    let connections = Connections {
        persistence: Some(persistence),
        ..Connections::default()
    };
    let mut desired = service(&[both(80), both(443)].concat(), connections);
    let mut rig = rig(&desired);
    let mut journal = Journal::from_now(&rig);
    let client = |n: u8| Ipv4Addr::new(198, 51, 100, n);
    let other = Ipv4Addr::new(198, 51, 101, 7);

    // In turn, but for clients that were there before: whatever their ports, whatever that of the service.
    let own = send(&mut rig, &open4(client(7), 1000, 80));
    for port in 1001..1040 {
        assert_eq!(send(&mut rig, &open4(client(7), port, 80)), own);
        assert_eq!(send(&mut rig, &open4(client(7), port, 443)), own);
        assert_eq!(send(&mut rig, &open4(client(port as u8), port, 443)), own);
    }
    let own_of_other = send(&mut rig, &open4(other, 1000, 443));
    assert_ne!(own_of_other, own, "the turn is another's");
    let own6 = send(&mut rig, &open6(7, 1000, 80));
    assert_eq!(send(&mut rig, &open6(0xFFFF_0000_0000, 2000, 443)), own6);
    assert_eq!(states(&rig)[&FlowState::Template], 3, "{:?}", states(&rig));
    assert_eq!(
        journal.noted(&rig),
        3,
        "other directors hear of it, and not of handshakes"
    );

    // Weights move nobody.
    for backend in &mut desired.services[0].backends {
        backend.weight = 7;
    }
    desired.services[0].backends[usize::from(own) - 1].weight = 1;
    rig.configure(&desired).expect("it fits");
    assert_eq!(send(&mut rig, &open4(client(7), 3000, 80)), own);

    // Whoever takes no new connections takes no old clients either, and when it comes back they are at home elsewhere.
    desired.services[0].backends[usize::from(own) - 1].weight = 0;
    rig.configure(&desired).expect("it fits");
    let next = send(&mut rig, &open4(client(7), 4000, 80));
    assert_ne!(next, own);
    assert_eq!(
        send(&mut rig, &with(open4(client(7), 3000, 80), L4_OF_V4 + 13, &[ACK])),
        own,
        "connections stay"
    );
    desired.services[0].backends[usize::from(own) - 1].weight = 1;
    rig.configure(&desired).expect("it fits");
    assert_eq!(send(&mut rig, &open4(client(9), 4001, 443)), next);
    assert_eq!(states(&rig)[&FlowState::Template], 3);

    // Nor does one that left.
    desired.services[0].backends.remove(usize::from(next) - 1);
    rig.configure(&desired).expect("it fits");
    assert_ne!(send(&mut rig, &open4(client(7), 5000, 80)), next);
    assert_ne!(send(&mut rig, &open6(1, 5000, 80)), next);
}

#[test]
fn a_segment_of_an_unknown_connection_goes_where_its_client_is() {
    let connections = Connections {
        persistence: Some(Persistence::default()),
        ..Connections::default()
    };
    let mut rig = rig(&service(&[frontend(VIP4.into(), 80, Protocol::Tcp)], connections));
    for n in 0..20 {
        let client = Ipv4Addr::new(203, 0, 113, n);
        let own = send(&mut rig, &open4(client, 1000, 80));
        let middle = with(open4(client, 2000, 80), L4_OF_V4 + 13, &[ACK]);
        assert_eq!(send(&mut rig, &middle), own);
    }
}

#[test]
fn a_template_lives_on_as_connections_begin_and_end() {
    let connections = Connections {
        persistence: Some(Persistence::default()),
        ..Connections::default()
    };
    let mut rig = rig(&service(&[frontend(VIP4.into(), 80, Protocol::Tcp)], connections));
    send(&mut rig, &open4(CLIENT4, 1000, 80));
    let stamp = |rig: &Rig, change: Option<u32>| {
        let mut entries = rig
            .kernel
            .tables
            .flows_v4
            .iter()
            .flat_map(|bucket| &bucket.entries);
        let is_template = |entry: &&Entry4| {
            entry.state().is_live() && entry.key().words[1] >> 32 == u64::from(protocol::TEMPLATE)
        };
        let entry = entries.find(is_template).expect("a template");
        if let Some(change) = change {
            entry.last_seen().store(change);
        }
        entry.last_seen().load()
    };
    // Whether the template is used by a segment of the connection.
    let uses = |rig: &mut Rig, flags: u8| {
        stamp(rig, Some(1));
        send(rig, &with(open4(CLIENT4, 1000, 80), L4_OF_V4 + 13, &[flags]));
        stamp(rig, None) != 1
    };
    // The handshake's last segment changes the state; whatever follows does not, until the end.
    assert!(uses(&mut rig, ACK | PSH));
    assert!(!uses(&mut rig, ACK | PSH));
    assert!(uses(&mut rig, FIN | ACK));
}

#[test]
fn datagrams_on_their_own_take_turns_and_leave_no_flow() {
    let connections = Connections {
        one_packet: true,
        ..Connections::default()
    };
    let frontends = [
        frontend(VIP4.into(), 53, Protocol::Udp),
        frontend(VIP6.into(), 53, Protocol::Udp),
        frontend(VIP4.into(), 53, Protocol::Tcp),
    ];
    let mut rig = rig(&service(&frontends, connections));
    for round in 0..6 {
        for (packet, own) in [(udp4(53, b"x"), [1, 3]), (udp6(53, b"x"), [2, 4])] {
            let outcome = rig.run(&packet).expect("the kernel takes it");
            assert_eq!(outcome.action, Action::Tx);
            let backend = outcome.packet[5];
            assert_eq!(backend, own[round % 2], "round {round}");
            let address = format!("backend.10.0.0.{backend}");
            let counted = BTreeMap::from([
                (format!("{address}.packets"), 1),
                (format!("{address}.bytes"), packet.len() as u64),
                (format!("{address}.flows"), 1),
            ]);
            assert_eq!(outcome.counted, counted);
        }
    }
    assert_eq!(states(&rig), BTreeMap::new());
    let first = send(&mut rig, &tcp4(53, SYN, &[]));
    assert_eq!(send(&mut rig, &tcp4(53, ACK, &[])), first, "TCP has connections");
    assert_eq!(states(&rig).len(), 1);
}

/// What is noted of a first packet; that a connection goes on to another state is noted whatever the service says.
#[test]
fn services_say_when_other_directors_hear_of_a_connection() {
    for (sync, of_syn, of_datagram) in [
        (Telling::Established, 0, 1),
        (Telling::FirstPacket, 1, 1),
        (Telling::Off, 0, 0),
    ] {
        let connections = Connections {
            sync,
            ..Connections::default()
        };
        let frontends = [
            frontend(VIP4.into(), 80, Protocol::Tcp),
            frontend(VIP6.into(), 80, Protocol::Tcp),
            frontend(VIP4.into(), 53, Protocol::Udp),
            frontend(VIP6.into(), 53, Protocol::Udp),
        ];
        let mut rig = rig(&service(&frontends, connections));
        let mut journal = Journal::from_now(&rig);
        let mut noted = |packet: Vec<u8>| {
            send(&mut rig, &packet);
            journal.noted(&rig)
        };
        for segment in [tcp4 as fn(u16, u8, &[u8]) -> Vec<u8>, tcp6] {
            assert_eq!(noted(segment(80, SYN, &[])), of_syn, "{sync:?}");
            assert_eq!(noted(segment(80, SYN, &[])), 0, "{sync:?}: the same once more");
            assert_eq!(noted(segment(80, ACK, &[])), 1, "{sync:?}");
            assert_eq!(noted(segment(80, ACK, &[])), 0, "{sync:?}");
        }
        for datagram in [udp4 as fn(u16, &[u8]) -> Vec<u8>, udp6] {
            assert_eq!(noted(datagram(53, b"x")), of_datagram, "{sync:?}");
            assert_eq!(noted(datagram(53, b"y")), 0, "{sync:?}");
        }
    }
}

#[test]
fn a_connection_that_was_ended_is_reset_at_both_ends() {
    let mut rig = rig(&service(
        &[
            frontend(VIP4.into(), 80, Protocol::Tcp),
            frontend(VIP6.into(), 80, Protocol::Tcp),
        ],
        Connections::default(),
    ));
    let families = [
        (
            tcp4 as fn(u16, u8, &[u8]) -> Vec<u8>,
            reset4 as fn(u16, u32, Option<u32>) -> Vec<u8>,
            L4_OF_V4,
        ),
        (tcp6, reset6, L4_OF_V6),
    ];
    for (segment, reset, at) in families {
        rig.forget_flows();
        let all: BTreeMap<u32, Ending> = (0..4).map(|number| (number, Ending::Reset)).collect();
        let establish = |rig: &mut Rig| {
            send(rig, &segment(80, SYN, &[]));
            send(rig, &segment(80, ACK, &[]));
            let tables = &rig.kernel.tables;
            let ended = end(&tables.flows_v4, &tables.translations_v4, &tables.loads, &all)
                + end(&tables.flows_v6, &tables.translations_v6, &tables.loads, &all);
            assert_eq!(ended, 1);
            assert_eq!(states(rig), BTreeMap::from([(FlowState::Ended, 1)]));
        };
        // The client's first segment becomes a reset for the backend, the next is answered with one.
        establish(&mut rig);
        let said = summed(acknowledging(segment(80, ACK | PSH, b"more"), at, 77), at);
        let outcome = rig.run(&said).expect("the kernel takes it");
        assert_eq!(outcome.action, Action::Tx);
        assert_eq!(outcome.packet, severed(&outcome.packet[..14], &said, at));
        assert_eq!(states(&rig), BTreeMap::from([(FlowState::Severed, 1)]));
        let outcome = rig.run(&said).expect("the kernel takes it");
        assert_eq!(outcome.action, Action::Tx);
        assert_eq!(outcome.packet, reset(80, 77, None));
        assert_eq!(states(&rig), BTreeMap::new());

        // A segment that acknowledges nothing is told what was heard of it: here five bytes, which begin at 1.
        establish(&mut rig);
        send(&mut rig, &said);
        let outcome = rig
            .run(&segment(80, FIN | ACK, &[]))
            .expect("the kernel takes it");
        assert_eq!(outcome.packet, reset(80, 0, None));

        // The client may begin another at once.
        establish(&mut rig);
        send(&mut rig, &segment(80, SYN, &[]));
        assert_eq!(states(&rig), BTreeMap::from([(FlowState::SynRecv, 1)]));
    }
}

/// A client's segment as it goes to a backend for which it is to be a reset, in a frame that begins like this.
fn severed(ethernet: &[u8], segment: &[u8], at: usize) -> Vec<u8> {
    let mut packet = [ethernet, &segment[ethernet.len()..]].concat();
    packet[at + 13] = RST | ACK;
    summed(packet, at)
}

/// The frame with the right checksum in its segment.
fn summed(mut packet: Vec<u8>, at: usize) -> Vec<u8> {
    packet[at + 16..at + 18].fill(0);
    let checksum = tcp_checksum(&packet).to_be_bytes();
    packet[at + 16..at + 18].copy_from_slice(&checksum);
    packet
}

/// What the checksum of the segment in this frame has to be.
fn tcp_checksum(frame: &[u8]) -> u16 {
    let sliced = etherparse::SlicedPacket::from_ethernet(frame).expect("well-formed");
    let Some(etherparse::TransportSlice::Tcp(tcp)) = &sliced.transport else {
        panic!("no TCP")
    };
    let checksum = match sliced.net.as_ref().expect("an IP packet") {
        etherparse::NetSlice::Ipv4(ip) => {
            tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination())
        }
        etherparse::NetSlice::Ipv6(ip) => {
            tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination())
        }
        etherparse::NetSlice::Arp(_) => panic!("not IP"),
    };
    checksum.expect("short enough")
}
