//! The connection a packet belongs to: found, advanced, or made.

mod enter;
mod place;
mod template;

use lb_common::{
    abi::{Event, NO_BACKEND},
    flow_state::Worth,
    flow_table::{self, Control, Entry, Hit, Origin, Target},
    packet::TcpFlags,
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use self::place::Placed;
pub(crate) use self::{
    enter::{tandem_enter4, tandem_enter6},
    place::{tandem_place4, tandem_place6},
    template::{tandem_recall4, tandem_recall6, tandem_remember4, tandem_remember6},
};
use crate::{
    clock::jiffies,
    count,
    family::{Family, V4, V6},
    load,
    maps::BACKENDS,
    origin::origin_of,
    outcome::{Refusal, decode, decode_target, encode_target},
    reset, schedule,
    translate::{self, NatFamily},
};

/// Beside TCP's control bits: the segment is to become a reset.
const SEVER: u32 = 1 << 9;

/// A packet of a flow, and what its way through the functions below adds.
#[repr(C)]
pub(crate) struct Parcel<K> {
    pub(crate) key: K,
    /// The key's hash for the flow table.
    pub(crate) hash: u64,
    /// Where the packet comes from.
    pub(crate) origin: Origin,
    /// The key's hash for the service's schedule, where a backend is to be chosen.
    pub(crate) schedule_hash: u64,
    /// TCP's control bits, and [`SEVER`].
    pub(crate) flags: u32,
    /// IANA protocol number.
    pub(crate) protocol: u32,
    /// Number of the service, where a backend is to be chosen.
    pub(crate) service: u32,
    /// Whether the service's clients keep their backends.
    pub(crate) persistent: u32,
}

/// Where the packet of the flow with this hash, whose transport header is at `offset`, goes: for nearly every packet, where its flow's entry says.
#[inline(always)]
pub(crate) fn target<F: NatFamily>(
    packet: &Packet,
    key: &F::Key,
    hash: u64,
    transport: u8,
    offset: usize,
    flags: TcpFlags,
) -> Result<Target, Refusal> {
    if let Some(Hit { entry, control, .. }) = flow_table::lookup(&F::flows(), key, hash) {
        entry.touch(jiffies() as u32);
        if flags.is_plain() && control.is_steady() {
            return Ok(control.target());
        }
    }
    let mut parcel = Parcel {
        key: *key,
        hash,
        origin: origin_of(packet).unwrap_or_default(),
        schedule_hash: 0,
        flags: flags.bits().into(),
        protocol: transport.into(),
        service: 0,
        persistent: 0,
    };
    let target = decode_target(F::settle(&raw mut parcel))?;
    if parcel.flags & SEVER != 0 {
        reset::sever(packet, offset)?;
    }
    Ok(target)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_settle4(parcel: *mut Parcel<<V4 as Family>::Key>) -> u64 {
    encode_target(settle::<V4>(parcel))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_settle6(parcel: *mut Parcel<<V6 as Family>::Key>) -> u64 {
    encode_target(settle::<V6>(parcel))
}

/// Where a packet goes that changes its flow's state, or has no flow yet: a function for each step, one after the other, so
/// that they have the stack one after the other.
#[inline(always)]
fn settle<F: NatFamily>(parcel: *mut Parcel<F::Key>) -> Result<Target, Refusal> {
    let placed = Placed::from_number(decode(F::place(parcel))?);
    // SAFETY: every caller hands over a whole parcel, or null; so does the verifier check.
    let of = unsafe { parcel.as_mut() }.ok_or(Reason::MapMissing)?;
    if let Placed::Known(target) = placed {
        prolong::<F>(of, target);
        return Ok(target);
    }
    let (service, hash, persistent) = (of.service, of.schedule_hash, of.persistent != 0);
    if persistent {
        let backend = F::recall(parcel);
        if backend != NO_BACKEND {
            return enter::<F>(parcel, backend);
        }
    }
    let mut backend = match placed {
        Placed::Chosen(backend) => backend,
        Placed::Open | Placed::Known(_) => schedule::search(service, hash)?,
    };
    if persistent {
        backend = F::remember(parcel, backend);
    }
    enter::<F>(parcel, backend)
}

/// The flow gets its entry, after its translation if its backend's packets are translated.
#[inline(always)]
fn enter<F: NatFamily>(parcel: *const Parcel<F::Key>, backend: u32) -> Result<Target, Refusal> {
    let server = BACKENDS.get(backend).ok_or(Reason::BackendGone)?;
    let target = if server.tail().is_translated() {
        Target::Translation(translate::acquire::<F>(parcel, backend)?)
    } else {
        Target::Backend(backend)
    };
    decode_target(F::enter(parcel, backend, target.bits()))
}

/// A client that keeps its backend keeps it from the end of a connection on, too.
#[inline(always)]
fn prolong<F: Family>(parcel: &mut Parcel<F::Key>, target: Target) {
    if let Target::Backend(backend) = target
        && load::of(backend).is_some_and(|load| load.is_kept())
        && let Some(entry) = BACKENDS.get(backend)
    {
        parcel.service = entry.service();
        F::recall(parcel);
    }
}

/// A flow gave up its place to a new one.
#[inline(always)]
fn evicted(worth: Worth, victim: Control) {
    load::left(victim);
    count::event(match worth {
        Worth::Expired => Event::EvictedExpired,
        Worth::HalfOpen => Event::EvictedHalfOpen,
        Worth::Closing => Event::EvictedClosing,
        Worth::IdleDatagram => Event::EvictedIdleDatagram,
        Worth::Active => Event::EvictedActive,
    });
}
