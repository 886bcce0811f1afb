//! Questions for VIPs' MAC addresses, and answers of others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::abi::{Claim, ClaimSlot};
use lb_tests::{
    neighbour::{
        self, ALL_NODES,
        kind::{ADVERTISEMENT, SOLICITATION},
        solicited_node,
    },
    prog_run::Rig,
};

use crate::{
    case::{Case, check},
    packets::*,
    world::{self, HELD4, HELD6, LAPSED4, LAPSED6},
};

const PEER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
const PEER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3);

fn arp(operation: u8, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    neighbour::arp(operation, ROUTER_MAC, sender, target)
}

fn discovery(kind: u8, to: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    neighbour::discovery(kind, 0, ROUTER_MAC, PEER6, to, target)
}

fn solicitation(target: Ipv6Addr) -> Vec<u8> {
    discovery(SOLICITATION, solicited_node(target), target)
}

/// As the kernel asks whom it knows already.
fn confirmation(target: Ipv6Addr) -> Vec<u8> {
    with(discovery(SOLICITATION, target, target), 0, &OWN_MAC)
}

fn advertisement(target: Ipv6Addr) -> Vec<u8> {
    discovery(ADVERTISEMENT, ALL_NODES, target)
}

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let stranger = Ipv4Addr::new(192, 0, 2, 99);
    let none = Ipv4Addr::UNSPECIFIED;
    vec![
        Case::passes("ARP for a VIP that is always held", "not_ip", arp(1, PEER4, VIP4)),
        Case::passes("ARP for a VIP that is held", "not_ip", arp(1, PEER4, HELD4)),
        Case::drops("ARP for a VIP that is not held", "no_lease", arp(1, PEER4, LAPSED4)),
        Case::drops("the same in a VLAN", "no_lease", tagged(arp(1, PEER4, LAPSED4), &[0x8100])),
        Case::drops("the same in two", "no_lease", tagged(arp(1, PEER4, LAPSED4), &[0x88A8, 0x8100])),
        Case::drops("a probe for a VIP that is not held", "no_lease", arp(1, none, LAPSED4)),
        Case::passes("ARP for somebody else", "not_ip", arp(1, PEER4, stranger)),
        Case::passes("ARP that is cut off", "not_ip", arp(1, PEER4, LAPSED4)[..41].to_vec()),
        Case::passes("reverse ARP", "not_ip", arp(3, PEER4, LAPSED4)),

        Case::passes("a VIP that is held, announced by another", "not_ip", arp(1, HELD4, HELD4)).also("event.vip_claimed"),
        Case::passes("answered for by another", "not_ip", arp(2, HELD4, PEER4)).also("event.vip_claimed"),
        Case::passes("a VIP that is always held, announced by another", "not_ip", arp(1, VIP4, VIP4)).also("event.vip_claimed"),
        Case::drops("a VIP that is not held, announced by who holds it", "no_lease", arp(1, LAPSED4, LAPSED4)),
        Case::passes("answered for by who holds it", "not_ip", arp(2, LAPSED4, PEER4)),

        Case::passes("IPv6: for a VIP that is always held", "not_vip", solicitation(VIP6)),
        Case::passes("IPv6: for a VIP that is held", "not_vip", solicitation(HELD6)),
        Case::drops("IPv6: for a VIP that is not held", "no_lease", solicitation(LAPSED6)),
        Case::drops("IPv6: the same in a VLAN", "no_lease", tagged(solicitation(LAPSED6), &[0x8100])),
        Case::passes("IPv6: is it still there?", "other_protocol", confirmation(HELD6)),
        Case::drops("IPv6: is it still there? No", "no_lease", confirmation(LAPSED6)),
        Case::passes("IPv6: from another link", "not_vip", with(solicitation(LAPSED6), IP + 7, &[254])),
        Case::passes("IPv6: cut off", "not_vip", solicitation(LAPSED6)[..IP + 40 + 23].to_vec()),
        Case::passes("IPv6: for somebody else", "not_vip", solicitation(PEER6)),

        Case::passes("IPv6: a VIP that is held, announced by another", "not_vip", advertisement(HELD6)).also("event.vip_claimed"),
        Case::passes("IPv6: a VIP that is not held, announced by who holds it", "not_vip", advertisement(LAPSED6)),
    ]
}

#[test]
fn questions_for_vips_are_answered_while_they_are_held() {
    check(&cases());
}

/// The claim of this address, if there is a new one.
fn claim(rig: &Rig, address: IpAddr) -> Option<Claim> {
    let slots = rig.kernel.tables.claims[0].iter();
    let claims = slots.filter_map(|slot: &ClaimSlot| slot.read(0));
    claims
        .map(|(_, claim)| claim)
        .find(|claim| claim.vip() == address)
}

#[test]
fn who_claims_a_vip_is_remembered() {
    let mut rig = world::rig();
    for (packet, address) in [
        (tagged(arp(1, HELD4, HELD4), &[0x8100]), IpAddr::from(HELD4)),
        (advertisement(HELD6), HELD6.into()),
    ] {
        let before = claim(&rig, address).map_or(0, |claim| claim.at);
        rig.run(&packet).expect("the kernel takes the packet");
        let claim = claim(&rig, address).expect("a claim");
        assert_eq!(claim.mac(), ROUTER_MAC);
        assert!(claim.at > before);
    }
    rig.run(&arp(2, LAPSED4, PEER4))
        .expect("the kernel takes the packet");
    assert_eq!(claim(&rig, LAPSED4.into()), None);
}

/// That a lease ends needs nobody.
#[test]
fn a_lease_ends_by_itself() {
    use nix::time::{ClockId, clock_gettime};

    let mut rig = world::rig();
    let leases = std::sync::Arc::clone(&rig.kernel.tables.leases);
    let now = || std::time::Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock"));
    let end = now() + std::time::Duration::from_millis(50);
    leases[0].set(world::ENDING, end.as_nanos() as u64);
    let question = arp(1, PEER4, world::ENDING4);
    let mut answered = 0;
    loop {
        let before = now();
        let outcome = rig.run(&question).expect("the kernel takes the packet");
        let dropped = outcome.counted.contains_key("reason.no_lease");
        if dropped {
            assert!(now() >= end);
            break;
        }
        assert!(before < end);
        answered += 1;
    }
    assert!(answered > 0);
}
