//! IPv4 headers that say what cannot be.

use std::net::Ipv4Addr;

use crate::{
    case::{Case, check},
    packets::*,
};

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let syn = || tcp4(80, SYN, &[]);
    let from = |source: [u8; 4]| syn4(Ipv4Addr::from(source), VIP4);
    vec![
        Case::drops("version 6 behind IPv4's EtherType", "bad_ip_header", with_ip(syn(), 0, &[0x65])),
        Case::drops("version 0", "bad_ip_header", with_ip(syn(), 0, &[0x05])),
        Case::drops("a header of four words", "bad_ip_header", with(syn(), IP, &[0x44])),
        Case::drops("a header of no words", "bad_ip_header", with(syn(), IP, &[0x40])),
        Case::drops("a header longer than the packet", "bad_ip_header", with(syn(), IP, &[0x4F])),
        Case::drops("total length shorter than the header", "bad_ip_header", with_ip(syn(), 2, &[0, 19])),
        Case::drops("total length 0", "bad_ip_header", with_ip(syn(), 2, &[0, 0])),
        Case::drops("total length one more than there is", "bad_ip_header", with_ip(syn(), 2, &[0, 41])),
        Case::drops("total length far beyond the frame", "bad_ip_header", with_ip(syn(), 2, &[0xFF, 0xFF])),
        Case::drops("total length beyond the frame, in a VLAN", "bad_ip_header",
            tagged(with_ip(syn(), 2, &[0, 44]), &[0x8100])),
        Case::drops("total length shorter than the options", "bad_ip_header",
            with_ip(with_options(syn(), &[1; 8]), 2, &[0, 27])),

        Case::drops("checksum 0", "bad_ip_checksum", with(syn(), IP + 10, &[0, 0])),
        Case::drops("one bit wrong in the addresses", "bad_ip_checksum", with(syn(), IP + 12, &[199])),
        Case::drops("one bit wrong in the options", "bad_ip_checksum",
            with(with_options(syn(), &[1; 40]), L4_OF_V4 + 39, &[0])),

        Case::drops("TTL 0", "ttl_expired", with_ip(syn(), 8, &[0])),
        Case::drops("ping with TTL 0", "ttl_expired", with_ip(echo4(VIP4, 1, &[]), 8, &[0])),

        Case::drops("from 0.0.0.0", "martian_source", from([0, 0, 0, 0])),
        Case::drops("from this network", "martian_source", from([0, 1, 2, 3])),
        Case::drops("from loopback", "martian_source", from([127, 0, 0, 1])),
        Case::drops("from the end of loopback", "martian_source", from([127, 255, 255, 255])),
        Case::drops("from a multicast group", "martian_source", from([224, 0, 0, 1])),
        Case::drops("from the last multicast group", "martian_source", from([239, 255, 255, 255])),
        Case::drops("from a reserved address", "martian_source", from([240, 0, 0, 1])),
        Case::drops("from broadcast", "martian_source", from([255, 255, 255, 255])),
        Case::drops("from the VIP to itself", "martian_source", from(VIP4.octets())),
        Case::drops("ping from loopback", "martian_source",
            with_ip(echo4(VIP4, 1, &[]), 12, &[127, 0, 0, 1])),

        Case::passes("ESP", "other_protocol", with_ip(syn(), 9, &[50])),
        Case::passes("VRRP to the VIP", "other_protocol", with_ip(syn(), 9, &[112])),
        Case::passes("DCCP", "other_protocol", with_ip(syn(), 9, &[33])),
        Case::passes("TCP port 0 of a protocol without ports", "other_protocol",
            with_ip(with(syn(), L4_OF_V4, &[0; 4]), 9, &[50])),
        Case::passes("ICMP of IPv6", "other_protocol",
            with_ip(with(echo4(VIP4, 1, &[]), L4_OF_V4, &[128]), 9, &[58])),

        Case::drops("IPv4 in IPv4", "nested_tunnel", with_ip(syn(), 9, &[4])),
        Case::drops("IPv6 in IPv4", "nested_tunnel", with_ip(syn(), 9, &[41])),
        Case::drops("GRE", "nested_tunnel", with_ip(syn(), 9, &[47])),
    ]
}

#[test]
fn an_impossible_ipv4_header_is_never_forwarded() {
    check(&cases());
}

/// The sources just outside the martian ranges are clients like any other.
#[test]
fn neighbours_of_martians_are_clients() {
    use crate::{case::Flow, world::WEB};
    let neighbours = [
        [1, 0, 0, 0],
        [126, 255, 255, 255],
        [128, 0, 0, 0],
        [223, 255, 255, 255],
    ];
    let case = |source: [u8; 4]| {
        Case::forwards(
            "neighbour of a martian",
            &WEB,
            Flow::New,
            syn4(source.into(), VIP4),
        )
    };
    check(&neighbours.map(case));
}
