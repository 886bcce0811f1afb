//! More new flows in a second than a service is to have.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
};

use lb_common::flow_table::Entry;
use lb_tests::prog_run::{Action, INGRESS, Rig, SIZES, one_service};
use lb_userspace::core::{
    model::{Connections, Flood, Frontend, Protocol},
    schedule::{Scheduler, Scheduling},
};

use crate::{
    case::{Case, check},
    packets::*,
    world::CALM,
};

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let other = |packet, at| with(packet, at, &[0x77, 0x77]);
    vec![
        Case::drops("IPv4 second connection of a client", "source_flood", tcp4(CALM.port, SYN, &[]))
            .after([other(tcp4(CALM.port, SYN, &[]), L4_OF_V4)]),
        Case::drops("IPv6 second connection of a client", "source_flood", tcp6(CALM.port, SYN, &[]))
            .after([other(tcp6(CALM.port, SYN, &[]), L4_OF_V6)]),
    ]
}

#[test]
fn one_too_many_is_dropped() {
    check(&cases());
}

fn rig(flood: Flood) -> Rig {
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    begin(&mut rig, flood);
    rig
}

/// The service with these limits; no client has begun anything yet.
fn begin(rig: &mut Rig, flood: Flood) {
    let frontends = [IpAddr::from(VIP4), VIP6.into()].map(|vip| Frontend {
        vip,
        port: 80,
        protocol: Protocol::Tcp,
    });
    let mut desired = one_service(&frontends, 4, INGRESS);
    desired.services[0].scheduling = Scheduling::new(Scheduler::Rr, 251);
    desired.services[0].connections = Connections {
        flood,
        ..Connections::default()
    };
    rig.configure(&desired).expect("the service fits");
    rig.forget_flows();
}

fn entered(rig: &Rig) -> usize {
    let tables = &rig.kernel.tables;
    let v4 = tables.flows_v4.iter().flat_map(|bucket| &bucket.entries);
    let v6 = tables.flows_v6.iter().flat_map(|bucket| &bucket.entries);
    v4.filter_map(Entry::snapshot).count() + v6.filter_map(Entry::snapshot).count()
}

const SENT: usize = 30;

/// What counts in the second that runs is between the limit and twice that, since another may begin meanwhile.
fn within(limit: usize, count: usize) -> bool {
    (limit..=2 * limit).contains(&count)
}

#[test]
fn syns_beyond_the_rate_leave_no_entry_and_find_their_backend_again() {
    let mut rig = rig(Flood {
        syn_rate: NonZeroU32::new(10),
        source_rate: None,
    });
    let client = |n: u8| Ipv4Addr::new(203, 0, 113, n);
    let syn = |n: u8| syn4(client(n), VIP4);
    let ack = |n: u8| with(syn(n), L4_OF_V4 + 13, &[ACK]);
    let mut unentered = Vec::new();
    for n in 0..SENT as u8 {
        let before = entered(&rig);
        let outcome = rig.run(&syn(n)).expect("the kernel takes it");
        assert_eq!(outcome.action, Action::Tx);
        if entered(&rig) == before {
            assert_eq!(outcome.counted["event.syn_unentered"], 1);
            unentered.push((n, outcome.packet[5]));
        }
    }
    assert!(within(10, SENT - unentered.len()), "{unentered:?}");
    // The client answers the handshake: it is one that exists.
    for (n, backend) in unentered {
        let before = entered(&rig);
        assert_eq!(rig.send(&ack(n)).expect("the kernel takes it"), Some(backend));
        assert_eq!(entered(&rig), before + 1);
    }
}

#[test]
fn a_client_is_stopped_and_others_are_not() {
    let mut rig = rig(Flood {
        syn_rate: None,
        source_rate: NonZeroU32::new(5),
    });
    let port = |n: u16| (2000 + n).to_be_bytes();
    type Open = fn(u16, [u8; 2]) -> Vec<u8>;
    let families: [Open; 2] = [
        |client, port| {
            let client = Ipv4Addr::new(203, 0, 113, client as u8);
            with(syn4(client, VIP4), L4_OF_V4, &port)
        },
        |client, port| {
            // Its own /64, and many addresses of it.
            let mut address = CLIENT6.octets();
            address[6..8].copy_from_slice(&client.to_be_bytes());
            address[14..].copy_from_slice(&port);
            with(syn6(address.into(), VIP6), L4_OF_V6, &port)
        },
    ];
    for open in families {
        rig.forget_flows();
        let mut dropped = 0;
        for n in 0..SENT as u16 {
            let outcome = rig.run(&open(1, port(n))).expect("the kernel takes it");
            if outcome.action == Action::Drop {
                assert_eq!(outcome.counted["reason.source_flood"], 1);
                dropped += 1;
            }
            assert!(
                rig.send(&open(100 + n, port(n)))
                    .expect("the kernel takes it")
                    .is_some()
            );
        }
        assert!(within(5, SENT - dropped), "{dropped} dropped");
        assert_eq!(entered(&rig), SENT - dropped + SENT);
    }
    // What is known goes on, whatever begins.
    let known = with(syn4(Ipv4Addr::new(203, 0, 113, 100), VIP4), L4_OF_V4, &port(0));
    assert!(
        rig.send(&with(known, L4_OF_V4 + 13, &[ACK]))
            .expect("the kernel takes it")
            .is_some()
    );
}
