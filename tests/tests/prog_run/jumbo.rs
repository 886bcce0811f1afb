//! Frames that lie in several buffers (`xdp.frags`): the program sees the first one, and knows the length of all.

use crate::{
    case::{Case, Flow, check},
    echo::ECHO,
    packets::*,
    world::{DNS, ELSEWHERE, WEB},
};

const LONG: usize = 8000;

#[test]
fn a_frame_in_several_buffers_is_forwarded_and_counted_whole() {
    let data: Vec<u8> = (0..LONG).map(|n| (n % 251) as u8).collect();
    let segment4 = || tcp4(80, ACK | PSH, &data);
    let segment6 = || tcp6(80, ACK | PSH, &data);
    let length4 = (LONG + 40) as u16;
    let length6 = (LONG + 20) as u16;
    let padded = [segment4(), vec![0; 5000]].concat();
    let tags = [0x88A8, 0x8100];
    check(&[
        Case::forwards("IPv4 TCP", &WEB, Flow::New, segment4()),
        Case::forwards("IPv6 TCP", &WEB, Flow::Old, segment6()).after([tcp6(80, SYN, &[])]),
        Case::forwards("IPv4 UDP", &DNS, Flow::New, udp4(53, &data)),
        Case::forwards(
            "IPv6 by another interface",
            &ELSEWHERE,
            Flow::New,
            tcp6(81, ACK, &data),
        )
        .redirected(),
        Case::forwards("IPv4 in two VLANs", &WEB, Flow::New, tagged(segment4(), &tags)),
        Case::forwards(
            "IPv6 with extension headers",
            &WEB,
            Flow::New,
            with_extensions(segment6(), &[padding_options(DESTINATION_OPTIONS, 4)]),
        ),
        Case::forwards("IPv4 with padding in other buffers", &WEB, Flow::New, padded)
            .with_bytes(IP + LONG + 40),
        Case::answers("IPv4 ping", ECHO, echo4(VIP4, 1, &data), echo_reply4(1, &data)),
        Case::answers("IPv6 ping", ECHO, echo6(VIP6, 1, &data), echo_reply6(1, &data)),
        Case::drops(
            "IPv4 total length one more than all buffers hold",
            "bad_ip_header",
            with_ip(segment4(), 2, &(length4 + 1).to_be_bytes()),
        ),
        Case::drops(
            "IPv6 payload length one more than all buffers hold",
            "bad_ip_header",
            with(segment6(), IP + 4, &(length6 + 1).to_be_bytes()),
        ),
        Case::passes("for nobody", "not_vip", with(segment4(), IP + 19, &[99])),
    ]);
}

/// The longest IPv4 packet there can be, which is also about the longest frame that the kernel runs a program on.
#[test]
fn the_longest_packet_is_forwarded() {
    let data = vec![0x42; 0xFFFF - 40];
    check(&[Case::forwards(
        "64 kB",
        &WEB,
        Flow::New,
        tcp4(80, ACK | PSH, &data),
    )]);
}
