//! Pings to a VIP.

use lb_tests::prog_run::Action;

use crate::{
    case::{Case, check},
    packets::*,
    world,
};

/// Why a ping is not forwarded.
pub(crate) const ECHO: &str = "echo_answered";

#[rustfmt::skip]
pub(crate) fn cases() -> Vec<Case> {
    let ping4 = || echo4(VIP4, 1, b"0123456789abcdef");
    let pong4 = || echo_reply4(1, b"0123456789abcdef");
    let ping6 = || echo6(VIP6, 1, b"0123456789abcdef");
    let pong6 = || echo_reply6(1, b"0123456789abcdef");
    let options = || padding_options(DESTINATION_OPTIONS, 1);
    let two_tags = [0x88A8, 0x8100];
    vec![
        Case::answers("IPv4", ECHO, ping4(), pong4()),
        Case::answers("IPv6", ECHO, ping6(), pong6()),
        Case::answers("IPv4 without data", ECHO, echo4(VIP4, 1, &[]), echo_reply4(1, &[])),
        Case::answers("IPv6 without data", ECHO, echo6(VIP6, 1, &[]), echo_reply6(1, &[])),
        Case::answers("IPv4 odd length", ECHO, echo4(VIP4, 0xFFFF, b"odd"), echo_reply4(0xFFFF, b"odd")),
        Case::answers("IPv4 whose answer is all zeroes", ECHO, echo4(VIP4, 0, &[0; 8]), echo_reply4(0, &[0; 8])),
        Case::answers("IPv6 whose answer is all zeroes", ECHO, echo6(VIP6, 0, &[0; 8]), echo_reply6(0, &[0; 8])),
        Case::answers("IPv4 with options", ECHO, with_options(ping4(), &[1, 1, 1, 0x82, 0xAB, 0xCD, 0xEF, 7]),
            with_options(pong4(), &[1, 1, 1, 0x82, 0xAB, 0xCD, 0xEF, 7])),
        Case::answers("IPv4 with all the options there can be", ECHO, with_options(ping4(), &[1; 40]), with_options(pong4(), &[1; 40])),
        Case::answers("IPv6 with extension headers", ECHO, with_extensions(ping6(), &[padding_options(HOP_BY_HOP, 1), options()]),
            with_extensions(pong6(), &[padding_options(HOP_BY_HOP, 1), options()])),
        Case::answers("IPv4 in two VLANs", ECHO, tagged(ping4(), &two_tags), tagged(pong4(), &two_tags)),
        Case::answers("IPv6 in two VLANs", ECHO, tagged(ping6(), &two_tags), tagged(pong6(), &two_tags)),
        Case::answers("IPv4 with the last TTL", ECHO, with_ip(ping4(), 8, &[1]), pong4()),
        Case::answers("IPv4 with the answer's TTL", ECHO, with_ip(ping4(), 8, &[64]), pong4()),
        Case::answers("IPv6 with the last hop limit", ECHO, with(ping6(), IP + 7, &[1]), pong6()),

        Case::passes("IPv4 echo reply", "other_protocol", with(ping4(), L4_OF_V4, &[0])),
        Case::passes("IPv6 echo reply", "other_protocol", with(ping6(), L4_OF_V6, &[129])),
        Case::passes("IPv6 neighbour solicitation: the kernel's", "other_protocol", with(ping6(), L4_OF_V6, &[135])),
        Case::passes("IPv4 echo request with a code", "other_protocol", with(ping4(), L4_OF_V4 + 1, &[1])),
        Case::passes("IPv6 echo request with a code", "other_protocol", with(ping6(), L4_OF_V6 + 1, &[1])),
        Case::passes("IPv4 ping that ends inside its header, in a frame that does not", "other_protocol",
            with_ip(ping4(), 2, &[0, 27])),
        Case::passes("IPv4 packet without payload, with a ping in the frame's padding", "other_protocol",
            with_ip(ping4(), 2, &[0, 20])),
        Case::passes("IPv6 ping that ends inside its header, in a frame that does not", "other_protocol",
            with(ping6(), IP + 4, &[0, 7])),
        Case::passes("IPv4 ping that ends inside its header, and so does the frame", "other_protocol",
            with_ip(ping4()[..L4_OF_V4 + 4].to_vec(), 2, &[0, 24])),
    ]
}

#[test]
fn a_ping_to_a_vip_is_answered() {
    check(&cases());
}

/// The checksum is updated, not computed: the sum over the message must come out right for every kind of carry.
#[test]
fn the_answers_checksum_is_right_whatever_the_data() {
    use etherparse::checksum::Sum16BitWords;
    let mut rig = world::rig();
    let words = [
        0, 1, 7, 8, 0x07FF, 0x0800, 0x7FFF, 0x8000, 0xF7FF, 0xF800, 0xFFFE, 0xFFFF,
    ];
    for number in words {
        for data in words {
            let outcome = rig
                .run(&echo4(VIP4, number, &u16::to_be_bytes(data)))
                .expect("the kernel takes the packet");
            assert_eq!(outcome.action, Action::Tx);
            let message = Sum16BitWords::new().add_slice(&outcome.packet[L4_OF_V4..]);
            assert_eq!(message.ones_complement(), 0, "IPv4, {number:#x} {data:#x}");
            let header = Sum16BitWords::new().add_slice(&outcome.packet[IP..L4_OF_V4]);
            assert_eq!(header.ones_complement(), 0, "IPv4 header, {number:#x} {data:#x}");

            let outcome = rig
                .run(&echo6(VIP6, number, &u16::to_be_bytes(data)))
                .expect("the kernel takes the packet");
            let message = &outcome.packet[L4_OF_V6..];
            let sum = Sum16BitWords::new()
                .add_16bytes(VIP6.octets())
                .add_16bytes(CLIENT6.octets())
                .add_4bytes((message.len() as u32).to_be_bytes())
                .add_4bytes([0, 0, 0, 58])
                .add_slice(message);
            assert_eq!(sum.ones_complement(), 0, "IPv6, {number:#x} {data:#x}");
        }
    }
}
