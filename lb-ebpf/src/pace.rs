//! How many packets the director may answer with one of its own making: as many as Linux sends ICMP errors by default
//! (`icmp_msgs_per_sec`, `icmp_msgs_burst`), on each CPU.

use crate::{clock::jiffies, maps::PACE, settings::settings};

/// Answers that may be due at once.
const BURST: u64 = 50;

/// The answers that are left.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Pace {
    since: u64,
    left: u64,
}

/// Whether one more may be sent.
#[inline(always)]
pub(crate) fn may_answer() -> bool {
    let Some(pace) = PACE.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: this CPU's own.
    let pace = unsafe { &mut *pace };
    let now = jiffies();
    let earned = now.wrapping_sub(pace.since).min(BURST) * u64::from(settings().answers_per_jiffy);
    let left = (pace.left + earned).min(BURST);
    pace.since = now;
    pace.left = left.saturating_sub(1);
    left > 0
}
