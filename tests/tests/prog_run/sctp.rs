//! SCTP: the first chunk of a packet says what becomes of its association.

use std::net::IpAddr;

use lb_common::{flow_state::FlowState, packet::FlowKey};
use lb_tests::prog_run::{Action, INGRESS, Rig, SIZES, one_service};
use lb_userspace::core::model::{Encapsulation, Forward, Frontend, Protocol};

use crate::packets::*;

const PORT: u16 = 38_412;
const SCTP: u8 = 132;
/// Kinds of chunks (RFC 9260 section 3.2).
const INIT: u8 = 1;
const DATA: u8 = 0;
const ABORT: u8 = 6;
const SHUTDOWN: u8 = 7;
const COOKIE_ECHO: u8 = 10;

/// A packet of the client's whose first chunk is of this kind and claims this length.
fn packet(v4: bool, kind: u8, length: u16) -> Vec<u8> {
    let [a, b] = length.to_be_bytes();
    let ports = [CLIENT_PORT.to_be_bytes(), PORT.to_be_bytes()].concat();
    let association = [&ports[..], &[1, 2, 3, 4, 9, 9, 9, 9, kind, 0, a, b], &[0; 16]].concat();
    let mut packet = Vec::new();
    let link = etherparse::PacketBuilder::ethernet2(ROUTER_MAC, OWN_MAC);
    if v4 {
        link.ipv4(CLIENT4.octets(), VIP4.octets(), 61)
            .write(&mut packet, SCTP.into(), &association)
    } else {
        link.ipv6(CLIENT6.octets(), VIP6.octets(), 61)
            .write(&mut packet, SCTP.into(), &association)
    }
    .expect("memory takes everything");
    packet
}

fn rig(forward: Forward) -> Rig {
    let frontend = |vip| Frontend {
        vip,
        port: PORT,
        protocol: Protocol::Sctp,
    };
    let mut desired = one_service(&[frontend(VIP4.into()), frontend(VIP6.into())], 3, INGRESS);
    desired.services[0].forward = forward;
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    rig.configure(&desired).expect("the service fits");
    rig
}

fn key(v4: bool) -> FlowKey {
    let (source, destination): (IpAddr, IpAddr) = if v4 {
        (CLIENT4.into(), VIP4.into())
    } else {
        (CLIENT6.into(), VIP6.into())
    };
    FlowKey {
        source,
        destination,
        source_port: CLIENT_PORT,
        destination_port: PORT,
        protocol: SCTP,
    }
}

#[test]
fn an_association_keeps_its_backend_to_its_end() {
    let mut rig = rig(Forward::Dr);
    for v4 in [true, false] {
        let mut backends = std::collections::BTreeSet::new();
        for (kind, state) in [
            (INIT, FlowState::SctpInit),
            (INIT, FlowState::SctpInit),
            (COOKIE_ECHO, FlowState::SctpEstablished),
            (DATA, FlowState::SctpEstablished),
            (SHUTDOWN, FlowState::SctpShutdown),
            (INIT, FlowState::SctpInit),
            (ABORT, FlowState::SctpClosed),
            (DATA, FlowState::SctpEstablished),
        ] {
            let sent = packet(v4, kind, 20);
            let outcome = rig.run(&sent).expect("the kernel takes the packet");
            assert_eq!(outcome.action, Action::Tx, "{:?}", outcome.counted);
            assert_eq!(outcome.packet[12..], sent[12..], "only MAC addresses change");
            backends.insert(outcome.packet[..6].to_vec());
            assert_eq!(rig.flow(&key(v4)).expect("it has a flow").state, state);
        }
        assert_eq!(backends.len(), 1, "its port and address decide");
    }
}

#[test]
fn it_goes_through_tunnels() {
    let mut rig = rig(Forward::Tunnel(Encapsulation::Ipip));
    for v4 in [true, false] {
        let sent = packet(v4, INIT, 20);
        let outcome = rig.run(&sent).expect("the kernel takes the packet");
        assert_eq!(outcome.action, Action::Tx, "{:?}", outcome.counted);
        assert!(
            outcome
                .packet
                .ends_with(&sent[if v4 { L4_OF_V4 } else { L4_OF_V6 }..])
        );
        assert_eq!(outcome.packet.len(), sent.len() + 20);
    }
}

#[test]
fn chunks_that_cannot_be_are_refused() {
    let mut rig = rig(Forward::Dr);
    for v4 in [true, false] {
        for length in [0, 3, 21, u16::MAX] {
            let outcome = rig
                .run(&packet(v4, DATA, length))
                .expect("the kernel takes the packet");
            assert_eq!(outcome.action, Action::Drop);
            assert_eq!(
                outcome.counted,
                [("reason.bad_transport_header".to_owned(), 1)].into()
            );
        }
    }
}
