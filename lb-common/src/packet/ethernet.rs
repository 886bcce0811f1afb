//! Ethernet II with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use super::Frame;
use crate::{reason::Reason, verifier::forget};

/// VLAN tags that the parser steps over.
pub const MAX_VLAN_TAGS: usize = 2;

const HEADER: usize = 14;
const TAG: usize = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86DD;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u16 = 0x88A8;

/// What an Ethernet frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtherType {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// ARP.
    Arp,
}

/// The link header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ethernet {
    /// What follows.
    pub ether_type: EtherType,
    /// Offset of the network header in bytes: 14, 18 or 22.
    pub end: usize,
    /// Whether the destination MAC is a group address (multicast or broadcast).
    pub group: bool,
}

impl Ethernet {
    /// Takes the link header apart.
    ///
    /// # Errors
    /// [`Reason::Truncated`], [`Reason::NotIp`].
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(frame: &F) -> Result<Self, Reason> {
        let header = frame.window::<HEADER>(0).ok_or(Reason::Truncated)?;
        let mut kind = header.be16::<12>();
        let mut end = HEADER;
        let group = header.byte::<0>() & 1 != 0;
        for _ in 0..MAX_VLAN_TAGS {
            if kind != ETHERTYPE_VLAN && kind != ETHERTYPE_SERVICE_VLAN {
                break;
            }
            kind = frame.window::<TAG>(end).ok_or(Reason::Truncated)?.be16::<2>();
            end += TAG;
        }
        let ether_type = match kind {
            ETHERTYPE_IPV4 => EtherType::Ipv4,
            ETHERTYPE_IPV6 => EtherType::Ipv6,
            ETHERTYPE_ARP => EtherType::Arp,
            _ => return Err(Reason::NotIp),
        };
        let end = forget::<31>(end, frame.noise());
        Ok(Self {
            ether_type,
            end,
            group,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const TO: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
    const FROM: [u8; 6] = [0x02, 0, 0, 0, 0, 2];

    fn frame(to: [u8; 6], types: &[u16]) -> Vec<u8> {
        let mut frame = [to, FROM].concat();
        for (n, kind) in types.iter().enumerate() {
            if n > 0 {
                frame.extend([0xE0, 0x64]);
            }
            frame.extend(kind.to_be_bytes());
        }
        frame
    }

    fn parse(frame: &[u8]) -> Result<Ethernet, Reason> {
        Ethernet::parse(frame)
    }

    #[test]
    fn tags_are_stepped_over() {
        for (types, ether_type, end) in [
            (&[0x0800][..], EtherType::Ipv4, 14),
            (&[0x86DD], EtherType::Ipv6, 14),
            (&[0x0806], EtherType::Arp, 14),
            (&[0x8100, 0x0806], EtherType::Arp, 18),
            (&[0x8100, 0x0800], EtherType::Ipv4, 18),
            (&[0x88A8, 0x86DD], EtherType::Ipv6, 18),
            (&[0x88A8, 0x8100, 0x0800], EtherType::Ipv4, 22),
            (&[0x8100, 0x8100, 0x86DD], EtherType::Ipv6, 22),
        ] {
            let expected = Ethernet {
                ether_type,
                end,
                group: false,
            };
            assert_eq!(parse(&frame(TO, types)), Ok(expected), "{types:04x?}");
        }
    }

    #[test]
    fn what_is_no_ip_is_told_from_what_is_cut_off() {
        for types in [
            &[0x9100][..],
            &[46],
            &[0x8100, 0x88CC],
            &[0x8100, 0x8100, 0x8100, 0x0800],
        ] {
            assert_eq!(parse(&frame(TO, types)), Err(Reason::NotIp), "{types:04x?}");
        }
        let whole = frame(TO, &[0x88A8, 0x8100, 0x0800]);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Err(Reason::Truncated), "{length}");
        }
    }

    #[test]
    fn the_first_bit_on_the_wire_tells_a_group() {
        for (first, group) in [
            (0x00, false),
            (0x02, false),
            (0xFE, false),
            (0x01, true),
            (0x33, true),
            (0xFF, true),
        ] {
            let frame = frame([first, 0, 0, 0, 0, 1], &[0x0800]);
            assert_eq!(
                parse(&frame).map(|ethernet| ethernet.group),
                Ok(group),
                "{first:02x}"
            );
        }
    }
}
