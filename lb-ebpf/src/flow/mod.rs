//! The connection a packet belongs to: found, advanced, or made.

mod enter;
mod place;

use lb_common::{
    flow_table::{self, Entry, Hit, Origin, Target},
    packet::TcpFlags,
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use self::place::Placed;
pub(crate) use self::{
    enter::{tandem_enter4, tandem_enter6},
    place::{tandem_place4, tandem_place6},
};
use crate::{
    clock::jiffies,
    family::{Family, V4, V6},
    maps::BACKENDS,
    origin::origin_of,
    outcome::{Refusal, decode, decode_target, encode_target},
    schedule,
    translate::{self, NatFamily},
};

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
    /// TCP's control bits.
    pub(crate) flags: u32,
    /// IANA protocol number.
    pub(crate) protocol: u32,
    /// Number of the service, where a backend is to be chosen.
    pub(crate) service: u32,
    pub(crate) reserved: u32,
}

/// Where the packet of the flow with this hash goes: for nearly every packet, where its flow's entry says.
#[inline(always)]
pub(crate) fn target<F: NatFamily>(
    packet: &Packet,
    key: &F::Key,
    hash: u64,
    transport: u8,
    flags: TcpFlags,
) -> Result<Target, Refusal> {
    if let Some(Hit { entry, control }) = flow_table::lookup(&F::flows(), key, hash) {
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
        reserved: 0,
    };
    decode_target(F::settle(&raw mut parcel))
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
    let backend = match Placed::from_number(decode(F::place(parcel))?) {
        Placed::Known(target) => return Ok(target),
        Placed::Chosen(backend) => backend,
        Placed::Open => {
            // SAFETY: every caller hands over a whole parcel, or null; so does the verifier check.
            let Parcel {
                service,
                schedule_hash,
                ..
            } = unsafe { parcel.as_ref() }.ok_or(Reason::MapMissing)?;
            schedule::search(*service, *schedule_hash)?
        }
    };
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
