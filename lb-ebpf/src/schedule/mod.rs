//! Which backend takes a new flow?
//!
//! For most services that is the slot that the flow's hash falls on, and found here. All else is in a function of its own,
//! which the verifier checks once for both families: the [`search`] for a backend that may be taken, or that is least busy.

mod search;

use lb_common::{
    abi::{NO_BACKEND, Policy, PolicyFlags, SLOTS_PER_LINE, Schedule, ServiceEntry},
    hash::scale,
    reason::Reason,
    scheduling::{Choice, Tariff},
};

use crate::{
    family::Family,
    maps::{SERVICES, SLOTS},
    outcome::{Refusal, decode, encode},
    settings::settings,
};

/// Whether a packet begins a connection, or is in the middle of one that is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The first packet.
    Beginning,
    /// Some other packet.
    Middle,
}

/// The entry of a service.
#[inline(always)]
pub(crate) fn service(number: u32) -> Result<&'static ServiceEntry, Reason> {
    SERVICES.get(number).ok_or(Reason::MapMissing)
}

/// The hash that the service's schedule goes by.
#[inline(always)]
pub(crate) fn hash<F: Family>(policy: Policy, key: &F::Key) -> u64 {
    let seed = &settings().schedule_seed;
    if policy.hash.is_all() {
        F::hash(key, seed)
    } else {
        F::hash(&F::masked(key, policy.hash), seed)
    }
}

/// The backend that the table alone gives: for the first packet of a connection only where that is all there is to it, and
/// else `None`; [`search`] finds one.
///
/// A packet in the middle of a connection that is not known is no new work for anybody. The table gives it a backend whatever
/// the scheduler, by the hash of its connection: so directors agree, and packets that leave no entry stay together.
#[inline(always)]
pub(crate) fn by_table(
    service: &ServiceEntry,
    policy: Policy,
    hash: u64,
    moment: Moment,
) -> Option<Result<u32, Reason>> {
    let schedule = service.schedule();
    let is_table = schedule.choice == Choice::Hash && !policy.flags.has(PolicyFlags::THRESHOLDS);
    if moment == Moment::Beginning && !is_table {
        return None;
    }
    let index = match schedule.choice {
        Choice::First => 0,
        _ => scale(hash, schedule.length),
    };
    Some(slot(schedule, index))
}

/// The backend for a new flow with this hash of the service with this number.
#[inline(always)]
pub(crate) fn search(number: u32, hash: u64) -> Result<u32, Refusal> {
    Ok(decode(tandem_search(number, hash))? as u32)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_search(number: u32, hash: u64) -> u64 {
    encode(anywhere(number, hash).map(u64::from).map_err(Refusal::from))
}

#[inline(always)]
fn anywhere(number: u32, hash: u64) -> Result<u32, Reason> {
    let service = service(number)?;
    let schedule = service.schedule();
    if let Some(backend) = search::among(service, service.policy().flags, schedule, hash) {
        return Ok(backend);
    }
    // Backups take what the others cannot; where there are no others, they are the schedule.
    let backups = service.backups();
    let start = scale(hash, backups.length);
    match search::from(backups, start, Tariff::FREE, hash) {
        Some(backend) => Ok(backend),
        None if schedule.length | backups.length == 0 => Err(Reason::NoBackend),
        None => Err(Reason::AllFull),
    }
}

/// The backend in slot `index`, which is taken modulo nothing: it is below the length, or there is no slot.
#[inline(always)]
fn slot(schedule: Schedule, index: u32) -> Result<u32, Reason> {
    if schedule.length == 0 {
        return Err(Reason::NoBackend);
    }
    let slot = schedule.base + index;
    let line = SLOTS.get(slot / SLOTS_PER_LINE).ok_or(Reason::MapMissing)?;
    match line.slots[(slot % SLOTS_PER_LINE) as usize].load() {
        NO_BACKEND => Err(Reason::NoBackend),
        backend => Ok(backend),
    }
}
