//! Counting, per CPU.

use lb_common::{
    abi::{BackendCounters, Event},
    flow_state::FlowState,
};
use lb_ebpf::opaque::opaque;

use crate::{
    maps::{BACKEND_COUNTERS, COUNTERS},
    outcome::Refusal,
};

/// A packet that was not forwarded.
#[inline(always)]
pub(crate) fn refused(refusal: Refusal) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: this CPU's own counters; the mask keeps the index inside.
        unsafe {
            let counters = &raw mut (*counters).reasons;
            let counter = counters.cast::<u64>().add(refusal.reason() as usize & 63);
            *counter += 1;
        }
    }
}

/// Something worth counting.
#[inline(always)]
pub(crate) fn event(event: Event) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        // SAFETY: this CPU's own counters; the mask keeps the index inside, for the verifier's eyes too.
        unsafe {
            let counters = &raw mut (*counters).events;
            let counter = counters.cast::<u64>().add(opaque(event as usize) & 15);
            *counter += 1;
        }
    }
}

/// A packet of `bytes` that goes to this backend.
#[inline(always)]
pub(crate) fn forwarded(backend: u32, bytes: usize) {
    with(backend, |counters| {
        counters.packets += 1;
        counters.bytes += bytes as u64;
    });
}

/// A reply of this backend, of `bytes`, that went back to its client.
#[inline(always)]
pub(crate) fn replied(backend: u32, bytes: usize) {
    with(backend, |counters| {
        counters.replies += 1;
        counters.reply_bytes += bytes as u64;
    });
}

/// This backend reset a connection that was in the state of this number: one that was being opened, it refused.
#[inline(always)]
pub(crate) fn reset_by(backend: u32, state: u32) {
    tandem_refused(backend, state);
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_refused(backend: u32, state: u32) -> u32 {
    if FlowState::is_half_open(state) {
        with(backend, |counters| counters.refused += 1);
    }
    0
}

/// A new flow that was given to this backend.
#[inline(always)]
pub(crate) fn new_flow(backend: u32) {
    with(backend, |counters| counters.flows += 1);
}

#[inline(always)]
fn with(backend: u32, change: impl FnOnce(&mut BackendCounters)) {
    if let Some(counters) = BACKEND_COUNTERS.get_ptr_mut(backend) {
        // SAFETY: this CPU's own counters, and nothing else refers to them meanwhile.
        change(unsafe { &mut *counters });
    }
}
