//! Live counts of a backend's flows, kept by whoever changes the flow table.

use lb_common::{
    abi::BackendLoad,
    flow_table::{Control, Target},
};

use crate::maps::BACKEND_LOADS;

/// The load of the backend with this number.
#[inline(always)]
pub(crate) fn of(backend: u32) -> Option<&'static BackendLoad> {
    BACKEND_LOADS.get(backend)
}

/// A flow of this backend, in the state of this number, was entered.
#[inline(always)]
pub(crate) fn entered(backend: u32, state: u32) {
    tandem_count(backend, NOWHERE, state);
}

/// The flow that had this control word was removed.
#[inline(always)]
pub(crate) fn left(control: Control) {
    if let Target::Backend(backend) = control.target() {
        tandem_count(backend, control.state_index() as u32, NOWHERE);
    }
}

/// The flow that had this control word is in another state now.
#[inline(always)]
pub(crate) fn moved(before: Control, state: u32) {
    if let Target::Backend(backend) = before.target() {
        tandem_count(backend, before.state_index() as u32, state);
    }
}

/// A flow of this backend went from the state of one number to that of another.
#[inline(always)]
pub(crate) fn moved_of(backend: u32, before: u32, after: u32) {
    tandem_count(backend, before, after);
}

/// A flow of this backend, in the state of this number, was removed.
#[inline(always)]
pub(crate) fn left_of(backend: u32, state: u32) {
    tandem_count(backend, state, NOWHERE);
}

/// No state.
const NOWHERE: u32 = u32::MAX;

/// A flow of this backend went from one state to another, or came, or went.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_count(backend: u32, before: u32, after: u32) -> u32 {
    if let Some(load) = of(backend) {
        match (before, after) {
            (NOWHERE, state) => load.entered(state),
            (state, NOWHERE) => load.left(state),
            (before, after) => load.moved(before, after),
        }
    }
    0
}
