//! The time of the packet path: jiffies, which cost a load; and what the HA thread goes by, for packets that are rare.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};

/// Jiffies since boot (Linux 5.6).
#[inline(always)]
pub(crate) fn jiffies() -> u64 {
    // SAFETY: the helper takes no arguments.
    unsafe { bpf_jiffies64() }
}

/// Nanoseconds since boot, asleep or not (Linux 5.8).
#[inline(always)]
pub(crate) fn since_boot() -> u64 {
    // SAFETY: the helper takes no arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}
