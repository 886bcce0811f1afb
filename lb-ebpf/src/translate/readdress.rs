//! The packet with an ICMP error gets other addresses.

use lb_common::{
    checksum::{change32, change64, update},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use crate::outcome::Refusal;

/// Length of ICMP's header.
pub(super) const ICMP: usize = 8;

/// Gives the packet with the error these addresses, and counts the hop; the sum over the message changed by `change`.
#[inline(always)]
pub(super) fn readdress4(
    packet: &Packet,
    network: usize,
    offset: usize,
    (source, destination): (u32, u32),
    change: u64,
) -> Result<(), Refusal> {
    let header = packet.bytes_mut::<20>(network).ok_or(Reason::Truncated)?;
    let message = packet.bytes_mut::<ICMP>(offset).ok_or(Reason::Truncated)?;
    // SAFETY: both are there; each field is accessed at its own width.
    unsafe {
        let ttl = header.add(8).read_volatile();
        if ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        let mut sum = 0;
        for (at, new) in [(12, source), (16, destination)] {
            let word = header.add(at).cast::<u32>();
            sum += change32(word.read_volatile(), new);
            word.write_volatile(new);
        }
        let hop = header.add(8).cast::<u16>();
        let old = hop.read_volatile();
        header.add(8).write_volatile(ttl - 1);
        sum += change32(old.into(), hop.read_volatile().into());
        let checksum = header.add(10).cast::<u16>();
        checksum.write_volatile(update(checksum.read_volatile(), sum));
        let checksum = message.add(2).cast::<u16>();
        checksum.write_volatile(update(checksum.read_volatile(), change));
    }
    Ok(())
}

/// Gives the packet with the error these addresses, and counts the hop; the sum over the message changed by `change`.
#[inline(always)]
pub(super) fn readdress6(
    packet: &Packet,
    network: usize,
    offset: usize,
    (source, destination): ([u64; 2], [u64; 2]),
    mut change: u64,
) -> Result<(), Refusal> {
    let header = packet.bytes_mut::<40>(network).ok_or(Reason::Truncated)?;
    let message = packet.bytes_mut::<ICMP>(offset).ok_or(Reason::Truncated)?;
    // SAFETY: both are there; each field is accessed at its own width.
    unsafe {
        let limit = header.add(7).read_volatile();
        if limit <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        header.add(7).write_volatile(limit - 1);
        for (at, new) in [
            (8, source[0]),
            (16, source[1]),
            (24, destination[0]),
            (32, destination[1]),
        ] {
            let word = header.add(at).cast::<u64>();
            change += change64(word.read_volatile(), new);
            word.write_volatile(new);
        }
        let checksum = message.add(2).cast::<u16>();
        checksum.write_volatile(update(checksum.read_volatile(), change));
    }
    Ok(())
}
