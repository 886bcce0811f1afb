//! Tunnels: the packet gets another header in front, and goes to the backend's own address.

use lb_common::{
    checksum::replace16,
    packet::{inner_sum4, inner_sum6},
    reason::Reason,
};

use super::{Place, Shape, outer};
use lb_ebpf::{
    packet::{Context, Packet},
    tunnel::Outer,
};

use crate::{
    count,
    maps::BACKENDS,
    outcome::{Refusal, decode, encode},
    verdict::Verdict,
};

const IPV4: usize = 20;
const IPV6: usize = 40;

/// Puts the packet into the backend's tunnel; it is known to fit.
#[inline(always)]
pub(crate) fn carry(packet: &Packet, backend: u32, shape: &Shape) -> Result<Verdict, Refusal> {
    let ifindex = tandem_carry(
        packet.context(),
        backend,
        Place::of(shape).number(),
        shape.bytes as u32,
        shape.entropy,
    );
    decode(ifindex).map(|ifindex| Verdict::by(ifindex as u32))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_carry(context: Context, backend: u32, place: u32, bytes: u32, entropy: u32) -> u64 {
    let place = Place::from_number(place);
    encode(encapsulate(context, backend, place, bytes & 0x1_FFFF, entropy).map(u64::from))
}

#[inline(always)]
fn encapsulate(
    context: Context,
    backend: u32,
    place: Place,
    bytes: u32,
    entropy: u32,
) -> Result<u32, Refusal> {
    let entry = BACKENDS.get(backend).ok_or(Reason::BackendGone)?;
    let tail = entry.tail();
    let packet = Packet::new(context);
    let length = (bytes as usize).wrapping_sub(place.network()) & 0xFFFF;
    let inner = if place.is_ipv6() {
        leave6(&packet, place.network(), length, tail.checksum())?
    } else {
        leave4(&packet, place.network(), length, tail.checksum())?
    };
    let outer = Outer {
        length: length as u16,
        ipv6_inside: place.is_ipv6(),
        class: inner.class,
        sum: inner.sum,
        entropy,
    };
    if tail.is_ipv6() {
        outer::put6(context, place.network(), &outer, entry, tail)?;
    } else {
        outer::put4(context, place.network(), &outer, entry, tail)?;
    }
    count::forwarded(backend, bytes as usize);
    Ok(entry.ifindex())
}

/// What the outer header takes over from the inner packet.
struct Inner {
    /// DSCP and ECN: copied, CE too (RFC 6040 section 4.1, normal mode).
    class: u8,
    /// Sum over the packet, if the method wants a checksum and the packet makes that cheap.
    sum: Option<u16>,
}

/// An IPv4 packet on its way into the tunnel: its TTL counts this hop (RFC 2003 section 3.1).
#[inline(always)]
fn leave4(packet: &Packet, network: usize, length: usize, wants_sum: bool) -> Result<Inner, Refusal> {
    let header = packet.bytes_mut::<IPV4>(network).ok_or(Reason::Truncated)?;
    // SAFETY: the header is there; each field is accessed at its own width.
    unsafe {
        let ttl = header.add(8).read_volatile();
        if ttl <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        let old = header.add(8).cast::<u16>().read_volatile();
        header.add(8).write_volatile(ttl - 1);
        let new = header.add(8).cast::<u16>().read_volatile();
        let checksum = header.add(10).cast::<u16>();
        checksum.write_volatile(replace16(checksum.read_volatile(), old, new));
        let words = usize::from(header.read_volatile() & 15);
        let sum = if wants_sum {
            inner_sum4(
                packet,
                network,
                network + words * 4,
                length.wrapping_sub(words * 4) & 0xFFFF,
            )
        } else {
            None
        };
        Ok(Inner {
            class: header.add(1).read_volatile(),
            sum,
        })
    }
}

/// An IPv6 packet on its way into the tunnel: its hop limit counts this hop (RFC 2473 section 3.1).
#[inline(always)]
fn leave6(packet: &Packet, network: usize, length: usize, wants_sum: bool) -> Result<Inner, Refusal> {
    let header = packet.bytes_mut::<IPV6>(network).ok_or(Reason::Truncated)?;
    // SAFETY: the header is there; each field is accessed at its own width.
    unsafe {
        let limit = header.add(7).read_volatile();
        if limit <= 1 {
            return Err(Reason::TtlExpired.into());
        }
        header.add(7).write_volatile(limit - 1);
        let (first, second) = (header.read_volatile(), header.add(1).read_volatile());
        let sum = if wants_sum {
            inner_sum6(packet, network, length.wrapping_sub(IPV6) & 0xFFFF)
        } else {
            None
        };
        Ok(Inner {
            class: first << 4 | second >> 4,
            sum,
        })
    }
}
