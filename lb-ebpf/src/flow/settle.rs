//! Where a packet goes that changes its flow's state, or has no flow yet.

use lb_common::{
    abi::{NO_BACKEND, PolicyFlags},
    flow_table::{Target, translation_at},
    reason::Reason,
};

use super::{flood, parcel::Parcel, placed::Placed, template};
use crate::{
    family::{Family, V4, V6},
    load,
    maps::BACKENDS,
    outcome::{Refusal, decode, decode_target, encode_target},
    schedule,
    translate::{self, NatFamily},
};

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
    if parcel.is_null() {
        return Err(Reason::MapMissing.into());
    }
    if let Placed::Known(target) = placed {
        // SAFETY: every caller hands over a whole parcel, or null; so does the verifier check.
        prolong::<F>(unsafe { &mut *parcel }, target);
        return Ok(target);
    }
    // What stands in the parcel is read there each time: what is kept is on the stack, of which all that is called has to have its
    // part, too.
    // SAFETY: as above.
    let (service, hash, policy) = unsafe {
        (
            || (*parcel).service,
            || (*parcel).schedule_hash,
            || PolicyFlags::from_bits((*parcel).policy),
        )
    };
    if policy().has(PolicyFlags::LIMITED) && !flood::leaves_entry(decode(F::flood(parcel))?) {
        // As the client's next packet will be, which makes the entry.
        return Ok(Target::Backend(schedule::in_the_middle(service(), hash())?));
    }
    if let Placed::Named(backend) = placed {
        return enter::<F>(parcel, backend);
    }
    if policy().has(PolicyFlags::PERSISTENT) {
        let backend = template::recalled::<F>(parcel, service())?;
        if backend != NO_BACKEND {
            return enter::<F>(parcel, backend);
        }
    }
    let mut backend = match placed {
        Placed::Chosen(backend) => backend,
        Placed::Open | Placed::Known(_) | Placed::Named(_) => schedule::search(service(), hash())?,
    };
    if policy().has(PolicyFlags::PERSISTENT) {
        backend = template::remembered::<F>(parcel, service(), backend)?;
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
