//! A packet of a translated flow, on its way to the backend.

use lb_common::{
    flow_table::{self, Entry, Hit, Target, TranslationEntry, key_at, translation_at},
    reason::Reason,
};
use lb_ebpf::packet::{Context, Packet};

use super::{NatFamily, rewrite::send_by};
use crate::{
    clock::jiffies,
    count,
    family::{V4, V6},
    forward::{Place, Shape},
    maps::BACKENDS,
    origin::origin_of,
    outcome::{Refusal, decode, encode},
    settings::settings,
    too_big,
    verdict::Verdict,
};

/// Marks a number as the length that fits.
const TOO_BIG: u64 = 1 << 32;

/// Sends the packet to its backend; its flow's target is this place of the family's translation table.
#[inline(always)]
pub(crate) fn forward(packet: &Packet, translation: u32, shape: &Shape) -> Result<Verdict, Refusal> {
    let (context, place) = (packet.context(), Place::of(shape).number());
    let (transport, bytes) = (shape.transport as u32, shape.bytes as u32);
    let number = decode(if shape.ipv6 {
        tandem_forward6(context, translation, place, transport, bytes)
    } else {
        tandem_forward4(context, translation, place, transport, bytes)
    })?;
    if number & TOO_BIG != 0 {
        return Err(too_big::answer(packet, shape, number as u16));
    }
    Ok(Verdict::by(number as u32))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_forward4(
    context: Context,
    translation: u32,
    place: u32,
    transport: u32,
    bytes: u32,
) -> u64 {
    encode(translate::<V4>(
        context,
        translation,
        place,
        transport & 127,
        bytes,
    ))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_forward6(
    context: Context,
    translation: u32,
    place: u32,
    transport: u32,
    bytes: u32,
) -> u64 {
    encode(translate::<V6>(
        context,
        translation,
        place,
        transport & 0x7FFF,
        bytes,
    ))
}

/// The interface, or [`TOO_BIG`].
#[inline(always)]
fn translate<F: NatFamily>(
    context: Context,
    translation: u32,
    place: u32,
    transport: u32,
    bytes: u32,
) -> Result<u64, Refusal> {
    let packet = Packet::new(context);
    let (place, transport) = (Place::from_number(place), transport as usize);
    let table = F::translations();
    let original = if transport == 0 {
        let known = key_at(&table, translation)
            .ok_or(Reason::TranslationLost)?
            .original;
        F::key_like(&packet, place, &known)
    } else {
        F::key_of(&packet, place, transport)
    };
    let original = original.ok_or(Reason::Truncated)?;
    let Some(Hit { entry, control, .. }) = translation_at(&table, translation, &original) else {
        forget::<F>(&original, translation);
        return Err(Reason::TranslationLost.into());
    };
    let backend = control.backend().ok_or(Reason::BackendGone)?;
    let server = BACKENDS.get(backend).ok_or(Reason::BackendGone)?;
    let tail = server.tail();
    if !tail.is_ready() {
        return Err(if server.in_use() {
            Reason::BackendUnresolved.into()
        } else {
            Reason::BackendGone.into()
        });
    }
    if !tail.is_translated() {
        // Its service has another method by now.
        entry.remove(control);
        forget::<F>(&original, translation);
        return Err(Reason::TranslationLost.into());
    }
    if (bytes as usize).wrapping_sub(place.network()) > usize::from(server.longest()) {
        return Ok(TOO_BIG | u64::from(server.longest()));
    }
    entry.touch(jiffies() as u32);
    let origin = origin_of(&packet).ok_or(Reason::Truncated)?;
    if entry.origin() != origin {
        entry.set_origin(origin);
    }
    F::rewrite(&packet, place, transport, &F::reversed(&entry.key().reply))?;
    send_by(&packet, (server.head(), tail.mac()))?;
    count::forwarded(backend, bytes as usize);
    Ok(server.ifindex().into())
}

/// Removes a flow that leads to a translation that is not its own, so that the next packet begins it anew.
#[inline(always)]
fn forget<F: NatFamily>(original: &F::Key, translation: u32) {
    let hash = F::hash(original, &settings().flow_seed);
    if let Some(Hit { entry, control, .. }) = flow_table::lookup(&F::flows(), original, hash)
        && control.target() == Target::Translation(translation)
    {
        entry.remove(control);
    }
}
