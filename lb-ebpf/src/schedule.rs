//! Which backend takes a new flow?

use lb_common::{
    abi::{NO_BACKEND, Policy, SLOTS_PER_LINE},
    hash::scale,
    reason::Reason,
};

use crate::maps::{SERVICES, SLOTS};

/// The backend that the service's table gives to a flow with this hash.
#[inline(always)]
pub(crate) fn choose(service: u32, hash: u64) -> Result<u32, Reason> {
    let schedule = SERVICES.get(service).ok_or(Reason::MapMissing)?.schedule();
    if schedule.length == 0 {
        return Err(Reason::NoBackend);
    }
    let slot = schedule.base + scale(hash, schedule.length);
    let line = SLOTS.get(slot / SLOTS_PER_LINE).ok_or(Reason::MapMissing)?;
    match line.slots[(slot % SLOTS_PER_LINE) as usize].load() {
        NO_BACKEND => Err(Reason::NoBackend),
        backend => Ok(backend),
    }
}

/// What the service wants beside its schedule.
#[inline(always)]
pub(crate) fn policy(service: u32) -> Result<Policy, Reason> {
    Ok(SERVICES.get(service).ok_or(Reason::MapMissing)?.policy())
}
