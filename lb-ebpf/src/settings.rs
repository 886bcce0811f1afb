//! The read-only settings that the loader writes before it loads the program.

use lb_common::{abi::Settings, hash::Seed, tcp_state::FlowState};

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
static SETTINGS: Settings = Settings {
    flow_seed: Seed::new([0; 6]),
    schedule_seed: Seed::new([0; 6]),
    timeouts: [0; FlowState::LIMIT],
    flow_mask_v4: 0,
    flow_mask_v6: 0,
    frontend_mask: 0,
    reserved: 0,
};

/// The settings, hidden from the optimiser: it must not take the zeroes above for the truth.
#[inline(always)]
pub(crate) fn settings() -> &'static Settings {
    #[cfg_attr(
        not(target_arch = "bpf"),
        expect(unused_mut, reason = "only the assembly below changes it")
    )]
    let mut settings = &raw const SETTINGS;
    #[cfg(target_arch = "bpf")]
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("/* {0} */", inout(reg) settings, options(pure, nomem, preserves_flags, nostack));
    }
    // SAFETY: still the address of the static.
    unsafe { &*settings }
}
