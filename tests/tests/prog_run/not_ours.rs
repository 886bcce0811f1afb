//! Packets that the kernel gets untouched.

use std::net::{Ipv4Addr, Ipv6Addr};

use lb_common::{abi::AddressSet, packet::address_words};

use crate::{
    case::{Case, check},
    packets::*,
};

/// An address that is no VIP, although the VIP filter cannot tell it from one.
pub(crate) fn collides4() -> Ipv4Addr {
    let filter = AddressSet::default();
    filter.insert(VIP4.into());
    (0x0A00_0000..u32::MAX)
        .map(Ipv4Addr::from)
        .find(|address| *address != VIP4 && filter.may_hold4(u32::from_ne_bytes(address.octets())))
        .expect("one address in 65 536 collides")
}

/// An address that is no VIP, although the VIP filter cannot tell it from one.
pub(crate) fn collides6() -> Ipv6Addr {
    let filter = AddressSet::default();
    filter.insert(VIP6.into());
    (0xFD00 << 112..u128::MAX)
        .map(Ipv6Addr::from)
        .find(|address| *address != VIP6 && filter.may_hold6(address_words(*address)))
        .expect("one address in 65 536 collides")
}

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let stranger4 = Ipv4Addr::new(192, 0, 2, 11);
    let stranger6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11);
    let (collides4, collides6) = (collides4(), collides6());
    let group = [0x01, 0x00, 0x5E, 0, 0, 1];
    vec![
        Case::passes("ARP", "not_ip", frame(0x0806, &[0; 46])),
        Case::passes("LLDP", "not_ip", frame(0x88CC, &[0x02, 0x07, 0x04, 0, 0, 0, 0, 0, 1])),
        Case::passes("IPX", "not_ip", frame(0x8137, &[0xFF; 30])),
        Case::passes("802.3 with a length in place of a type", "not_ip", frame(38, &[0xAA, 0xAA, 3, 0, 0, 0, 8, 0])),
        Case::passes("a frame of a link header alone", "not_ip", frame(0x88B5, &[])),
        Case::passes("ARP in a VLAN", "not_ip", tagged(frame(0x0806, &[0; 46]), &[0x8100])),
        Case::passes("three tags", "not_ip", tagged(tcp4(80, SYN, &[]), &[0x88A8, 0x8100, 0x8100])),
        Case::passes("an old tag's EtherType", "not_ip", tagged(tcp4(80, SYN, &[]), &[0x9100])),

        Case::passes("IPv4 for somebody else", "not_vip", syn4(CLIENT4, stranger4)),
        Case::passes("IPv6 for somebody else", "not_vip", syn6(CLIENT6, stranger6)),
        Case::passes("IPv4 for somebody else in a VLAN", "not_vip", tagged(syn4(CLIENT4, stranger4), &[0x8100])),
        Case::passes("IPv4 from the VIP: a local answer", "not_vip", syn4(VIP4, CLIENT4)),
        Case::passes("IPv6 from the VIP: a local answer", "not_vip", syn6(VIP6, CLIENT6)),
        Case::passes("IPv4 ping to somebody else", "not_vip", echo4(stranger4, 1, &[7; 56])),
        Case::passes("IPv6 ping to somebody else", "not_vip", echo6(stranger6, 1, &[7; 56])),
        Case::passes("IPv4 nonsense to somebody else", "not_vip", with(syn4(CLIENT4, stranger4), IP, &[0x1F; 12])),
        Case::passes("IPv6 nonsense to somebody else", "not_vip", with(syn6(CLIENT6, stranger6), IP, &[0x1F; 8])),
        Case::passes("IPv4 multicast", "not_vip", with(syn4(CLIENT4, Ipv4Addr::new(224, 0, 0, 18)), 0, &group)),

        Case::passes("IPv4 collision: SYN", "not_vip", syn4(CLIENT4, collides4)),
        Case::passes("IPv6 collision: SYN", "not_vip", syn6(CLIENT6, collides6)),
        Case::passes("IPv4 collision: ping", "not_vip", echo4(collides4, 1, &[7; 56])),
        Case::passes("IPv6 collision: ping", "not_vip", echo6(collides6, 1, &[7; 56])),
        Case::passes("IPv4 collision: bad checksum", "not_vip", with(syn4(CLIENT4, collides4), IP + 10, &[0, 0])),
        Case::passes("IPv4 collision: TTL 0", "not_vip", with_ip(syn4(CLIENT4, collides4), 8, &[0])),
        Case::passes("IPv6 collision: hop limit 0", "not_vip", with(syn6(CLIENT6, collides6), IP + 7, &[0])),
        Case::passes("IPv4 collision: fragment", "not_vip", with_ip(syn4(CLIENT4, collides4), 6, &[0x20, 0])),
        Case::passes("IPv4 collision: lying length", "not_vip", with_ip(syn4(CLIENT4, collides4), 2, &[0xFF, 0xFF])),
        Case::passes("IPv4 collision: no TCP flags", "not_vip", with(syn4(CLIENT4, collides4), L4_OF_V4 + 13, &[0])),
        Case::passes("IPv4 collision: group MAC", "not_vip", with(syn4(CLIENT4, collides4), 0, &group)),
        Case::passes("IPv6 collision: extension header", "not_vip",
            with_extensions(syn6(CLIENT6, collides6), &[padding_options(HOP_BY_HOP, 1)])),

        Case::passes("IPv4 VIP, no such TCP port", "no_service", tcp4(8080, SYN, &[])),
        Case::passes("IPv6 VIP, no such TCP port", "no_service", tcp6(8080, SYN, &[])),
        Case::passes("IPv4 VIP, the TCP port over UDP", "no_service", udp4(80, b"x")),
        Case::passes("IPv6 VIP, the UDP port over TCP", "no_service", tcp6(53, SYN, &[])),
        Case::passes("IPv4 VIP, RST to no service", "no_service", tcp4(8080, RST, &[])),

        Case::passes("IPv4 VIP, multicast MAC", "not_unicast_mac", with(tcp4(80, SYN, &[]), 0, &group)),
        Case::passes("IPv4 VIP, broadcast MAC", "not_unicast_mac", with(tcp4(80, SYN, &[]), 0, &[0xFF; 6])),
        Case::passes("IPv6 VIP, multicast MAC", "not_unicast_mac", with(tcp6(80, SYN, &[]), 0, &[0x33, 0x33, 0, 0, 0, 1])),
        Case::passes("IPv4 VIP, ping to a group MAC", "not_unicast_mac", with(echo4(VIP4, 1, &[]), 0, &group)),
    ]
}

#[test]
fn what_is_not_ours_passes_untouched() {
    check(&cases());
}
