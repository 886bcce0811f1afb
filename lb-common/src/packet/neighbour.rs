//! Who is where on the link: ARP (RFC 826) and neighbour discovery (RFC 4861), as far as they concern VIPs.

use super::Frame;

/// Hop limit of neighbour discovery: nothing that a router passed on.
const HOP_LIMIT: u8 = 255;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Ethernet and IPv4, with addresses of 6 and 4 bytes.
const KIND_OF_ADDRESSES: u64 = u64::from_be_bytes([0, 1, 8, 0, 6, 4, 0, 0]);
const FIXED_HEADER: usize = 40;

/// An ARP packet about IPv4 on Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// The address that is asked for, or 0 in an answer. Network order, as it lies in memory.
    pub asks_for: u32,
    /// The address that the sender says is its own; 0 in a probe. Network order, as it lies in memory.
    pub claims: u32,
}

impl Arp {
    /// The packet at `offset`; `None` if it is no request and no reply, or about other kinds of addresses.
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(frame: &F, offset: usize) -> Option<Self> {
        let packet = frame.window::<28>(offset)?;
        let head = u64::from_be(packet.raw64::<0>());
        if head & !0xFFFF != KIND_OF_ADDRESSES {
            return None;
        }
        let claims = packet.raw32::<14>();
        match head & 0xFFFF {
            1 => Some(Self {
                asks_for: packet.raw32::<24>(),
                claims,
            }),
            2 => Some(Self { asks_for: 0, claims }),
            _ => None,
        }
    }
}

/// A neighbour solicitation or advertisement; its target is an IPv6 address in network order, as it lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Who is `target`?
    Solicitation {
        /// The address that is asked for.
        target: [u64; 2],
    },
    /// The sender is `target`.
    Advertisement {
        /// The address that the sender says is its own.
        target: [u64; 2],
    },
}

impl Discovery {
    /// The message in the packet whose IPv6 header, with nothing between it and ICMPv6, is at `offset`; `None` if it is
    /// another one, or came from another link.
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(frame: &F, offset: usize) -> Option<Self> {
        let packet = frame.window::<{ FIXED_HEADER + 24 }>(offset)?;
        if packet.byte::<7>() != HOP_LIMIT || packet.byte::<{ FIXED_HEADER + 1 }>() != 0 {
            return None;
        }
        let target = [
            packet.raw64::<{ FIXED_HEADER + 8 }>(),
            packet.raw64::<{ FIXED_HEADER + 16 }>(),
        ];
        match packet.byte::<FIXED_HEADER>() {
            SOLICITATION => Some(Self::Solicitation { target }),
            ADVERTISEMENT => Some(Self::Advertisement { target }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const VIP: [u8; 4] = [192, 0, 2, 10];
    const PEER: [u8; 4] = [192, 0, 2, 3];

    fn arp(operation: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mac = [2, 0, 0, 0, 0, 1];
        [
            &[0, 1, 8, 0, 6, 4, 0, operation][..],
            &mac,
            &sender,
            &[0; 6],
            &target,
        ]
        .concat()
    }

    #[test]
    fn arp_asks_answers_announces_and_probes() {
        let word = u32::from_ne_bytes;
        for (packet, expected) in [
            (arp(1, PEER, VIP), Some((word(VIP), word(PEER)))),
            (arp(1, VIP, VIP), Some((word(VIP), word(VIP)))),
            (arp(1, [0; 4], VIP), Some((word(VIP), 0))),
            (arp(2, VIP, PEER), Some((0, word(VIP)))),
            (arp(3, VIP, PEER), None),
        ] {
            let parsed = Arp::parse(&packet[..], 0).map(|arp| (arp.asks_for, arp.claims));
            assert_eq!(parsed, expected);
            for length in 0..packet.len() {
                assert_eq!(Arp::parse(&packet[..length], 0), None);
            }
        }
        for at in 0..6 {
            let mut other = arp(1, PEER, VIP);
            other[at] ^= 1;
            assert_eq!(Arp::parse(&other[..], 0), None, "{at}");
        }
    }

    #[test]
    fn discovery_solicits_and_advertises() {
        let message = |kind: u8, code: u8, hop_limit: u8| {
            let mut packet = std::vec![0; 64];
            packet[7] = hop_limit;
            packet[40..42].copy_from_slice(&[kind, code]);
            packet[48..64].copy_from_slice(&[7; 16]);
            packet
        };
        let target = [u64::from_ne_bytes([7; 8]); 2];
        for (packet, expected) in [
            (message(135, 0, 255), Some(Discovery::Solicitation { target })),
            (message(136, 0, 255), Some(Discovery::Advertisement { target })),
            (message(135, 0, 254), None),
            (message(135, 1, 255), None),
            (message(133, 0, 255), None),
            (message(128, 0, 255), None),
        ] {
            assert_eq!(Discovery::parse(&packet[..], 0), expected);
            assert_eq!(Discovery::parse(&packet[..63], 0), None);
        }
    }
}
