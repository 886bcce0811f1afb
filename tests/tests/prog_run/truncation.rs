//! Frames that were cut off: at every length, of every good packet.

use lb_tests::prog_run::Action;

use crate::{coverage::all_cases, world};

/// The shortest frame that the kernel runs a program on.
const SHORTEST: usize = 14;

#[test]
fn a_packet_that_was_cut_off_anywhere_is_dropped_and_nothing_else_happens() {
    let mut rig = world::rig();
    let good = all_cases().into_iter().filter(|case| {
        let length = case.packet.len() as u64;
        let whole = case
            .expected
            .counted
            .iter()
            .all(|(name, &value)| !name.ends_with(".bytes") || value == length);
        matches!(case.expected.action, Action::Tx | Action::Redirect) && whole
    });
    for packet in good.map(|case| case.packet) {
        for length in SHORTEST..packet.len() {
            let outcome = rig.run(&packet[..length]).expect("the kernel takes the packet");
            let counters: Vec<&str> = outcome.counted.keys().map(String::as_str).collect();
            assert!(
                matches!(counters[..], ["reason.truncated" | "reason.bad_ip_header"]),
                "{length} bytes of {packet:02x?}: {counters:?}"
            );
            assert_eq!(outcome.action, Action::Drop, "{length} bytes of {packet:02x?}");
            assert_eq!(
                outcome.packet,
                packet[..length],
                "{length} bytes of {packet:02x?}"
            );
        }
    }
}

/// The lengths say that the packet is whole, but the transport header is not: nothing leaves.
#[test]
fn a_short_packet_that_says_so_is_dropped_as_well() {
    use crate::packets::*;
    let mut rig = world::rig();
    for (packet, header) in [
        (tcp4(80, SYN, &[]), L4_OF_V4),
        (udp4(53, &[]), L4_OF_V4),
        (tcp6(80, SYN, &[]), L4_OF_V6),
        (udp6(53, &[]), L4_OF_V6),
    ] {
        for length in header..packet.len() {
            let short = packet[..length].to_vec();
            let short = if header == L4_OF_V4 {
                with_ip(short, 2, &((length - IP) as u16).to_be_bytes())
            } else {
                with(short, IP + 4, &((length - L4_OF_V6) as u16).to_be_bytes())
            };
            let outcome = rig.run(&short).expect("the kernel takes the packet");
            assert_eq!(outcome.action, Action::Drop);
            assert_eq!(
                outcome.counted.into_iter().collect::<Vec<_>>(),
                [("reason.truncated".to_owned(), 1)]
            );
        }
    }
}
