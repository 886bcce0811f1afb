//! The sum over a packet that is put into another, from its headers alone.
//!
//! An outer checksum that covers the inner packet need not look at the payload: the inner transport checksum already says
//! what all of it sums to ("local checksum offload", the kernel's Documentation/networking/checksum-offloads.rst). Where
//! the inner checksum is wrong, so is the outer one, and the packet ends at the backend either way.

use super::{Frame, protocol};
use crate::checksum::fold;

const UDP_HEADER: usize = 8;

/// A 16-bit number as a word of a sum over bytes as they lie in memory.
#[inline(always)]
const fn word(number: u16) -> u64 {
    number.to_be() as u64
}

/// Sum over the IPv4 packet whose header, with a right checksum, lies at `network`, and whose payload lies at `offset` and is
/// `length` bytes long. `None` where the payload has no such checksum.
#[inline(always)]
pub fn inner_sum4<F: Frame + ?Sized>(frame: &F, network: usize, offset: usize, length: usize) -> Option<u16> {
    let header = frame.window::<20>(network)?;
    let kind = header.byte::<9>();
    if !is_summed(frame, kind, offset, length)? {
        return None;
    }
    if kind == protocol::ICMP {
        return Some(0);
    }
    let pseudo = u64::from(header.raw32::<12>())
        + u64::from(header.raw32::<16>())
        + word(kind.into())
        + word(length as u16);
    // The header sums to zero, and the payload to what makes the pseudo header zero.
    Some(!fold(pseudo))
}

/// Sum over the IPv6 packet whose header lies at `network` and whose payload `kind` follows at once and is `length` bytes
/// long. `None` where the payload has no such checksum, or something else comes before it.
#[inline(always)]
pub fn inner_sum6<F: Frame + ?Sized>(frame: &F, network: usize, length: usize) -> Option<u16> {
    let header = frame.window::<40>(network)?;
    let kind = header.byte::<6>();
    if kind == protocol::ICMP || !is_summed(frame, kind, network + 40, length)? {
        return None;
    }
    // The addresses and the length are in the header and, negated, in the payload's sum: they cancel each other out.
    let head = u64::from(header.raw32::<0>()) + u64::from(header.raw16::<6>());
    Some(fold(head + u64::from(!(word(kind.into()) as u16))))
}

/// Whether the payload has a checksum of the Internet's kind over all of its bytes.
#[inline(always)]
fn is_summed<F: Frame + ?Sized>(frame: &F, kind: u8, offset: usize, length: usize) -> Option<bool> {
    match kind {
        protocol::TCP | protocol::ICMP | protocol::ICMPV6 => Some(true),
        protocol::UDP => {
            let header = frame.window::<UDP_HEADER>(offset)?;
            Some(header.raw16::<6>() != 0 && usize::from(header.be16::<4>()) == length)
        }
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The sum by going through all bytes.
    fn whole(packet: &[u8]) -> u16 {
        let words = packet.chunks(2).map(|pair| {
            let pair = [pair[0], pair.get(1).copied().unwrap_or(0)];
            u64::from(u16::from_ne_bytes(pair))
        });
        fold(words.sum())
    }

    /// One's complement has two zeroes.
    fn equal(a: u16, b: u16) -> bool {
        let one = |sum: u16| if sum == 0xFFFF { 0 } else { sum };
        one(a) == one(b)
    }

    fn packets4(payload: &[u8]) -> Vec<Vec<u8>> {
        let ip = || etherparse::PacketBuilder::ipv4([198, 51, 100, 7], [192, 0, 2, 10], 61);
        let mut packets = std::vec![Vec::new(), Vec::new(), Vec::new()];
        let mut options =
            etherparse::Ipv4Header::new(0, 7, etherparse::IpNumber::UDP, [9, 8, 7, 6], [1, 2, 3, 4]).unwrap();
        options.options = [1; 8][..].try_into().unwrap();
        ip().tcp(40_000, 80, 1, 1000)
            .write(&mut packets[0], payload)
            .unwrap();
        ip().icmpv4_echo_request(1, 2)
            .write(&mut packets[1], payload)
            .unwrap();
        etherparse::PacketBuilder::ip(etherparse::IpHeaders::Ipv4(options, Default::default()))
            .udp(40_000, 53)
            .write(&mut packets[2], payload)
            .unwrap();
        packets
    }

    fn packets6(payload: &[u8]) -> Vec<Vec<u8>> {
        let ip = || etherparse::PacketBuilder::ipv6([0x20; 16], [0xFD; 16], 61);
        let mut packets = std::vec![Vec::new(), Vec::new(), Vec::new()];
        ip().tcp(40_000, 80, 1, 1000)
            .write(&mut packets[0], payload)
            .unwrap();
        ip().udp(40_000, 53).write(&mut packets[1], payload).unwrap();
        ip().icmpv6_echo_request(1, 2)
            .write(&mut packets[2], payload)
            .unwrap();
        packets
    }

    #[test]
    fn headers_tell_what_all_bytes_sum_to() {
        for length in [0, 1, 2, 3, 40, 1301] {
            let payload: Vec<u8> = (0..length).map(|n| (n * 7 + 3) as u8).collect();
            for packet in packets4(&payload) {
                let header = usize::from(packet[0] & 15) * 4;
                let sum = inner_sum4(&packet[..], 0, header, packet.len() - header).unwrap();
                assert!(equal(sum, whole(&packet)), "{packet:02x?}");
            }
            for mut packet in packets6(&payload) {
                // Traffic class and flow label count, too.
                packet[..4].copy_from_slice(&[0x6B, 0xCD, 0xEF, 0x12]);
                let sum = inner_sum6(&packet[..], 0, packet.len() - 40).unwrap();
                assert!(equal(sum, whole(&packet)), "{packet:02x?}");
            }
        }
    }

    #[test]
    fn without_a_checksum_there_is_no_sum() {
        let mut datagram = packets4(b"who?").remove(2);
        let header = usize::from(datagram[0] & 15) * 4;
        let length = datagram.len() - header;
        let mut longer = datagram.clone();
        longer.extend([1, 2]);
        assert_eq!(
            inner_sum4(&longer[..], 0, header, length + 2),
            None,
            "bytes that UDP does not count"
        );
        datagram[header + 6..header + 8].fill(0);
        assert_eq!(inner_sum4(&datagram[..], 0, header, length), None, "no checksum");
        let mut sctp = packets4(b"data").remove(0);
        sctp[9] = 132;
        assert_eq!(
            inner_sum4(&sctp[..], 0, 20, sctp.len() - 20),
            None,
            "a checksum of another kind"
        );
        let mut extended = packets6(b"data").remove(0);
        extended[6] = protocol::DESTINATION_OPTIONS;
        assert_eq!(inner_sum6(&extended[..], 0, extended.len() - 40), None);
        assert_eq!(inner_sum6(&extended[..39], 0, 0), None, "cut off");
    }
}
