//! TCP and UDP headers that say what cannot be.

use crate::{
    case::{Case, check},
    packets::*,
};

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let syn4 = || tcp4(80, SYN, &[]);
    let syn6 = || tcp6(80, SYN, &[]);
    let query4 = || udp4(53, b"who is www?");
    let query6 = || udp6(53, b"who is www?");
    let flags4 = |flags| with(syn4(), L4_OF_V4 + 13, &[flags]);
    let flags6 = |flags| with(syn6(), L4_OF_V6 + 13, &[flags]);
    vec![
        Case::drops("IPv4 no flags", "bad_tcp_flags", flags4(0)),
        Case::drops("IPv6 no flags", "bad_tcp_flags", flags6(0)),
        Case::drops("IPv4 SYN and FIN", "bad_tcp_flags", flags4(SYN | FIN)),
        Case::drops("IPv6 SYN and FIN", "bad_tcp_flags", flags6(SYN | FIN)),
        Case::drops("IPv4 SYN and RST", "bad_tcp_flags", flags4(SYN | RST)),
        Case::drops("IPv6 SYN and RST", "bad_tcp_flags", flags6(SYN | RST | ACK)),
        Case::drops("IPv4 Christmas tree", "bad_tcp_flags", flags4(FIN | PSH | URG)),
        Case::drops("IPv6 every flag", "bad_tcp_flags", flags6(0xFF)),
        Case::drops("IPv4 FIN alone", "bad_tcp_flags", flags4(FIN)),
        Case::drops("IPv4 PSH alone", "bad_tcp_flags", flags4(PSH)),
        Case::drops("IPv4 no flags on a known flow", "bad_tcp_flags", flags4(0)).after([syn4()]),

        Case::drops("IPv4 TCP source port 0", "port_zero", with(syn4(), L4_OF_V4, &[0, 0])),
        Case::drops("IPv4 TCP destination port 0", "port_zero", with(syn4(), L4_OF_V4 + 2, &[0, 0])),
        Case::drops("IPv6 TCP source port 0", "port_zero", with(syn6(), L4_OF_V6, &[0, 0])),
        Case::drops("IPv6 TCP destination port 0", "port_zero", with(syn6(), L4_OF_V6 + 2, &[0, 0])),
        Case::drops("IPv4 UDP source port 0", "port_zero", with(query4(), L4_OF_V4, &[0, 0])),
        Case::drops("IPv4 UDP destination port 0", "port_zero", with(query4(), L4_OF_V4 + 2, &[0, 0])),
        Case::drops("IPv6 UDP source port 0", "port_zero", with(query6(), L4_OF_V6, &[0, 0])),
        Case::drops("IPv6 UDP both ports 0", "port_zero", with(query6(), L4_OF_V6, &[0; 4])),

        Case::drops("IPv4 TCP header of four words", "bad_transport_header", with(syn4(), L4_OF_V4 + 12, &[0x40])),
        Case::drops("IPv6 TCP header of no words", "bad_transport_header", with(syn6(), L4_OF_V6 + 12, &[0])),
        Case::drops("IPv4 TCP header longer than the packet", "bad_transport_header", with(syn4(), L4_OF_V4 + 12, &[0x60])),
        Case::drops("IPv6 TCP header longer than the packet", "bad_transport_header", with(syn6(), L4_OF_V6 + 12, &[0xF0])),
        Case::drops("IPv4 TCP header in the frame's padding", "bad_transport_header", with_ip(syn4(), 2, &[0, 39])),
        Case::drops("IPv4 packet without any payload, in a frame with some", "bad_transport_header", with_ip(syn4(), 2, &[0, 20])),
        Case::drops("IPv6 TCP header in the frame's padding", "bad_transport_header", with(syn6(), IP + 4, &[0, 19])),
        Case::drops("IPv6 payload length 0 (a jumbogram, RFC 2675)", "bad_transport_header", with(syn6(), IP + 4, &[0, 0])),
        Case::drops("IPv4 UDP length 7", "bad_transport_header", with(query4(), L4_OF_V4 + 4, &[0, 7])),
        Case::drops("IPv4 UDP length 0", "bad_transport_header", with(query4(), L4_OF_V4 + 4, &[0, 0])),
        Case::drops("IPv6 UDP length 0", "bad_transport_header", with(query6(), L4_OF_V6 + 4, &[0, 0])),
        Case::drops("IPv4 UDP length beyond the packet", "bad_transport_header", with(query4(), L4_OF_V4 + 4, &[0, 20])),
        Case::drops("IPv6 UDP length beyond the packet", "bad_transport_header", with(query6(), L4_OF_V6 + 4, &[0xFF, 0xFF])),
        Case::drops("IPv4 UDP datagram in the frame's padding", "bad_transport_header", with_ip(query4(), 2, &[0, 38])),
        Case::drops("IPv4 packet ends before its TCP header, and so does the frame", "truncated",
            with_ip(syn4()[..L4_OF_V4 + 19].to_vec(), 2, &[0, 39])),
        Case::drops("IPv6 packet ends before its UDP header, and so does the frame", "truncated",
            with(query6()[..L4_OF_V6 + 7].to_vec(), IP + 4, &[0, 7])),
    ]
}

#[test]
fn an_impossible_transport_header_is_never_forwarded() {
    check(&cases());
}
