//! Clients that keep their backend: what was chosen for a client stands in the flow table as well, as a *template*. It is
//! looked for before a schedule is asked, and lives as long as connections begin or end. So do destinations that keep theirs
//! until it is busy (`lblc`), or have some (`lblcr`).

use lb_common::{
    abi::{Keeper, MOST_REPLICAS, NO_BACKEND},
    flow_state::FlowState,
    flow_table::{self, Clock, Entry, Insertion, NewFlow, Target},
};

use super::{Parcel, evicted};
use crate::{
    clock::jiffies,
    family::{Family, V4, V6},
    journal, load,
    maps::TIMEOUTS,
    outcome::Refusal,
    schedule,
    settings::settings,
};

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_recall4(parcel: *const Parcel<<V4 as Family>::Key>, replica: u32) -> u32 {
    recall::<V4>(parcel, replica).unwrap_or(NO_BACKEND)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_recall6(parcel: *const Parcel<<V6 as Family>::Key>, replica: u32) -> u32 {
    recall::<V6>(parcel, replica).unwrap_or(NO_BACKEND)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_remember4(
    parcel: *const Parcel<<V4 as Family>::Key>,
    backend: u32,
    replica: u32,
) -> u32 {
    remember::<V4>(parcel, backend, replica).unwrap_or(NO_BACKEND)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_remember6(
    parcel: *const Parcel<<V6 as Family>::Key>,
    backend: u32,
    replica: u32,
) -> u32 {
    remember::<V6>(parcel, backend, replica).unwrap_or(NO_BACKEND)
}

/// The backend that the client has and is to keep; or the one that the destination has as its `replica`-th, and that is not
/// busy. That it is asked for prolongs the template.
#[inline(always)]
fn recall<F: Family>(parcel: *const Parcel<F::Key>, replica: u32) -> Option<u32> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_ref() }?;
    let persistence = schedule::service(parcel.service).ok()?.persistence();
    let key = F::template(&parcel.key, persistence, replica);
    let hash = F::hash(&key, &settings().flow_seed);
    let flows = F::flows();
    let hit = flow_table::lookup(&flows, &key, hash)?;
    let backend = hit.control.backend()?;
    let load = load::of(backend)?;
    if !load.is_kept() || (persistence.keeper != Keeper::Client && load.is_busy()) {
        return None;
    }
    hit.entry.touch(jiffies() as u32);
    Some(backend)
}

/// Notes that the client has this backend, or the destination as its `replica`-th, and returns the one that it has in the end:
/// another CPU may have chosen for it at the same moment. `None` where it has a busy one there, and is to have this one beside
/// it; and where nobody keeps this one.
#[inline(always)]
fn remember<F: Family>(parcel: *const Parcel<F::Key>, backend: u32, replica: u32) -> Option<u32> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_ref() }?;
    let load = load::of(backend)?;
    if !load.is_kept() {
        return None;
    }
    let service = schedule::service(parcel.service).ok()?;
    let persistence = service.persistence();
    let key = F::template(&parcel.key, persistence, replica);
    let hash = F::hash(&key, &settings().flow_seed);
    let flows = F::flows();
    if let Some(hit) = flow_table::lookup(&flows, &key, hash) {
        let theirs = hit.control.backend()?;
        let their_load = load::of(theirs)?;
        if their_load.is_kept() {
            // A client keeps what it has. A destination goes to another only from a busy one to one that has room.
            if persistence.keeper == Keeper::Client || !their_load.is_busy() || !load.is_slack() {
                return Some(theirs);
            }
            if persistence.keeper == Keeper::Destinations {
                return None;
            }
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
        Insertion::Existing(control) => return control.backend(),
        Insertion::Evicted(worth, victim) => evicted(worth, victim),
        Insertion::Inserted | Insertion::Contended => {}
    }
    if let Some(hit) = flow_table::lookup(&flows, &key, hash) {
        journal::note_place::<F>(hit.place);
    }
    Some(backend)
}

/// The backend that the packet's client or destination has, or [`NO_BACKEND`].
#[inline(always)]
pub(super) fn recalled<F: Family>(parcel: *const Parcel<F::Key>, service: u32) -> Result<u32, Refusal> {
    let most = schedule::service(service)?.persistence().keeper.most();
    for replica in 0..MOST_REPLICAS {
        if replica >= most {
            break;
        }
        let backend = F::recall(parcel, replica);
        if backend != NO_BACKEND {
            return Ok(backend);
        }
    }
    Ok(NO_BACKEND)
}

/// The backend that it has from now on: this one, unless it has as many as it may.
#[inline(always)]
pub(super) fn remembered<F: Family>(
    parcel: *const Parcel<F::Key>,
    service: u32,
    chosen: u32,
) -> Result<u32, Refusal> {
    let most = schedule::service(service)?.persistence().keeper.most();
    for replica in 0..MOST_REPLICAS {
        if replica >= most {
            break;
        }
        let backend = F::remember(parcel, chosen, replica);
        if backend != NO_BACKEND {
            return Ok(backend);
        }
    }
    Ok(chosen)
}
