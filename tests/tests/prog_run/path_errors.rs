//! Errors from the way to a tunnel's backend, sent on to the client as errors about its own packet.

use std::net::IpAddr;

use anyhow::Result;
use etherparse::{
    Ipv4HeaderSlice, Ipv6HeaderSlice, PacketBuilder, SlicedPacket, TransportSlice, checksum::Sum16BitWords,
};
use lb_tests::{
    Host, Lab,
    prog_run::{Action, Outcome, director_address},
};
use lb_userspace::{core::model::Encapsulation, net::loopback};

use crate::{packets::*, tunnels::World};

/// What the narrow link can carry.
const MTU: u16 = 1400;
/// Addresses of the host that the program runs on; the clients are behind a gateway.
const GATEWAY_MAC: &str = "02:00:00:00:aa:99";

/// Reasons that only the tests of this file meet.
pub(crate) const REASONS: [&str; 1] = ["error_lost"];

/// A host with a route to the clients, and a program with tunnels on it.
fn on_a_host(work: impl FnOnce(&mut World, u32) + Send) -> Result<()> {
    let lab = Lab::new("prog-path-errors")?;
    let switch = lab.switch("public")?;
    let host: Host = lab.host("director")?;
    host.connect(&switch, &["10.0.0.254/24", "2001:db8::d:2/64"])?;
    host.namespace().ip(&[
        "route add default via 10.0.0.1".to_owned(),
        "route add default via 2001:db8::1".to_owned(),
        format!("neigh replace 10.0.0.1 lladdr {GATEWAY_MAC} dev eth0"),
        format!("neigh replace 2001:db8::1 lladdr {GATEWAY_MAC} dev eth0"),
    ])?;
    host.enter(|| {
        loopback::let_it_forward().expect("root may set what the loopback device does");
        let ifindex = nix::net::if_::if_nametoindex("eth0").expect("the host has an interface");
        work(&mut World::new(), ifindex);
    })?;
    Ok(())
}

/// A router's word that the frame's packet, of which it quotes so much, is too long.
fn too_long(frame: &[u8], quoted: usize, mtu: u16, director: IpAddr) -> Vec<u8> {
    let quote = &frame[IP..];
    let quote = &quote[..quoted.min(quote.len())];
    let mut packet = Vec::new();
    let ethernet = PacketBuilder::ethernet2(ROUTER_MAC, OWN_MAC);
    let [a, b] = mtu.to_be_bytes();
    match director {
        IpAddr::V4(director) => ethernet
            .ipv4([10, 9, 9, 9], director.octets(), 60)
            .icmpv4_raw(3, 4, [0, 0, a, b])
            .write(&mut packet, quote),
        IpAddr::V6(director) => ethernet
            .ipv6([0xFD; 16], director.octets(), 60)
            .icmpv6_raw(2, 0, [0, 0, a, b])
            .write(&mut packet, quote),
    }
    .expect("memory takes everything");
    packet
}

const fn overhead(tunnel: Encapsulation, backend: IpAddr, summed: bool) -> u16 {
    let between = match tunnel {
        Encapsulation::Ipip => 0,
        Encapsulation::Gue { .. } => 12,
        Encapsulation::Gre { checksum: true } if summed => 8,
        Encapsulation::Gre { .. } => 4,
    };
    between + if backend.is_ipv6() { 40 } else { 20 }
}

/// Checks the error that the client gets about its packet; the quote is `quoted` bytes long.
fn check(outcome: &Outcome, sent: &[u8], quoted: usize, mtu: u16, v4: bool) {
    assert_eq!(outcome.action, Action::Redirect, "{:?}", outcome.counted);
    assert_eq!(outcome.counted, [("event.error_translated".to_owned(), 1)].into());
    let answer = &outcome.packet;
    assert_eq!(answer[..6], [2, 0, 0, 0, 0xAA, 0x99]);
    let sliced = SlicedPacket::from_ethernet(answer).unwrap();
    match sliced.transport.unwrap() {
        TransportSlice::Icmpv4(icmp) if v4 => {
            let ip = Ipv4HeaderSlice::from_slice(&answer[IP..]).unwrap();
            assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
            assert_eq!((ip.source_addr(), ip.destination_addr()), (VIP4, CLIENT4));
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (3, 4));
            assert_eq!(icmp.bytes5to8()[2..], mtu.to_be_bytes());
            let sum = Sum16BitWords::new().add_slice(icmp.slice());
            assert_eq!(sum.ones_complement(), 0);
            assert_eq!(icmp.payload(), &sent[..quoted]);
        }
        TransportSlice::Icmpv6(icmp) if !v4 => {
            let ip = Ipv6HeaderSlice::from_slice(&answer[IP..]).unwrap();
            assert_eq!((ip.source_addr(), ip.destination_addr()), (VIP6, CLIENT6));
            assert_eq!((icmp.type_u8(), icmp.code_u8()), (2, 0));
            assert_eq!(icmp.bytes5to8()[2..], mtu.to_be_bytes());
            assert!(icmp.is_checksum_valid(ip.source(), ip.destination()));
            assert_eq!(icmp.payload(), &sent[..quoted]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_hears_of_narrow_links_behind_the_director() -> Result<()> {
    on_a_host(|world, _| {
        for (port, tunnel, backend) in world.tunnels.clone() {
            for v4 in [true, false] {
                let data = [7; 1200];
                let sent = if v4 {
                    tcp4(port, ACK, &data)
                } else {
                    tcp6(port, ACK, &data)
                };
                let wrapped = world.forwards(&sent);
                let put_in_front: u16 = overhead(tunnel, backend, true);
                let mtu = MTU - put_in_front;
                let least = if v4 { 28 } else { 48 };
                let inside = usize::from(put_in_front);
                // What left is a hop further than what came.
                let carried = &wrapped[IP + inside..];
                for (quoted, expected) in [
                    (wrapped.len(), 512),
                    (inside + 600, 512),
                    (inside + 511, 128),
                    (inside + 127, least),
                    (inside + least, least),
                ] {
                    let error = too_long(&wrapped, quoted, MTU, director_address(backend));
                    let outcome = world.rig.run(&error).expect("the kernel takes the packet");
                    if outcome.counted.contains_key("reason.error_lost") {
                        // More than may be sent in so short a time.
                        continue;
                    }
                    check(&outcome, carried, expected, mtu, v4);
                }
                let error = too_long(&wrapped, inside + least - 1, MTU, director_address(backend));
                let outcome = world.rig.run(&error).expect("the kernel takes the packet");
                assert_eq!(outcome.counted, [("reason.not_vip".to_owned(), 1)].into());
                assert_eq!((outcome.action, &outcome.packet), (Action::Pass, &error));
            }
        }
    })
}

/// Errors that are none of ours are the kernel's, untouched.
#[test]
fn errors_about_nothing_that_was_sent_are_the_kernels() -> Result<()> {
    on_a_host(|world, _| {
        for (port, tunnel, backend) in world.tunnels.clone() {
            let director = director_address(backend);
            let wrapped = world.forwards(&tcp4(port, ACK, &[7; 600]));
            let inside = IP + usize::from(overhead(tunnel, backend, true));
            let other_port = (CLIENT_PORT + 1).to_be_bytes();
            let to = if backend.is_ipv4() { IP + 19 } else { IP + 39 };
            let mut made_up = vec![
                too_long(
                    &with(wrapped.clone(), inside + 20, &other_port),
                    2000,
                    MTU,
                    director,
                ),
                too_long(&with(wrapped.clone(), inside + 9, &[33]), 2000, MTU, director),
                too_long(&with(wrapped.clone(), inside, &[0x65]), 2000, MTU, director),
                too_long(&with(wrapped.clone(), to, &[77]), 2000, MTU, director),
                // Not from us, and not to us.
                too_long(
                    &with(
                        wrapped.clone(),
                        to - if backend.is_ipv4() { 4 } else { 16 },
                        &[77],
                    ),
                    2000,
                    MTU,
                    director,
                ),
                // Another kind of error, and a ping.
                with(
                    too_long(&wrapped, 2000, MTU, director),
                    if backend.is_ipv4() { L4_OF_V4 } else { L4_OF_V6 },
                    &[11, 0],
                ),
            ];
            if matches!(tunnel, Encapsulation::Gue { .. }) {
                let port = inside - 10;
                made_up.push(too_long(
                    &with(wrapped.clone(), port, &[0, 9]),
                    2000,
                    MTU,
                    director,
                ));
            }
            for error in made_up {
                let outcome = world.rig.run(&error).expect("the kernel takes the packet");
                assert_eq!(
                    outcome.counted,
                    [("reason.not_vip".to_owned(), 1)].into(),
                    "{tunnel:?}"
                );
                assert_eq!((outcome.action, &outcome.packet), (Action::Pass, &error));
            }
        }
    })
}

/// Without a way to the client the error ends here, and is counted.
#[test]
fn without_a_route_to_the_client_the_error_is_lost() {
    let mut world = World::new();
    let (port, tunnel, backend) = world.tunnels[0];
    let wrapped = world.forwards(&tcp4(port, ACK, &[7; 600]));
    assert_eq!(tunnel, Encapsulation::Ipip);
    let error = too_long(&wrapped, 2000, MTU, director_address(backend));
    let outcome = world.rig.run(&error).expect("the kernel takes the packet");
    assert_eq!(outcome.counted, [("reason.error_lost".to_owned(), 1)].into());
    assert_eq!(outcome.action, Action::Drop);
}
