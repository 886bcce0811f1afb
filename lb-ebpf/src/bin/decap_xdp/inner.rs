//! The packet inside: is it whole, and does it bear the marks that its tunnel's packet met?

use lb_common::{
    checksum::{fold, replace16},
    decap::Outcome,
    ecn,
    packet::{Frame as _, inner_sum4, inner_sum6, protocol},
};
use lb_ebpf::packet::Packet;

use crate::{outer::Outer, settings::settings};

/// Whether the checksum over all is right, as far as headers tell: see `lb_common::packet::inner_sum4`.
#[inline(always)]
fn check(outer: &Outer, inner: impl FnOnce() -> Option<u16>) -> Result<(), Outcome> {
    let Some(between) = outer.inside.sum else {
        return Ok(());
    };
    let Some(inner) = inner() else { return Ok(()) };
    let addresses = if outer.inside.covers_addresses {
        outer.addresses
    } else {
        0
    };
    if fold(u64::from(between) + u64::from(inner) + addresses) == 0xFFFF {
        Ok(())
    } else {
        Err(Outcome::BadChecksum)
    }
}

/// Checks an IPv4 packet, and marks it as its tunnel's packet was marked.
#[inline(always)]
pub(crate) fn enter4(packet: &Packet, outer: &Outer) -> Result<(), Outcome> {
    let at = outer.inside.offset & 0xFFF;
    let header = packet.bytes_mut::<20>(at).ok_or(Outcome::Malformed)?;
    // SAFETY: the header is there; each field is accessed at its own width.
    unsafe {
        let first = header.read_volatile();
        let words = usize::from(first & 15);
        let total = usize::from(u16::from_be(header.add(2).cast::<u16>().read_volatile()));
        if first >> 4 != 4 || words < 5 || total < words * 4 || total > outer.inside.length {
            return Err(Outcome::Malformed);
        }
        let kind = header.add(9).read_volatile();
        if is_nested(packet, kind, at + words * 4) {
            return Err(Outcome::Nested);
        }
        check(outer, || {
            let header = (words * 4) & 63;
            inner_sum4(packet, at, at + header, total.wrapping_sub(header) & 0xFFFF)
        })?;
        let class = header.add(1).read_volatile();
        let mark = ecn::leave_tunnel(outer.class, class).ok_or(Outcome::Congested)?;
        if mark != class & 3 {
            let old = header.cast::<u16>().read_volatile();
            header.add(1).write_volatile(class & !3 | mark);
            let new = header.cast::<u16>().read_volatile();
            let checksum = header.add(10).cast::<u16>();
            checksum.write_volatile(replace16(checksum.read_volatile(), old, new));
        }
    }
    Ok(())
}

/// Checks an IPv6 packet, and marks it as its tunnel's packet was marked.
#[inline(always)]
pub(crate) fn enter6(packet: &Packet, outer: &Outer) -> Result<(), Outcome> {
    let at = outer.inside.offset & 0xFFF;
    let header = packet.bytes_mut::<40>(at).ok_or(Outcome::Malformed)?;
    // SAFETY: the header is there; each field is accessed at its own width.
    unsafe {
        let (first, second) = (header.read_volatile(), header.add(1).read_volatile());
        let length = usize::from(u16::from_be(header.add(4).cast::<u16>().read_volatile()));
        if first >> 4 != 6 || length + 40 > outer.inside.length {
            return Err(Outcome::Malformed);
        }
        if is_nested(packet, header.add(6).read_volatile(), at + 40) {
            return Err(Outcome::Nested);
        }
        check(outer, || inner_sum6(packet, at, length))?;
        let class = first << 4 | second >> 4;
        let mark = ecn::leave_tunnel(outer.class, class).ok_or(Outcome::Congested)?;
        // ECN is the lower end of the class, which ends in the middle of the second byte.
        header.add(1).write_volatile(second & !0x30 | mark << 4);
    }
    Ok(())
}

/// Whether the payload is a tunnel's again.
#[inline(always)]
fn is_nested(packet: &Packet, kind: u8, offset: usize) -> bool {
    match kind {
        protocol::IPV4 | protocol::IPV6 | protocol::GRE => true,
        protocol::UDP => match packet.window::<4>(offset & 0xFFF) {
            Some(udp) => u32::from(udp.be16::<2>()) == settings().gue_port,
            None => false,
        },
        _ => false,
    }
}
