//! The read-only settings that the loader writes before it loads the program.

use lb_common::{abi::Settings, hash::Seed};

use lb_ebpf::opaque::opaque;

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
static SETTINGS: Settings = Settings {
    flow_seed: Seed::new([0; 6]),
    schedule_seed: Seed::new([0; 6]),
    flow_mask_v4: 0,
    flow_mask_v6: 0,
    frontend_mask: 0,
    answers_per_jiffy: 0,
    translation_mask_v4: 0,
    translation_mask_v6: 0,
};

/// The settings, hidden from the optimiser: it must not take the zeroes above for the truth.
#[inline(always)]
pub(crate) fn settings() -> &'static Settings {
    let settings = opaque((&raw const SETTINGS).addr()) as *const Settings;
    // SAFETY: still the address of the static.
    unsafe { &*settings }
}
