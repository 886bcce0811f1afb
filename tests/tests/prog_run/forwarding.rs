//! Packets that go to a backend.

use crate::{
    case::{Case, Flow, check},
    packets::*,
    world::{DNS, ELSEWHERE, WEB},
};

/// IEEE 802.1Q.
const VLAN: u16 = 0x8100;
/// IEEE 802.1ad.
const SERVICE_VLAN: u16 = 0x88A8;

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let segment4 = || tcp4(80, ACK | PSH, b"GET / HTTP/1.1\r\n\r\n");
    let segment6 = || tcp6(80, ACK | PSH, b"GET / HTTP/1.1\r\n\r\n");
    let query4 = || udp4(53, b"who is www?");
    let query6 = || udp6(53, b"who is www?");
    vec![
        Case::forwards("IPv4 TCP, new", &WEB, Flow::New, tcp4(80, SYN, &[])),
        Case::forwards("IPv6 TCP, new", &WEB, Flow::New, tcp6(80, SYN, &[])),
        Case::forwards("IPv4 UDP, new", &DNS, Flow::New, query4()),
        Case::forwards("IPv6 UDP, new", &DNS, Flow::New, query6()),
        Case::forwards("IPv4 TCP, known", &WEB, Flow::Old, segment4()).after([tcp4(80, SYN, &[])]),
        Case::forwards("IPv6 TCP, known", &WEB, Flow::Old, segment6()).after([tcp6(80, SYN, &[])]),
        Case::forwards("IPv4 UDP, known", &DNS, Flow::Old, query4()).after([query4()]),
        Case::forwards("IPv6 UDP, known", &DNS, Flow::Old, query6()).after([query6()]),
        Case::forwards("IPv4 TCP, in the middle of a connection that is new here", &WEB, Flow::New, segment4()),
        Case::forwards("IPv6 TCP, in the middle of a connection that is new here", &WEB, Flow::New, segment6()),
        Case::forwards("IPv4 RST of nothing known", &WEB, Flow::Old, tcp4(80, RST, &[])),
        Case::forwards("IPv6 RST of nothing known", &WEB, Flow::Old, tcp6(80, RST, &[])),
        Case::forwards("IPv4 RST of a connection", &WEB, Flow::Old, tcp4(80, RST | ACK, &[])).after([segment4()]),
        Case::forwards("IPv6 RST of a connection", &WEB, Flow::Old, tcp6(80, RST | ACK, &[])).after([segment6()]),
        Case::forwards("IPv4 FIN of nothing known", &WEB, Flow::New, tcp4(80, FIN | ACK, &[])),
        Case::forwards("IPv4 datagram without payload", &DNS, Flow::New, udp4(53, &[])),
        Case::forwards("IPv6 datagram without payload", &DNS, Flow::New, udp6(53, &[])),
        Case::forwards("the same ports over UDP are another flow", &DNS, Flow::New, query4()).after([tcp4(80, SYN, &[])]),

        Case::forwards("IPv4 by another interface", &ELSEWHERE, Flow::New, tcp4(81, SYN, &[])).redirected(),
        Case::forwards("IPv6 by another interface", &ELSEWHERE, Flow::New, tcp6(81, SYN, &[])).redirected(),

        Case::forwards("IPv4 802.1Q", &WEB, Flow::New, tagged(tcp4(80, SYN, &[]), &[VLAN])),
        Case::forwards("IPv6 802.1Q", &WEB, Flow::New, tagged(tcp6(80, SYN, &[]), &[VLAN])),
        Case::forwards("IPv4 802.1ad", &WEB, Flow::New, tagged(tcp4(80, SYN, &[]), &[SERVICE_VLAN])),
        Case::forwards("IPv4 802.1ad and 802.1Q", &WEB, Flow::New, tagged(segment4(), &[SERVICE_VLAN, VLAN])),
        Case::forwards("IPv6 802.1ad and 802.1Q", &DNS, Flow::New, tagged(query6(), &[SERVICE_VLAN, VLAN])),
        Case::forwards("IPv4 two 802.1Q tags", &DNS, Flow::New, tagged(query4(), &[VLAN, VLAN])),

        Case::forwards("IPv4 one word of options", &WEB, Flow::New, with_options(segment4(), &[0x94, 4, 0, 0])),
        Case::forwards("IPv4 all the options there can be", &DNS, Flow::New, with_options(query4(), &[1; 40])),
        Case::forwards("IPv4 options behind two tags", &WEB, Flow::New,
            tagged(with_options(segment4(), &[1, 1, 1, 0x82, 0xAB, 0xCD, 0xEF, 7]), &[SERVICE_VLAN, VLAN])),
        Case::forwards("IPv4 a flow with options is the flow without", &WEB, Flow::Old, with_options(segment4(), &[1; 8]))
            .after([tcp4(80, SYN, &[])]),

        Case::forwards("IPv6 hop-by-hop options", &WEB, Flow::New,
            with_extensions(segment6(), &[padding_options(HOP_BY_HOP, 1)])),
        Case::forwards("IPv6 long destination options", &WEB, Flow::New,
            with_extensions(segment6(), &[padding_options(DESTINATION_OPTIONS, 40)])),
        Case::forwards("IPv6 routing header at its end", &DNS, Flow::New,
            with_extensions(query6(), &[routing(0)])),
        Case::forwards("IPv6 all kinds in the order of RFC 8200", &WEB, Flow::New,
            with_extensions(segment6(), &[
                padding_options(HOP_BY_HOP, 2), padding_options(DESTINATION_OPTIONS, 1),
                routing(0), padding_options(DESTINATION_OPTIONS, 3)])),
        Case::forwards("IPv6 six extension headers", &WEB, Flow::New,
            with_extensions(segment6(), &[(); 6].map(|()| padding_options(DESTINATION_OPTIONS, 1)))),
        Case::forwards("IPv6 a flow with extension headers is the flow without", &WEB, Flow::Old,
            with_extensions(segment6(), &[padding_options(HOP_BY_HOP, 1)])).after([tcp6(80, SYN, &[])]),

        Case::forwards("IPv4 padding of a short frame is no part of the packet", &WEB, Flow::New,
            padded(tcp4(80, SYN, &[]), 60)).with_bytes(54),
        Case::forwards("IPv6 padding behind the packet", &DNS, Flow::New,
            padded(udp6(53, &[]), 100)).with_bytes(62),
        Case::forwards("TTL 1 suffices: the packet is forwarded on the link", &WEB, Flow::New,
            with_ip(tcp4(80, SYN, &[]), 8, &[1])),
        Case::forwards("hop limit 1 suffices", &WEB, Flow::New, with(tcp6(80, SYN, &[]), IP + 7, &[1])),
        Case::forwards("IPv4 don't fragment", &WEB, Flow::New, with_ip(segment4(), 6, &[0x40, 0])),
        Case::forwards("IPv6 traffic class and flow label", &WEB, Flow::New, with(segment6(), IP, &[0x6B, 0x8F, 0xFF, 0xFF])),
        Case::forwards("a SYN with ECN", &WEB, Flow::New, with(tcp4(80, SYN, &[]), L4_OF_V4 + 13, &[SYN | 0xC0])),
    ]
}

fn padded(mut packet: Vec<u8>, length: usize) -> Vec<u8> {
    packet.resize(length, 0x5A);
    packet
}

#[test]
fn packets_for_a_service_go_to_its_backend() {
    check(&cases());
}
