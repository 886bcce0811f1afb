//! The time of the packet path: jiffies, which cost a load.

use aya_ebpf::helpers::generated::bpf_jiffies64;

/// Jiffies since boot (Linux 5.6).
#[inline(always)]
pub(crate) fn jiffies() -> u64 {
    // SAFETY: the helper takes no arguments.
    unsafe { bpf_jiffies64() }
}
