//! The read-only settings that the loader writes before it loads the program.

use lb_common::decap::Settings;
use lb_ebpf::opaque::opaque;

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
static DECAP_SETTINGS: Settings = Settings::NONE;

/// The settings, hidden from the optimiser: it must not take the zeroes above for the truth.
#[inline(always)]
pub(crate) fn settings() -> &'static Settings {
    let settings = opaque((&raw const DECAP_SETTINGS).addr()) as *const Settings;
    // SAFETY: still the address of the static.
    unsafe { &*settings }
}
