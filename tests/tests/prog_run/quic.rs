//! QUIC's connection IDs: a client that changes its address keeps its backend.

use std::net::IpAddr;

use lb_tests::prog_run::{Action, INGRESS, Rig, SIZES, one_service};
use lb_userspace::core::model::{Frontend, Protocol};

use crate::packets::*;

const PORT: u16 = 443;
const BACKENDS: u8 = 8;

/// Server IDs of two bytes, that of 10.0.0.n being 0x0A00 + n.
fn rig() -> Rig {
    let frontend = |vip: IpAddr| Frontend {
        vip,
        port: PORT,
        protocol: Protocol::Udp,
    };
    let mut desired = one_service(&[frontend(VIP4.into()), frontend(VIP6.into())], BACKENDS, INGRESS);
    let service = &mut desired.services[0];
    service.connections.server_id_length = 2;
    for (backend, n) in service.backends.iter_mut().zip(1..) {
        backend.server_id = Some(0x0A00 + n);
    }
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    rig.configure(&desired).expect("the service fits");
    rig
}

/// A datagram of a client's port whose payload begins so.
fn datagram(v4: bool, client_port: u16, payload: &[u8]) -> Vec<u8> {
    let payload = [payload, &[0; 30]].concat();
    let packet = if v4 {
        udp4(PORT, &payload)
    } else {
        udp6(PORT, &payload)
    };
    with(
        packet,
        if v4 { L4_OF_V4 } else { L4_OF_V6 },
        &client_port.to_be_bytes(),
    )
}

/// Which backend it goes to.
fn backend(rig: &mut Rig, packet: &[u8]) -> u8 {
    let outcome = rig.run(packet).expect("the kernel takes the packet");
    assert_eq!(outcome.action, Action::Tx, "{:?}", outcome.counted);
    outcome.packet[5]
}

/// A short header, and a connection ID of this backend's.
fn short(n: u8) -> [u8; 6] {
    [0x5A, 0x07, 0x0A, n, 0xDE, 0xAD]
}

#[test]
fn a_client_that_changes_its_address_keeps_its_backend() {
    let mut rig = rig();
    for v4 in [true, false] {
        for n in 1..=BACKENDS {
            for client_port in 0..20 {
                let packet = datagram(v4, 5000 + u16::from(n) * 20 + client_port, &short(n));
                assert_eq!(backend(&mut rig, &packet), n);
            }
        }
    }
}

/// What names nobody is scheduled like the first packet of a connection, and a flow that is known stays where it is.
#[test]
fn all_other_packets_are_scheduled() {
    let mut rig = rig();
    for v4 in [true, false] {
        let mut met = std::collections::BTreeSet::new();
        for client_port in 1000..1060 {
            let first = backend(&mut rig, &datagram(v4, client_port, &[0xC3, 0, 0, 0, 1]));
            met.insert(first);
            let other = first % BACKENDS + 1;
            assert_eq!(
                backend(&mut rig, &datagram(v4, client_port, &short(other))),
                first
            );
            let nobody = [0x5A, 0x07, 0x0B, 1];
            let named = backend(&mut rig, &datagram(v4, client_port, &nobody));
            assert_eq!(named, first, "it is known");
            rig.forget_flows();
            assert_eq!(backend(&mut rig, &datagram(v4, client_port, &nobody)), first);
        }
        assert!(met.len() > 4, "{met:?}");
    }
}
