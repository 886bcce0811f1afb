//! Errors of our own making: headers in front of a quote that stands in its place already.
//!
//! They come from the VIP, which the client knows the way to, and tell how long a packet may be (RFC 1191, RFC 8201).

use aya_ebpf::helpers::generated::bpf_csum_diff;
use lb_common::{checksum::fold, packet::protocol};
use lb_ebpf::packet::Packet;

pub(crate) const IPV4: usize = 20;
pub(crate) const IPV6: usize = 40;
pub(crate) const ICMP: usize = 8;
const TTL: u8 = 64;

/// Sum over the quote of `N` bytes, at most 512 and a multiple of four, at `at`.
#[inline(always)]
fn sum_of_quote<const N: usize>(packet: &Packet, at: usize) -> Option<u64> {
    let quote = packet.bytes_mut::<N>(at)?;
    // SAFETY: so many bytes are there.
    let sum = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, quote.cast(), N as u32, 0) };
    Some(sum as u64 & 0xFFFF_FFFF)
}

/// Writes "destination unreachable, fragmentation needed" at `network`: `mtu` bytes fit. A quote of `N` bytes follows, from
/// whose source to whose destination the error goes back.
#[inline(always)]
pub(crate) fn put4<const N: usize>(packet: &Packet, network: usize, mtu: u16) -> Option<()> {
    let sum = sum_of_quote::<N>(packet, network + IPV4 + ICMP)?;
    let quoted = packet.bytes_mut::<IPV4>(network + IPV4 + ICMP)?;
    let header = packet.bytes_mut::<{ IPV4 + ICMP }>(network)?;
    // SAFETY: both are there.
    unsafe {
        let client = quoted.add(12).cast::<u32>().read_volatile();
        let vip = quoted.add(16).cast::<u32>().read_volatile();
        // Precedence "internetwork control", as routers send errors (RFC 1812 section 4.3.2.5).
        let words = [
            u32::from_be(0x45C0_0000 | (IPV4 + ICMP + N) as u32),
            0,
            u32::from_be(u32::from(TTL) << 24 | u32::from(protocol::ICMP) << 16),
            vip,
            client,
        ];
        let mut own = 0;
        let at = header.cast::<u32>();
        for (n, word) in words.into_iter().enumerate() {
            own += u64::from(word);
            at.add(n).write_volatile(word);
        }
        header.add(10).cast::<u16>().write_volatile(!fold(own));
        let kind = u32::from_be(0x0304_0000);
        let mtu = u32::from_be(mtu.into());
        at.add(5).write_volatile(kind);
        at.add(6).write_volatile(mtu);
        let checksum = !fold(sum + u64::from(kind) + u64::from(mtu));
        header.add(22).cast::<u16>().write_volatile(checksum);
    }
    Some(())
}

/// Writes "packet too big" at `network`, as [`put4`] does.
#[inline(always)]
pub(crate) fn put6<const N: usize>(packet: &Packet, network: usize, mtu: u16) -> Option<()> {
    let mut sum = sum_of_quote::<N>(packet, network + IPV6 + ICMP)?;
    let quoted = packet.bytes_mut::<IPV6>(network + IPV6 + ICMP)?;
    let header = packet.bytes_mut::<{ IPV6 + ICMP }>(network)?;
    let payload = (ICMP + N) as u16;
    // SAFETY: both are there.
    unsafe {
        header.cast::<u32>().write_volatile(u32::from_be(6 << 28));
        let rest = u32::from(payload) << 16 | u32::from(protocol::ICMPV6) << 8 | u32::from(TTL);
        header.add(4).cast::<u32>().write_volatile(u32::from_be(rest));
        for half in 0..4 {
            // Source and destination change places.
            let from = quoted.add(8 + (half ^ 2) * 8).cast::<u64>().read_volatile();
            header.add(8 + half * 8).cast::<u64>().write_volatile(from);
            sum += (from & 0xFFFF_FFFF) + (from >> 32);
        }
        let kind = u32::from_be(0x0200_0000);
        let mtu = u32::from_be(mtu.into());
        header.add(IPV6).cast::<u32>().write_volatile(kind);
        header.add(IPV6 + 4).cast::<u32>().write_volatile(mtu);
        sum += u64::from(kind) + u64::from(mtu);
        sum += u64::from(payload.to_be()) + u64::from(u16::from(protocol::ICMPV6).to_be());
        header.add(IPV6 + 2).cast::<u16>().write_volatile(!fold(sum));
    }
    Some(())
}
