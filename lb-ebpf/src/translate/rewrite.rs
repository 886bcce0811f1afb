//! Addresses and ports are exchanged for others, and checksums follow (RFC 1624).

use lb_common::{
    checksum::{change32, change64, update},
    packet::{FlowKey4, FlowKey6, protocol},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use crate::outcome::Refusal;

const IPV4: usize = 20;
const IPV6: usize = 40;

/// Where a transport header has its checksum, in bytes.
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

/// Gives the IPv4 packet whose header lies at `network` and whose transport header lies at `transport` these addresses and
/// ports, and counts the hop: the director is a router here.
#[inline(always)]
pub(super) fn rewrite4(
    packet: &Packet,
    network: usize,
    transport: usize,
    to: &FlowKey4,
) -> Result<(), Refusal> {
    let header = packet.bytes_mut::<IPV4>(network).ok_or(Reason::Truncated)?;
    // SAFETY: the header is there; each field is accessed at its own width.
    let (change, kind) = unsafe {
        if header.add(8).read_volatile() <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        let kind = header.add(9).read_volatile();
        let source = header.add(12).cast::<u32>();
        let destination = header.add(16).cast::<u32>();
        let addresses = change32(source.read_volatile(), to.source())
            + change32(destination.read_volatile(), to.destination());
        source.write_volatile(to.source());
        destination.write_volatile(to.destination());
        let hop = header.add(8).cast::<u16>();
        let old = hop.read_volatile();
        header.add(8).write_volatile(header.add(8).read_volatile() - 1);
        let checksum = header.add(10).cast::<u16>();
        let hops = change32(old.into(), hop.read_volatile().into());
        checksum.write_volatile(update(checksum.read_volatile(), addresses + hops));
        (addresses, kind)
    };
    ports(packet, transport, kind, to.ports(), change)
}

/// Gives the IPv6 packet whose header lies at `network` and whose transport header of this kind lies at `transport` these
/// addresses and ports, and counts the hop.
#[inline(always)]
pub(super) fn rewrite6(
    packet: &Packet,
    network: usize,
    transport: usize,
    kind: u8,
    to: &FlowKey6,
) -> Result<(), Refusal> {
    let header = packet.bytes_mut::<IPV6>(network).ok_or(Reason::Truncated)?;
    // SAFETY: the header is there; each field is accessed at its own width.
    let change = unsafe {
        let limit = header.add(7).read_volatile();
        if limit <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        header.add(7).write_volatile(limit - 1);
        let mut change = 0;
        let ([s0, s1], [d0, d1]) = (to.source(), to.destination());
        for (at, new) in [(8, s0), (16, s1), (24, d0), (32, d1)] {
            let word = header.add(at).cast::<u64>();
            change += change64(word.read_volatile(), new);
            word.write_volatile(new);
        }
        change
    };
    ports(packet, transport, kind, to.ports(), change)
}

/// Gives the transport header these ports; its checksum covers the addresses, too, whose sum changed by `change`.
#[inline(always)]
fn ports(packet: &Packet, transport: usize, kind: u8, to: u32, change: u64) -> Result<(), Refusal> {
    let header = packet.bytes_mut::<8>(transport).ok_or(Reason::Truncated)?;
    // SAFETY: eight bytes are there.
    let change = unsafe {
        let at = header.cast::<u32>();
        let change = change + change32(at.read_volatile(), to);
        at.write_volatile(to);
        change
    };
    if kind == protocol::TCP {
        let checksum = packet
            .bytes_mut::<2>(transport + TCP_CHECKSUM)
            .ok_or(Reason::Truncated)?;
        // SAFETY: two bytes are there.
        unsafe {
            let checksum = checksum.cast::<u16>();
            checksum.write_volatile(update(checksum.read_volatile(), change));
        }
    } else {
        // SAFETY: eight bytes are there.
        unsafe { update_udp(header.add(UDP_CHECKSUM).cast(), change) };
    }
    Ok(())
}

/// Changes UDP's checksum: none at all stays none (RFC 768), and one that comes out as that is sent as its other zero.
///
/// # Safety
/// Two bytes at `checksum` must be writable.
#[inline(always)]
pub(super) unsafe fn update_udp(checksum: *mut u16, change: u64) {
    // SAFETY: as the caller promised.
    unsafe {
        let old = checksum.read_volatile();
        if old != 0 {
            let new = update(old, change);
            checksum.write_volatile(if new == 0 { 0xFFFF } else { new });
        }
    }
}

/// Sends the frame off by this link: the first 8 and the next 4 bytes of it.
#[inline(always)]
pub(super) fn send_by(packet: &Packet, (head, tail): (u64, u32)) -> Result<(), Refusal> {
    let frame = packet.bytes_mut::<12>(0).ok_or(Reason::Truncated)?;
    // SAFETY: twelve bytes are there.
    unsafe {
        frame.cast::<u64>().write_volatile(head);
        frame.add(8).cast::<u32>().write_volatile(tail);
    }
    Ok(())
}
