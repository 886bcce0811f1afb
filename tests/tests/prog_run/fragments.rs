//! Packets in fragments: the first one is balanced, the others follow it, and what no stack sends is dropped.

use lb_tests::{
    fragments::{parts4, parts6},
    prog_run::Action,
};

use crate::{
    case::{Case, Flow, check},
    packets::*,
    world::{self, DNS, WEB},
};

/// Bytes of a packet's payload that go into a fragment here.
const PART: usize = 1200;

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// An IPv4 fragment of the client's with this protocol, flags and offset, and so much of a payload.
fn odd4(protocol: u8, field: u16, length: usize) -> Vec<u8> {
    let packet = match protocol {
        6 => tcp4(80, ACK, &data(4000)),
        _ => udp4(53, &data(4000)),
    };
    let frame = packet[..L4_OF_V4 + length].to_vec();
    let frame = with_ip(frame, 2, &(20 + length as u16).to_be_bytes());
    with_ip(frame, 6, &field.to_be_bytes())
}

/// The same for IPv6.
fn odd6(protocol: u8, offset: u16, more: bool, length: usize) -> Vec<u8> {
    let packet = match protocol {
        6 => tcp6(80, ACK, &data(4000)),
        _ => udp6(53, &data(4000)),
    };
    with_extensions(packet[..L4_OF_V6 + length].to_vec(), &[fragment(offset, more)])
}

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let [first4, middle4, last4] = <[_; 3]>::try_from(parts4(&udp4(53, &data(3000)), 7, PART)).expect("three parts");
    let [first6, middle6, last6] = <[_; 3]>::try_from(parts6(&udp6(53, &data(3000)), 7, PART)).expect("three parts");
    let [tcp_first4, tcp_last4] = <[_; 2]>::try_from(parts4(&tcp4(80, ACK, &data(2000)), 9, PART)).expect("two parts");
    let [tcp_first6, tcp_last6] = <[_; 2]>::try_from(parts6(&tcp6(80, ACK, &data(2000)), 9, PART)).expect("two parts");
    vec![
        Case::forwards("IPv4 first fragment", &DNS, Flow::New, first4.clone()),
        Case::forwards("IPv4 middle fragment", &DNS, Flow::Old, middle4.clone()).after([first4.clone()]),
        Case::forwards("IPv4 last fragment", &DNS, Flow::Old, last4.clone()).after([first4.clone(), middle4.clone()]),
        Case::forwards("IPv4 last fragment before the middle one", &DNS, Flow::Old, last4.clone()).after([first4.clone()]),
        Case::forwards("IPv6 first fragment", &DNS, Flow::New, first6.clone()),
        Case::forwards("IPv6 middle fragment", &DNS, Flow::Old, middle6.clone()).after([first6.clone()]),
        Case::forwards("IPv6 last fragment", &DNS, Flow::Old, last6.clone()).after([first6.clone(), middle6.clone()]),
        Case::forwards("IPv4 TCP", &WEB, Flow::New, tcp_first4.clone()),
        Case::forwards("IPv4 rest of a segment", &WEB, Flow::Old, tcp_last4.clone()).after([tcp_first4.clone()]),
        Case::forwards("IPv6 TCP", &WEB, Flow::New, tcp_first6.clone()),
        Case::forwards("IPv6 rest of a segment", &WEB, Flow::Old, tcp_last6.clone()).after([tcp_first6.clone()]),
        Case::forwards("IPv6 atomic fragment", &DNS, Flow::New, with_extensions(udp6(53, b"all"), &[fragment(0, false)])),
        Case::forwards("IPv4 in a VLAN", &DNS, Flow::Old, tagged(middle4.clone(), &[0x8100])).after([first4.clone()]),

        Case::drops("IPv4 before the first", "fragment_held", middle4.clone()),
        Case::drops("IPv6 before the first", "fragment_held", last6.clone()),
        Case::drops("IPv4 of another packet", "fragment_held", parts4(&udp4(53, &data(3000)), 8, PART)[1].clone()).after([first4.clone()]),
        Case::drops("IPv6 of another packet", "fragment_held", parts6(&udp6(53, &data(3000)), 8, PART)[1].clone()).after([first6.clone()]),
        Case::drops("IPv4 of another protocol", "fragment_held", tcp_last4.clone()).after([parts4(&udp4(53, &data(3000)), 9, PART)[0].clone()]),
        Case::drops("IPv4 too long to be held", "fragment_unknown", odd4(17, 0x2000 | 185, 3000)),
        Case::drops("IPv6 too long to be held", "fragment_unknown", odd6(17, 185, true, 3000)),

        Case::passes("IPv4 first fragment to nobody", "no_service", parts4(&udp4(54, &data(3000)), 7, PART)[0].clone()),
        Case::passes("IPv6 first fragment to nobody", "no_service", parts6(&udp6(54, &data(3000)), 7, PART)[0].clone()),
        Case::passes("IPv4 fragment of a ping", "fragment", with_ip(echo4(VIP4, 1, &[0; 16]), 6, &[0x20, 0])),
        Case::passes("IPv6 fragment of a ping", "fragment", with_extensions(echo6(VIP6, 1, &[0; 16]), &[fragment(0, true)])),

        Case::drops("IPv4 first without its whole header", "bad_fragment", odd4(6, 0x2000, 16)),
        Case::drops("IPv6 first without its whole header", "bad_fragment", odd6(6, 0, true, 16)),
        Case::drops("IPv4 over the header", "bad_fragment", odd4(6, 0x2000 | 1, 800)),
        Case::drops("IPv6 over the header", "bad_fragment", odd6(6, 2, true, 800)),
        Case::drops("IPv4 of odd length", "bad_fragment", odd4(17, 0x2000 | 10, 801)),
        Case::drops("IPv6 of odd length", "bad_fragment", odd6(17, 10, true, 801)),
        Case::drops("IPv4 beyond the end", "bad_fragment", odd4(17, 0x1FFF, 800)),
        Case::drops("IPv6 beyond the end", "bad_fragment", odd6(17, 0x1FFF, false, 800)),
        Case::drops("IPv4 with nothing in it", "bad_fragment", odd4(17, 100, 0)),
        Case::drops("IPv6 with nothing in it", "bad_fragment", odd6(17, 100, false, 0)),
    ]
}

#[test]
fn fragments_go_where_the_first_one_went() {
    check(&cases());
}

/// Another packet of the same name goes its own way.
#[test]
fn names_of_packets_are_used_again() {
    let mut rig = world::rig();
    let of = |port| parts4(&udp4(port, &data(2000)), 5, PART);
    let run = |rig: &mut lb_tests::prog_run::Rig, frame: &[u8]| {
        let outcome = rig.run(frame).expect("the kernel takes it");
        (outcome.action, outcome.packet[5])
    };
    let [first, last] = <[_; 2]>::try_from(of(53)).expect("two parts");
    assert_eq!(run(&mut rig, &first), (Action::Tx, DNS.backend));
    assert_eq!(run(&mut rig, &last), (Action::Tx, DNS.backend));
    let [first, last] = <[_; 2]>::try_from(parts4(&tcp4(80, ACK, &data(2000)), 5, PART)).expect("two parts");
    assert_eq!(
        run(&mut rig, &last).0,
        Action::Drop,
        "the protocol is part of the name"
    );
    assert_eq!(run(&mut rig, &first), (Action::Tx, WEB.backend));
    assert_eq!(run(&mut rig, &last), (Action::Tx, WEB.backend));
}
