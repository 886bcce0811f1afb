//! Clients that keep their backend: what was chosen for a client stands in the flow table as well, as a *template*. It is
//! looked for before a schedule is asked, and lives as long as connections begin or end.

use lb_common::{
    abi::NO_BACKEND,
    flow_state::FlowState,
    flow_table::{self, Clock, Entry, Insertion, NewFlow, Target},
};

use super::{Parcel, evicted};
use crate::{
    clock::jiffies,
    family::{Family, V4, V6},
    load,
    maps::TIMEOUTS,
    schedule,
    settings::settings,
};

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_recall4(parcel: *const Parcel<<V4 as Family>::Key>) -> u32 {
    recall::<V4>(parcel).unwrap_or(NO_BACKEND)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_recall6(parcel: *const Parcel<<V6 as Family>::Key>) -> u32 {
    recall::<V6>(parcel).unwrap_or(NO_BACKEND)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_remember4(parcel: *const Parcel<<V4 as Family>::Key>, backend: u32) -> u32 {
    remember::<V4>(parcel, backend).unwrap_or(backend)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_remember6(parcel: *const Parcel<<V6 as Family>::Key>, backend: u32) -> u32 {
    remember::<V6>(parcel, backend).unwrap_or(backend)
}

/// The backend that the client has and is to keep. That it is asked for prolongs the template.
#[inline(always)]
fn recall<F: Family>(parcel: *const Parcel<F::Key>) -> Option<u32> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_ref() }?;
    let key = F::template(&parcel.key, schedule::service(parcel.service).ok()?.persistence());
    let hash = F::hash(&key, &settings().flow_seed);
    let flows = F::flows();
    let hit = flow_table::lookup(&flows, &key, hash)?;
    let backend = hit.control.backend()?;
    if !load::of(backend)?.is_kept() {
        return None;
    }
    hit.entry.touch(jiffies() as u32);
    Some(backend)
}

/// Notes that the client has this backend, and returns the one that it has in the end: another CPU may have chosen for it at
/// the same moment. `None` where clients do not keep it.
#[inline(always)]
fn remember<F: Family>(parcel: *const Parcel<F::Key>, backend: u32) -> Option<u32> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_ref() }?;
    if !load::of(backend)?.is_kept() {
        return None;
    }
    let service = schedule::service(parcel.service).ok()?;
    let key = F::template(&parcel.key, service.persistence());
    let hash = F::hash(&key, &settings().flow_seed);
    let flows = F::flows();
    if let Some(hit) = flow_table::lookup(&flows, &key, hash) {
        // Of a backend that takes no new flows, or just entered.
        let theirs = hit.control.backend()?;
        if load::of(theirs)?.is_kept() {
            return Some(theirs);
        }
        hit.entry.remove(hit.control);
    }
    let clock = Clock {
        now: jiffies(),
        timeouts: TIMEOUTS.get(0)?,
    };
    let template = NewFlow {
        key,
        hash,
        target: Target::Backend(backend),
        state: FlowState::Template,
        class: service.policy().timeout_class,
    };
    match flow_table::insert(&flows, &template, &clock) {
        Insertion::Existing(control) => control.backend(),
        Insertion::Evicted(worth, victim) => {
            evicted(worth, victim);
            Some(backend)
        }
        Insertion::Inserted | Insertion::Contended => Some(backend),
    }
}
