//! The connection a packet belongs to: found, advanced, or made.

mod enter;
mod flood;
mod parcel;
mod place;
mod placed;
mod template;

use lb_common::{
    abi::{Event, NO_BACKEND, PolicyFlags},
    flow_state::Worth,
    flow_table::{self, Control, Entry, Hit, Target, translation_at},
    packet::{ConnectionId, TcpFlags, protocol},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

pub(crate) use self::{
    enter::{tandem_enter4, tandem_enter6},
    flood::{tandem_flood4, tandem_flood6},
    parcel::Parcel,
    place::{tandem_place4, tandem_place6},
    template::{tandem_recall4, tandem_recall6, tandem_remember4, tandem_remember6},
};
use self::{
    parcel::{SEVER, UNKNOWN},
    placed::Placed,
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
    settings::settings,
    translate::{self, NatFamily},
};

/// Where the packet of the flow with this hash goes, whose transport header of this protocol lies at this offset: for nearly
/// every packet, where its flow's entry says.
#[inline(always)]
pub(crate) fn target<F: NatFamily>(
    packet: &Packet,
    key: &F::Key,
    hash: u64,
    (transport, offset): (u8, usize),
    flags: TcpFlags,
) -> Result<Target, Refusal> {
    let mut unknown = UNKNOWN;
    if let Some(Hit { entry, control, .. }) = flow_table::lookup(&F::flows(), key, hash) {
        entry.touch(jiffies() as u32);
        if flags.is_plain() && control.is_steady() {
            return Ok(control.target());
        }
        unknown = 0;
    }
    let flags = u32::from(flags.bits()) | unknown;
    seldom::<F>(packet, key, hash, (transport, offset), flags)
}

/// The same for a packet of which there are few.
#[inline(always)]
pub(crate) fn target_of_few<F: NatFamily>(
    packet: &Packet,
    key: &F::Key,
    at: (u8, usize),
    flags: TcpFlags,
) -> Result<Target, Refusal> {
    let hash = F::hash(key, &settings().flow_seed);
    seldom::<F>(packet, key, hash, at, flags.bits().into())
}

#[inline(always)]
fn seldom<F: NatFamily>(
    packet: &Packet,
    key: &F::Key,
    hash: u64,
    (transport, offset): (u8, usize),
    flags: u32,
) -> Result<Target, Refusal> {
    let connection = if transport == protocol::UDP {
        ConnectionId::of(packet, offset)
    } else {
        ConnectionId::default()
    };
    let parcel = F::parcel().ok_or(Reason::MapMissing)?;
    *parcel = Parcel {
        key: *key,
        hash,
        origin: origin_of(packet).unwrap_or_default(),
        schedule_hash: 0,
        connection: connection.bits().into(),
        flags,
        protocol: transport.into(),
        service: 0,
        policy: 0,
    };
    let target = decode_target(F::settle(parcel))?;
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
    let (service, hash, policy) = (of.service, of.schedule_hash, PolicyFlags::from_bits(of.policy));
    if policy.has(PolicyFlags::LIMITED) && !flood::leaves_entry(decode(F::flood(parcel))?) {
        // As the client's next packet will be, which makes the entry.
        return Ok(Target::Backend(schedule::in_the_middle(service, hash)?));
    }
    if let Placed::Named(backend) = placed {
        return enter::<F>(parcel, backend);
    }
    let persistent = policy.has(PolicyFlags::PERSISTENT);
    if persistent {
        let backend = template::recalled::<F>(parcel, service)?;
        if backend != NO_BACKEND {
            return enter::<F>(parcel, backend);
        }
    }
    let mut backend = match placed {
        Placed::Chosen(backend) => backend,
        Placed::Open | Placed::Known(_) | Placed::Named(_) => schedule::search(service, hash)?,
    };
    if persistent {
        backend = template::remembered::<F>(parcel, service, backend)?;
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
fn prolong<F: NatFamily>(parcel: &mut Parcel<F::Key>, target: Target) {
    let backend = match target {
        Target::Backend(backend) => Some(backend),
        Target::Translation(place) => {
            translation_at(&F::translations(), place, &parcel.key).and_then(|hit| hit.control.backend())
        }
    };
    if let Some(backend) = backend
        && load::of(backend).is_some_and(|load| load.is_kept())
        && let Some(entry) = BACKENDS.get(backend)
    {
        parcel.service = entry.service();
        F::recall(parcel, 0);
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
