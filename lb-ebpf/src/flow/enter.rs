//! A new flow gets its entry.

use lb_common::{
    abi::{Event, PolicyFlags},
    flow_state::FlowState,
    flow_table::{self, Clock, Insertion, NewFlow, Target},
    packet::{TcpFlags, protocol},
    reason::Reason,
    tcp_state,
    verifier::blur,
};

use super::{Parcel, evicted};
use crate::{
    clock::jiffies,
    count,
    family::{Family, V4, V6},
    journal, load,
    maps::TIMEOUTS,
    outcome::{Refusal, encode_target},
    schedule,
};

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_enter4(
    parcel: *const Parcel<<V4 as Family>::Key>,
    backend: u32,
    target: u64,
) -> u64 {
    encode_target(enter::<V4>(parcel, backend, target))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
pub(crate) extern "C" fn tandem_enter6(
    parcel: *const Parcel<<V6 as Family>::Key>,
    backend: u32,
    target: u64,
) -> u64 {
    encode_target(enter::<V6>(parcel, backend, target))
}

/// Enters a new flow to this backend, whose target is this in bits; the target that counts in the end, which is another's choice if another CPU was faster.
#[inline(always)]
fn enter<F: Family>(parcel: *const Parcel<F::Key>, backend: u32, target: u64) -> Result<Target, Refusal> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_ref() }.ok_or(Reason::MapMissing)?;
    let target = Target::from_bits(target);
    let flags = TcpFlags::new(parcel.flags as u8);
    if flags.rst() {
        // The end of a connection that nobody here remembers: it is shown to the backend, and leaves no trace.
        return Ok(target);
    }
    let policy = schedule::service(parcel.service)?.policy();
    if policy.flags.has(PolicyFlags::ONE_PACKET) && parcel.protocol == u32::from(protocol::UDP) {
        count::new_flow(backend);
        return Ok(target);
    }
    let clock = Clock {
        now: jiffies(),
        timeouts: TIMEOUTS.get(0).ok_or(Reason::MapMissing)?,
    };
    let state = tcp_state::first_of(parcel.protocol as u8, flags);
    let flow = NewFlow {
        key: parcel.key,
        hash: parcel.hash,
        target,
        state,
        class: policy.timeout_class,
    };
    match flow_table::insert(&F::flows(), &flow, &clock) {
        Insertion::Existing(control) => return Ok(control.target()),
        Insertion::Contended => {
            count::event(Event::FlowContended);
            return Ok(target);
        }
        Insertion::Inserted => {}
        Insertion::Evicted(worth, victim) => evicted(worth, victim),
    }
    load::entered(backend, state as u32);
    count::event(Event::FlowCreated);
    count::new_flow(backend);
    // Which state it is, the verifier need not have followed through all of the above. The policy is read once more, since what is
    // kept is on the stack.
    let half_open = FlowState::is_half_open(blur(state as u64, parcel.hash) as u32);
    if PolicyFlags::from_bits(parcel.policy).tell(half_open) {
        journal::note::<F>(parcel);
    }
    Ok(target)
}
