//! The life of flows through the program: their states, whom they stay with, and who goes when the table is full.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use lb_common::{
    flow_state::FlowState::{self, *},
    flow_table::{Entry, Snapshot},
    packet::FlowKey,
};
use lb_tests::prog_run::{Action, Flow, INGRESS, Outcome, Rig, SIZES, backend_mac, one_service};
use lb_userspace::{
    core::model::{Frontend, Protocol},
    datapath::MapSizes,
};

use crate::{
    packets::*,
    world::{self, DNS, WEB, address},
};

fn key(vip: IpAddr, client: IpAddr, port: u16, protocol: u8) -> FlowKey {
    FlowKey {
        source: client,
        destination: vip,
        source_port: CLIENT_PORT,
        destination_port: port,
        protocol,
    }
}

fn run(rig: &mut Rig, packet: &[u8]) -> Outcome {
    let outcome = rig.run(packet).expect("the kernel takes the packet");
    assert_eq!(outcome.action, Action::Tx, "{:?}", outcome.counted);
    outcome
}

/// What the client sends, and the state of the flow after each packet. A SYN on a flow that is over enters another.
const LIVES: [&[(u8, FlowState)]; 8] = [
    &[
        (SYN, SynRecv),
        (ACK, Established),
        (ACK | PSH, Established),
        (FIN | ACK, FinWait),
        (ACK, FinWait),
        (RST, Close),
    ],
    // A SYN that is sent again, and one that a server would answer with a challenge.
    &[
        (SYN, SynRecv),
        (SYN, SynRecv),
        (ACK, Established),
        (SYN, Established),
    ],
    // The port is used again right after the end.
    &[
        (SYN, SynRecv),
        (ACK, Established),
        (FIN | ACK, FinWait),
        (SYN, SynRecv),
        (ACK, Established),
    ],
    // A forged RST closes nothing for good.
    &[(ACK, Established), (RST, Close), (ACK | PSH, Established)],
    &[(SYN, SynRecv), (RST | ACK, Close), (SYN, SynRecv)],
    &[(FIN | ACK, FinWait), (FIN | ACK, FinWait)],
    // A SYN with an ACK is no client's, and begins nothing.
    &[(SYN | ACK, SynRecv), (FIN | ACK, FinWait), (SYN | ACK, SynRecv)],
    &[(FIN | ACK, FinWait), (RST, Close), (SYN, SynRecv)],
];

#[test]
fn a_tcp_flow_goes_through_its_states() {
    let mut rig = world::rig();
    let families = [
        (
            tcp4 as fn(u16, u8, &[u8]) -> Vec<u8>,
            IpAddr::V4(VIP4),
            IpAddr::V4(CLIENT4),
        ),
        (tcp6, VIP6.into(), CLIENT6.into()),
    ];
    for (segment, vip, client) in families {
        for life in LIVES {
            rig.forget_flows();
            for (step, &(flags, state)) in life.iter().enumerate() {
                let outcome = run(&mut rig, &segment(80, flags, &[]));
                let expected = Flow {
                    backend: address(WEB.backend),
                    state,
                };
                assert_eq!(
                    rig.flow(&key(vip, client, 80, 6)),
                    Some(expected),
                    "{vip}, step {step} of {life:?}"
                );
                let entered = outcome.counted.contains_key("event.flow_created");
                let over = step > 0 && matches!(life[step - 1].1, FinWait | Close);
                let begins = step == 0 || (over && flags == SYN);
                assert_eq!(entered, begins, "{vip}, step {step} of {life:?}");
            }
        }
    }
}

#[test]
fn datagrams_make_a_flow_without_states() {
    let mut rig = world::rig();
    let expected = Some(Flow {
        backend: address(DNS.backend),
        state: Udp,
    });
    for _ in 0..2 {
        run(&mut rig, &udp4(53, b"x"));
        assert_eq!(rig.flow(&key(VIP4.into(), CLIENT4.into(), 53, 17)), expected);
        run(&mut rig, &udp6(53, b"x"));
        assert_eq!(rig.flow(&key(VIP6.into(), CLIENT6.into(), 53, 17)), expected);
    }
}

#[test]
fn a_reset_of_nothing_known_leaves_no_flow() {
    let mut rig = world::rig();
    run(&mut rig, &tcp4(80, RST, &[]));
    assert_eq!(rig.flow(&key(VIP4.into(), CLIENT4.into(), 80, 6)), Option::None);
}

const WEB_AT_VIP4: Frontend = Frontend {
    vip: IpAddr::V4(VIP4),
    port: 80,
    protocol: Protocol::Tcp,
};

fn from(client: u32, flags: u8) -> Vec<u8> {
    let source = Ipv4Addr::from(0xC633_0000 + client);
    with(syn4(source, VIP4), L4_OF_V4 + 13, &[flags])
}

/// Flows stay where they are when backends come and go, also those of the backend that went.
#[test]
fn a_change_of_backends_moves_no_flow() {
    const BACKENDS: u8 = 100;
    const FLOWS: u32 = 500;
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    let all = one_service(&[WEB_AT_VIP4], BACKENDS, INGRESS);
    let mut fewer = all.clone();
    fewer.services[0]
        .backends
        .retain(|backend| backend.address != address(50));
    rig.configure(&all).expect("a hundred backends fit");

    let backend_of = |rig: &mut Rig, client: u32, flags: u8| -> [u8; 6] {
        run(rig, &from(client, flags)).packet[..6]
            .try_into()
            .expect("six bytes")
    };
    let chosen: Vec<[u8; 6]> = (0..FLOWS).map(|n| backend_of(&mut rig, n, SYN)).collect();
    assert!(
        chosen.contains(&backend_mac(50)),
        "the backend that goes has a flow"
    );
    for desired in [&fewer, &all] {
        rig.configure(desired).expect("fewer backends fit");
        let moved: Vec<u32> = (0..FLOWS)
            .zip(&chosen)
            .filter(|(n, before)| backend_of(&mut rig, *n, ACK) != **before)
            .map(|(n, _)| n)
            .collect();
        assert!(moved.is_empty(), "moved: {moved:?}");
    }

    // New flows avoid the backend that went, and nearly all others are where the flow table would have had them.
    rig.configure(&fewer).expect("fewer backends fit");
    rig.forget_flows();
    let again: Vec<[u8; 6]> = (0..FLOWS).map(|n| backend_of(&mut rig, n, SYN)).collect();
    assert!(!again.contains(&backend_mac(50)));
    let pairs = || {
        chosen
            .iter()
            .zip(&again)
            .filter(|(before, _)| **before != backend_mac(50))
    };
    let moved = pairs().filter(|(before, after)| before != after).count();
    assert!(
        moved * 50 <= pairs().count() * 2,
        "{moved} of {} flows to other backends moved",
        pairs().count()
    );
}

/// A table of two buckets, and the eight flows that fill it.
const TINY: MapSizes = MapSizes { flows_v4: 2, ..SIZES };
const PLACES: u32 = 8;

/// Makes every flow look as if its latest packet had passed so many seconds ago.
fn grow_old(rig: &mut Rig, seconds: u32) {
    let ticks = seconds * rig.kernel.clock().hz();
    let now = rig.kernel.jiffies().expect("the clock can be read") as u32;
    let entries = rig.kernel.tables.flows_v4.iter().flat_map(|b| &b.entries);
    entries.for_each(|entry| entry.last_seen().store(now.wrapping_sub(ticks)));
}

#[test]
fn a_full_table_makes_room_and_says_at_whose_cost() {
    let mut rig = Rig::new(&TINY).expect("the tests of the program need root");
    let dns = Frontend {
        protocol: Protocol::Udp,
        ..WEB_AT_VIP4
    };
    rig.configure(&one_service(&[WEB_AT_VIP4, dns], 1, INGRESS))
        .expect("one backend fits");
    let datagram = |client: u32| {
        let mut packet = udp4(80, b"x");
        packet = with_ip(packet, 12, &(0xC633_0000 + client).to_be_bytes());
        packet
    };
    let rows: [(&[u8], u32, &str); 8] = [
        (&[SYN], 0, "evicted_half_open"),
        (&[SYN, ACK], 0, "evicted_active"),
        (&[SYN, ACK, FIN | ACK], 0, "evicted_closing"),
        (&[SYN, RST], 0, "evicted_closing"),
        (&[SYN, ACK], 899, "evicted_active"),
        (&[SYN, ACK], 901, "evicted_expired"),
        (&[], 0, "evicted_active"),
        (&[], 60, "evicted_idle_datagram"),
    ];
    for (life, age, event) in rows {
        rig.forget_flows();
        for client in 0..PLACES {
            for &flags in life {
                run(&mut rig, &from(client, flags));
            }
            if life.is_empty() {
                run(&mut rig, &datagram(client));
            }
        }
        grow_old(&mut rig, age);
        let outcome = run(&mut rig, &from(PLACES, SYN));
        let events: Vec<(&str, u64)> = outcome
            .counted
            .iter()
            .filter_map(|(name, &n)| Some((name.strip_prefix("event.")?, n)))
            .collect();
        assert_eq!(
            events,
            [(event, 1), ("flow_created", 1)],
            "{life:02x?} {age} s old"
        );
        // The newcomer is in, and one of the others is out.
        let here = |client: u32, protocol| {
            let source = IpAddr::V4(Ipv4Addr::from(0xC633_0000 + client));
            rig.flow(&key(VIP4.into(), source, 80, protocol)).is_some()
        };
        assert!(here(PLACES, 6));
        let protocol = if life.is_empty() { 17 } else { 6 };
        let left = (0..PLACES).filter(|&n| here(n, protocol)).count();
        assert_eq!(left, PLACES as usize - 1, "{life:02x?} {age} s old");
    }
}

/// Timeouts in seconds of the living flows, by port of the client.
fn timeouts(rig: &Rig) -> BTreeMap<u16, u32> {
    let entries = rig
        .kernel
        .tables
        .flows_v4
        .iter()
        .flat_map(|bucket| &bucket.entries);
    let timeout = |flow: Snapshot<_>| {
        let jiffies = rig.kernel.tables.timeouts[0].of(flow.control);
        (
            FlowKey::from(flow.key).source_port,
            jiffies / rig.kernel.clock().hz(),
        )
    };
    entries.filter_map(Entry::snapshot).map(timeout).collect()
}

#[test]
fn a_flow_keeps_the_timeouts_that_it_began_with() {
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    let dns = Frontend {
        protocol: Protocol::Udp,
        ..WEB_AT_VIP4
    };
    let mut desired = one_service(&[dns], 1, INGRESS);
    for (port, seconds) in [(1001, 30), (1002, 90), (1003, 30)] {
        desired.services[0]
            .timeouts
            .set(Udp, Duration::from_secs(seconds));
        rig.configure(&desired).expect("one backend fits");
        run(&mut rig, &with(udp4(80, b"x"), L4_OF_V4, &u16::to_be_bytes(port)));
    }
    assert_eq!(
        timeouts(&rig),
        BTreeMap::from([(1001, 30), (1002, 90), (1003, 30)])
    );
}
