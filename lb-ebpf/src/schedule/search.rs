//! The search through a schedule: for the first backend that may be taken, or for the least busy one.
//!
//! `bpf_loop` (Linux 5.17) runs it: the verifier checks one step, and not a thousand of them one after the other, with what
//! each may have led to.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_loop};
use lb_common::{
    abi::{PolicyFlags, Schedule, ServiceEntry},
    hash::scale,
    scheduling::{Choice, MOST_SLOTS, Search, Tariff},
    verifier::blur,
};

use super::slot;
use crate::load;

/// The backend that this schedule leads to; `None` where none may be taken.
#[inline(always)]
pub(super) fn among(
    service: &ServiceEntry,
    flags: PolicyFlags,
    schedule: Schedule,
    hash: u64,
) -> Option<u32> {
    if schedule.length == 0 {
        return None;
    }
    let (start, tariff) = match schedule.choice {
        Choice::Hash if !flags.has(PolicyFlags::FALLBACK) => {
            let backend = slot(schedule, scale(hash, schedule.length)).ok()?;
            return (!load::of(backend)?.is_full()).then_some(backend);
        }
        Choice::Turn => {
            let start = (service.take_turn() % u64::from(schedule.length)) as u32;
            if !flags.has(PolicyFlags::THRESHOLDS) {
                return slot(schedule, start).ok();
            }
            (start, Tariff::FREE)
        }
        Choice::TwoDraws => return of_two(schedule, hash),
        Choice::Hash => (scale(hash, schedule.length), Tariff::FREE),
        Choice::First
        | Choice::Spill
        | Choice::Least
        | Choice::WeightedLeast
        | Choice::ShortestDelay
        | Choice::NeverQueue => (0, Tariff::of(schedule.choice)),
    };
    from(schedule, start, tariff, hash)
}

/// The one of two, drawn at random, that bids less.
#[inline(always)]
fn of_two(schedule: Schedule, noise: u64) -> Option<u32> {
    let first = from(schedule, draw(schedule), Tariff::FREE, noise)?;
    let second = from(schedule, draw(schedule), Tariff::FREE, noise)?;
    let tariff = Tariff::of(Choice::TwoDraws);
    let second_is_better = tariff
        .bid(load::of(second)?)?
        .beats(tariff.bid(load::of(first)?)?);
    Some(if second_is_better { second } else { first })
}

/// A slot at random.
#[inline(always)]
fn draw(schedule: Schedule) -> u32 {
    // SAFETY: the helper takes no arguments.
    let random = unsafe { bpf_get_prandom_u32() };
    scale(u64::from(random) << 32, schedule.length)
}

/// A search under way.
#[repr(C)]
struct Walk {
    search: Search,
    schedule: Schedule,
    /// The slot that is looked at first.
    start: u32,
}

/// Looks at the slots one after the other from `start` on, all of them at most, or [`MOST_SLOTS`]; `start` is below the
/// length. `noise` is a number that the verifier cannot know.
#[inline(always)]
pub(super) fn from(schedule: Schedule, start: u32, tariff: Tariff, noise: u64) -> Option<u32> {
    let mut walk = Walk {
        search: Search::new(tariff, noise),
        schedule,
        start: blur(start.into(), noise) as u32,
    };
    let function = step as extern "C" fn(u64, *mut Walk) -> u64;
    // SAFETY: the kernel calls `step` with a number and the pointer, and for no longer than this call takes.
    unsafe {
        bpf_loop(
            schedule.length.min(MOST_SLOTS),
            function as *mut c_void,
            (&raw mut walk).cast(),
            0,
        );
    }
    walk.search.found()
}

/// Looks at one slot, the `round`-th from the start: 1 ends the search.
#[inline(never)]
extern "C" fn step(round: u64, walk: *mut Walk) -> u64 {
    // SAFETY: it is what `from` handed to the kernel, and nobody else refers to it.
    let walk = unsafe { &mut *walk };
    let schedule = walk.schedule;
    // Both are below the length.
    let ahead = walk.start + round as u32;
    let index = if ahead < schedule.length {
        ahead
    } else {
        ahead - schedule.length
    };
    let Ok(backend) = slot(schedule, index) else {
        return 0;
    };
    match load::of(backend) {
        Some(load) if walk.search.consider(backend, load) => 1,
        _ => 0,
    }
}
