//! ICMP errors about replies of translated flows, on their way to the backend, who sent those under his own address.

use lb_common::{
    abi::BackendEntry,
    flow_table::{Entry, Hit, translation_at},
    packet::{Ipv4, Ipv6, quoted_flow4, quoted_flow6, quoted_packet4, quoted_packet6},
    reason::Reason,
};
use lb_ebpf::packet::{Context, Packet};

use super::{
    NatFamily,
    quote::{self, Quote},
    readdress::{ICMP, readdress4, readdress6},
    rewrite::send_by,
};
use crate::{
    count,
    family::{V4, V6},
    forward::Shape,
    maps::BACKENDS,
    outcome::{Refusal, decode, encode},
    verdict::Verdict,
};

/// Sends an error about a reply to the backend; the flow's target is this place.
#[inline(always)]
pub(crate) fn error_to_backend4(
    packet: &Packet,
    translation: u32,
    shape: &Shape,
) -> Result<Verdict, Refusal> {
    let (network, offset) = (shape.network as u32, shape.transport as u32);
    let length = (shape.bytes - shape.transport) as u32;
    decode(tandem_error4(
        packet.context(),
        translation,
        network,
        offset,
        length,
    ))
    .map(|ifindex| Verdict::by(ifindex as u32))
}

/// Sends an error about a reply to the backend; the flow's target is this place.
#[inline(always)]
pub(crate) fn error_to_backend6(
    packet: &Packet,
    translation: u32,
    shape: &Shape,
) -> Result<Verdict, Refusal> {
    let (network, offset) = (shape.network as u32, shape.transport as u32);
    let length = (shape.bytes - shape.transport) as u32;
    decode(tandem_error6(
        packet.context(),
        translation,
        network,
        offset,
        length,
    ))
    .map(|ifindex| Verdict::by(ifindex as u32))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_error4(
    context: Context,
    translation: u32,
    network: u32,
    offset: u32,
    length: u32,
) -> u64 {
    let packet = Packet::new(context);
    let at = (
        network as usize & 31,
        offset as usize & 127,
        length as usize & 0xFFFF,
    );
    encode(to_backend4(&packet, translation, at))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_error6(
    context: Context,
    translation: u32,
    network: u32,
    offset: u32,
    length: u32,
) -> u64 {
    let packet = Packet::new(context);
    let at = (
        network as usize & 31,
        offset as usize & 0x7FFF,
        length as usize & 0xFFFF,
    );
    encode(to_backend6(&packet, translation, at))
}

/// The client's flow's reply, the backend, and its number.
#[inline(always)]
fn server_of<F: NatFamily>(
    translation: u32,
    original: &F::Key,
) -> Result<(F::Key, &'static BackendEntry, u32), Refusal> {
    let table = F::translations();
    let Hit { entry, control, .. } =
        translation_at(&table, translation, original).ok_or(Reason::TranslationLost)?;
    let number = control.backend().ok_or(Reason::BackendGone)?;
    let server = BACKENDS.get(number).ok_or(Reason::BackendGone)?;
    if server.tail().is_ready() {
        Ok((entry.key().reply, server, number))
    } else {
        Err(Reason::BackendUnresolved.into())
    }
}

#[inline(always)]
fn to_backend4(
    packet: &Packet,
    translation: u32,
    (network, offset, length): (usize, usize, usize),
) -> Result<u64, Refusal> {
    let ip = Ipv4::at(packet, network)?;
    let original = quoted_flow4(packet, ip.destination(), offset, length)?;
    let quoted = quoted_packet4(packet, offset, length)?;
    let (reply, server, number) = server_of::<V4>(translation, &original)?;
    // With a pool, nobody but the director is known to the backend.
    let source = if reply.destination() == original.source() {
        ip.source()
    } else {
        reply.destination()
    };
    let at = Quote {
        network: offset + ICMP,
        transport: quoted.payload.offset & 0xFF,
        length: quoted.payload.length,
        protocol: quoted.payload.protocol,
    };
    let change = quote::translate4(packet, at, &reply).ok_or(Reason::Truncated)?;
    readdress4(packet, network, offset, (source, reply.source()), change)?;
    send_by(packet, (server.head(), server.tail().mac()))?;
    count::forwarded(number, offset + length);
    Ok(server.ifindex().into())
}

#[inline(always)]
fn to_backend6(
    packet: &Packet,
    translation: u32,
    (network, offset, length): (usize, usize, usize),
) -> Result<u64, Refusal> {
    let ip = Ipv6::at(packet, network)?;
    let original = quoted_flow6(packet, ip.destination(), offset, length)?;
    let quoted = quoted_packet6(packet, offset, length)?;
    let (reply, server, number) = server_of::<V6>(translation, &original)?;
    let source = if reply.destination() == original.source() {
        ip.source()
    } else {
        reply.destination()
    };
    let at = Quote {
        network: offset + ICMP,
        transport: quoted.payload.offset & 0x7FFF,
        length: quoted.payload.length,
        protocol: quoted.payload.protocol,
    };
    let change = quote::translate6(packet, at, &reply).ok_or(Reason::Truncated)?;
    readdress6(packet, network, offset, (source, reply.source()), change)?;
    send_by(packet, (server.head(), server.tail().mac()))?;
    count::forwarded(number, offset + length);
    Ok(server.ifindex().into())
}
