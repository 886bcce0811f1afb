//! IPv6 headers and extension headers that say what cannot be, or what is not for us.

use std::net::Ipv6Addr;

use crate::{
    case::{Case, check},
    packets::*,
};

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let syn = || tcp6(80, SYN, &[]);
    let from = |source: &str| syn6(source.parse().expect("an address"), VIP6);
    let options = || padding_options(DESTINATION_OPTIONS, 1);
    vec![
        Case::drops("version 4 behind IPv6's EtherType", "bad_ip_header", with(syn(), IP, &[0x45])),
        Case::drops("payload length one more than there is", "bad_ip_header", with(syn(), IP + 4, &[0, 21])),
        Case::drops("payload length far beyond the frame", "bad_ip_header", with(syn(), IP + 4, &[0xFF, 0xFF])),
        Case::drops("payload length beyond the frame, in two VLANs", "bad_ip_header",
            tagged(with(syn(), IP + 4, &[0, 21]), &[0x88A8, 0x8100])),
        Case::drops("an extension header longer than the packet", "bad_ip_header",
            with(with_extensions(syn(), &[options()]), L4_OF_V6 + 1, &[200])),
        Case::drops("an extension header in the frame's padding", "bad_ip_header",
            with(with_extensions(syn(), &[options()]), IP + 4, &[0, 7])),
        Case::drops("a routing header in the frame's padding", "bad_ip_header",
            with(with_extensions(syn(), &[routing(1)]), IP + 4, &[0, 0])),
        Case::drops("a second extension header longer than what is left", "bad_ip_header",
            with(with_extensions(syn(), &[options(), options()]), IP + 4, &[0, 15])),
        Case::drops("an extension header that ends the frame", "truncated",
            with_extensions(with(tcp6(80, SYN, &[]), IP + 6, &[DESTINATION_OPTIONS])[..L4_OF_V6].to_vec(), &[options()])),

        Case::drops("hop limit 0", "ttl_expired", with(syn(), IP + 7, &[0])),
        Case::drops("ping with hop limit 0", "ttl_expired", with(echo6(VIP6, 1, &[]), IP + 7, &[0])),

        Case::drops("from nowhere", "martian_source", from("::")),
        Case::drops("from loopback", "martian_source", from("::1")),
        Case::drops("from a multicast group", "martian_source", from("ff02::1")),
        Case::drops("from the last multicast group", "martian_source", from("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
        Case::drops("from the VIP to itself", "martian_source", syn6(VIP6, VIP6)),
        Case::drops("ping from nowhere", "martian_source",
            with(echo6(VIP6, 1, &[]), IP + 8, &Ipv6Addr::UNSPECIFIED.octets())),

        Case::passes("the VIP is a waypoint", "routing_header", with_extensions(syn(), &[routing(1)])),
        Case::passes("the VIP is a waypoint, behind options", "routing_header",
            with_extensions(syn(), &[padding_options(HOP_BY_HOP, 2), routing(255)])),

        Case::drops("seven extension headers", "too_many_extensions",
            with_extensions(syn(), &[(); 7].map(|()| options()))),
        Case::drops("eight extension headers of several kinds", "too_many_extensions",
            with_extensions(syn(), &[padding_options(HOP_BY_HOP, 1), options(), routing(0), options(), options(), options(), options(), options()])),

        Case::passes("ESP", "other_protocol", with(syn(), IP + 6, &[50])),
        Case::passes("no next header", "other_protocol", with(syn(), IP + 6, &[59])),
        Case::passes("authentication header behind options", "other_protocol",
            with_extensions(with(syn(), IP + 6, &[51]), &[options()])),
        Case::passes("mobility header", "other_protocol", with(syn(), IP + 6, &[135])),
        Case::passes("ICMP of IPv4", "other_protocol",
            with(with(echo6(VIP6, 1, &[]), L4_OF_V6, &[8]), IP + 6, &[1])),

        Case::drops("IPv4 in IPv6", "nested_tunnel", with(syn(), IP + 6, &[4])),
        Case::drops("IPv6 in IPv6, behind options", "nested_tunnel",
            with_extensions(with(syn(), IP + 6, &[41]), &[options()])),
        Case::drops("GRE", "nested_tunnel", with(syn(), IP + 6, &[47])),
    ]
}

#[test]
fn an_impossible_ipv6_header_is_never_forwarded() {
    check(&cases());
}

/// The sources just outside the martian ranges are clients like any other.
#[test]
fn neighbours_of_martians_are_clients() {
    use crate::{case::Flow, world::WEB};
    let neighbours = ["::2", "0:0:0:1::1", "::ffff:198.51.100.7", "feff::1", "fe80::1"];
    let case = |source: &str| {
        let source = source.parse().expect("an address");
        Case::forwards("neighbour of a martian", &WEB, Flow::New, syn6(source, VIP6))
    };
    check(&neighbours.map(case));
}
