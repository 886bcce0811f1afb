//! Noting which flows other directors are to be told of.

use lb_common::{
    abi::{FlowPlace, PolicyFlags},
    flow_state::FlowState,
    flow_table::{self, Hit},
};

use crate::{
    family::{Family, V4, V6},
    flow::Parcel,
    maps::JOURNAL,
};

/// Notes the packet's flow, which was just entered or is in another state now, unless it is half-open: a flood of those is
/// worth nothing to anybody but to a service that says so.
#[inline(always)]
pub(crate) fn note<F: Family>(parcel: *const Parcel<F::Key>) {
    if F::IS_V6 {
        tandem_note6(parcel.cast());
    } else {
        tandem_note4(parcel.cast());
    }
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_note4(parcel: *const Parcel<<V4 as Family>::Key>) -> u32 {
    enter::<V4>(parcel).map_or(0, |()| 1)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_note6(parcel: *const Parcel<<V6 as Family>::Key>) -> u32 {
    enter::<V6>(parcel).map_or(0, |()| 1)
}

#[inline(always)]
fn enter<F: Family>(parcel: *const Parcel<F::Key>) -> Option<()> {
    // SAFETY: the verifier checks that every caller hands over a whole parcel, or null.
    let parcel = unsafe { parcel.as_ref() }?;
    // To look for it once more is cheaper than to have every step before carry its place.
    let Hit { control, place, .. } = flow_table::lookup(&F::flows(), &parcel.key, parcel.hash)?;
    // Of a flow that was known before, the policy is not: then it is that of most.
    let policy = PolicyFlags::from_bits(parcel.policy);
    if policy.tell(FlowState::is_half_open(control.state_number().into())) {
        note_place::<F>(place);
    }
    Some(())
}

/// Notes the flow at this place of its family's table.
#[inline(always)]
pub(crate) fn note_place<F: Family>(place: u32) {
    if let Some(ring) = JOURNAL.get(cpu()) {
        let is_v6 = F::IS_V6;
        ring.note(FlowPlace { is_v6, place });
    }
}

#[inline(always)]
fn cpu() -> u32 {
    #[cfg(target_arch = "bpf")]
    {
        // SAFETY: it only reads.
        unsafe { aya_ebpf::helpers::generated::bpf_get_smp_processor_id() }
    }
    #[cfg(not(target_arch = "bpf"))]
    0
}
