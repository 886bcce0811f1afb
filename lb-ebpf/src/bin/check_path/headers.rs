//! Addresses and ports of a packet, and how they are replaced.

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR},
    helpers::bpf_csum_diff,
    programs::TcContext,
};
use lb_common::abi::CheckAddress;

pub(crate) const ETHERNET: usize = 14;
/// `skb->protocol`, as it lies in memory.
const IPV4: u32 = 0x0800_u16.to_be() as u32;
const IPV6: u32 = 0x86dd_u16.to_be() as u32;
const TCP: u8 = 6;
const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;

/// Nothing that a check sends or gets.
pub(crate) struct Strange;

impl From<i64> for Strange {
    fn from(_: i64) -> Self {
        Self
    }
}

/// Which address of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// An IP header without options or extensions: a check has none.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) at: usize,
    pub(crate) is_v4: bool,
    pub(crate) protocol: u8,
}

impl Header {
    /// The one behind the Ethernet header.
    #[inline(always)]
    pub(crate) fn first(packet: &TcContext) -> Result<Self, Strange> {
        // SAFETY: the context is the kernel's.
        let protocol = unsafe { (*packet.skb.skb).protocol };
        Self::at(packet, ETHERNET, protocol == IPV4, protocol == IPV6)
    }

    /// One at this place, of this version.
    #[inline(always)]
    pub(crate) fn at(packet: &TcContext, at: usize, is_v4: bool, is_v6: bool) -> Result<Self, Strange> {
        if is_v4 && packet.load::<u8>(at)? == 0x45 {
            let protocol = packet.load(at + 9)?;
            return Ok(Self { at, is_v4, protocol });
        }
        if is_v6 {
            let protocol = packet.load(at + 6)?;
            return Ok(Self { at, is_v4, protocol });
        }
        Err(Strange)
    }

    /// Where the header of the next protocol begins.
    #[inline(always)]
    pub(crate) const fn end(&self) -> usize {
        self.at + if self.is_v4 { 20 } else { 40 }
    }

    #[inline(always)]
    const fn address_at(&self, end: End) -> usize {
        self.at
            + match (self.is_v4, end) {
                (true, End::Source) => 12,
                (true, End::Destination) => 16,
                (false, End::Source) => 8,
                (false, End::Destination) => 24,
            }
    }

    #[inline(always)]
    pub(crate) fn address(&self, packet: &TcContext, end: End) -> Result<CheckAddress, Strange> {
        let at = self.address_at(end);
        Ok(if self.is_v4 {
            [0, 0, 0, packet.load(at)?]
        } else {
            packet.load(at)?
        })
    }

    /// Where the way back of a local port is kept.
    #[inline(always)]
    pub(crate) fn place(&self, packet: &TcContext, end: End) -> Result<u32, Strange> {
        let base = match self.protocol {
            TCP => 0,
            UDP => 1 << 16,
            _ => return Err(Strange),
        };
        let offset = if end == End::Source { 0 } else { 2 };
        Ok(base | u32::from(u16::from_be(packet.load(self.end() + offset)?)))
    }

    /// Replaces an address, and mends the checksums of this header and of the next, which covers it.
    #[inline(always)]
    pub(crate) fn replace(
        &self,
        packet: &TcContext,
        end: End,
        old: &CheckAddress,
        new: &CheckAddress,
    ) -> Result<(), Strange> {
        self.mend(packet, old, new)?;
        self.store(packet, end, old, new)
    }

    /// Mends the checksum of the next header for another address in this one.
    #[inline(always)]
    pub(crate) fn mend(
        &self,
        packet: &TcContext,
        old: &CheckAddress,
        new: &CheckAddress,
    ) -> Result<(), Strange> {
        let sum = match self.protocol {
            TCP => Some((16, 0)),
            // Zero is no checksum, and stays.
            UDP => Some((6, u64::from(BPF_F_MARK_MANGLED_0))),
            ICMPV6 => Some((2, 0)),
            _ => None,
        };
        if let Some((offset, flags)) = sum {
            let flags = flags | u64::from(BPF_F_PSEUDO_HDR);
            packet.l4_csum_replace(self.end() + offset, 0, difference(old, new), flags)?;
        }
        Ok(())
    }

    /// Replaces an address in a header that no other checksum covers but as a part of a whole.
    #[inline(always)]
    pub(crate) fn store(
        &self,
        packet: &TcContext,
        end: End,
        old: &CheckAddress,
        new: &CheckAddress,
    ) -> Result<(), Strange> {
        let at = self.address_at(end);
        if self.is_v4 {
            packet.l3_csum_replace(self.at + 10, old[3].into(), new[3].into(), 4)?;
            packet.store(at, &new[3], 0)?;
        } else {
            packet.store(at, new, 0)?;
        }
        Ok(())
    }
}

/// What a checksum changes by.
#[inline(always)]
pub(crate) fn difference(old: &CheckAddress, new: &CheckAddress) -> u64 {
    let (mut old, mut new) = (*old, *new);
    // SAFETY: sixteen bytes each.
    let difference = unsafe { bpf_csum_diff(old.as_mut_ptr(), 16, new.as_mut_ptr(), 16, 0) };
    difference as u64
}
