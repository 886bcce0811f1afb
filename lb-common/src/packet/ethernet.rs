//! Ethernet II with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use super::Frame;
use crate::reason::Reason;

/// VLAN tags that the parser steps over.
pub const MAX_VLAN_TAGS: usize = 2;

const HEADER: usize = 14;
const TAG: usize = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
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
            _ => return Err(Reason::NotIp),
        };
        Ok(Self {
            ether_type,
            end,
            group,
        })
    }
}
