//! Weights that follow what backends say or how fast they answer: smoothed, and in bounded steps, so that the schedule moves
//! little.
//!
//! **The bound.** In a step, which is a second at least, a backend's part of its weight moves by [`STEP`] at most; what
//! differs by less than [`DEAD_BAND`] is left alone. One step of one backend of `n` equal ones moves at most 2 × `STEP` / n
//! of the schedule, and 1 % of it besides (`a_step_moves_little_of_the_schedule` holds it to that). New flows alone are
//! scheduled; those there are stay.

use std::time::Duration;

use super::{FULL, Factor};

/// Most that a part of a weight moves in a step.
pub(super) const STEP: Factor = Factor::permille(100);
/// Differences that are not worth a schedule.
pub(super) const DEAD_BAND: Factor = Factor::permille(50);
/// Time between two steps.
const PAUSE: Duration = Duration::from_secs(1);
/// Parts are whole multiples of this, so that equal weights with nearly equal parts stay few different weights.
const GRAIN: u32 = 10;

/// The part of its weight that a backend takes, on its way to what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Adapter {
    part: Factor,
    moved: Duration,
}

impl Adapter {
    /// One that begins with what is wanted.
    pub(super) fn new(wanted: Factor, now: Duration) -> Self {
        Self {
            part: grain(wanted.as_permille()),
            moved: now,
        }
    }

    /// The part at present.
    pub(super) const fn part(&self) -> Factor {
        self.part
    }

    /// Moves towards what is wanted; whether that made a difference. `now` is monotonic, counted from any fixed point.
    pub(super) fn follow(&mut self, wanted: Factor, now: Duration) -> bool {
        let (from, to) = (self.part.as_permille(), wanted.as_permille());
        if now.saturating_sub(self.moved) < PAUSE || from.abs_diff(to) < DEAD_BAND.as_permille() {
            return false;
        }
        let step = STEP.as_permille();
        let next = grain(to.clamp(from.saturating_sub(step), from.saturating_add(step)));
        let changed = next != self.part;
        self.part = next;
        self.moved = now;
        changed
    }
}

/// A multiple of the grain, and not nothing.
fn grain(permille: u32) -> Factor {
    Factor::permille((permille / GRAIN * GRAIN).max(GRAIN))
}

/// How much of its weight each of these backends should take by how fast they answer: who takes twice as long as the one in
/// the middle gets half, and nobody less than `least`. Those of which nothing is known get all.
#[must_use]
pub fn by_latency(latencies: &[Option<Duration>], least: Factor) -> Vec<Factor> {
    let mut known: Vec<Duration> = latencies.iter().flatten().copied().collect();
    known.sort_unstable();
    let Some(&middle) = known.get(known.len().saturating_sub(1) / 2) else {
        return vec![FULL; latencies.len()];
    };
    let part = |latency: &Option<Duration>| match latency {
        Some(latency) if *latency > middle => {
            let permille = middle.as_nanos() * 1000 / latency.as_nanos().max(1);
            Factor::permille(permille as u32).max(least)
        }
        Some(_) | None => FULL,
    };
    latencies.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::{
        backend::shares,
        schedule::{Entry, backend_id, maglev::populate},
    };

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_moves_in_steps_and_leaves_small_differences_alone() {
        let mut adapter = Adapter::new(FULL, seconds(0));
        let half = Factor::permille(500);
        let parts: Vec<u32> = (1..8)
            .map(|second| {
                adapter.follow(half, seconds(second));
                adapter.part().as_permille()
            })
            .collect();
        assert_eq!(parts, [900, 800, 700, 600, 500, 500, 500]);
        assert!(!adapter.follow(Factor::permille(540), seconds(20)));
        assert!(adapter.follow(Factor::permille(555), seconds(30)));
        assert_eq!(adapter.part().as_permille(), 550);
        assert!(!adapter.follow(FULL, seconds(30)), "not twice in a second");
    }

    #[test]
    fn who_is_slower_than_the_middle_gets_less() {
        let ms = |milliseconds| Some(Duration::from_millis(milliseconds));
        let least = Factor::permille(250);
        let parts = by_latency(&[ms(10), ms(10), ms(20), ms(1000), ms(1), None], least);
        assert_eq!(
            parts.iter().map(|part| part.as_permille()).collect::<Vec<_>>(),
            [1000, 1000, 500, 250, 1000, 1000]
        );
        assert_eq!(by_latency(&[None, None], least), [FULL, FULL]);
        assert_eq!(by_latency(&[ms(7)], least), [FULL]);
    }

    proptest! {
        #[test]
        fn every_step_is_bounded_and_leads_there(wanted in 0..3000_u32, from in 0..3000_u32) {
            let mut adapter = Adapter::new(Factor::permille(from), seconds(0));
            for second in 1..60 {
                let before = adapter.part().as_permille();
                adapter.follow(Factor::permille(wanted), seconds(second));
                prop_assert!(adapter.part().as_permille().abs_diff(before) <= STEP.as_permille() + GRAIN);
            }
            prop_assert!(adapter.part().as_permille().abs_diff(wanted) <= DEAD_BAND.as_permille() + GRAIN);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_step_moves_little_of_the_schedule(backends in 2..60_u32, part in 1..10_u32) {
            const SLOTS: u32 = 65_537;
            let table = |first: u32| {
                let weights: Vec<_> = (0..backends)
                    .map(|n| (100, if n == 0 { Factor::permille(first) } else { FULL }))
                    .collect();
                let entry = |(n, weight)| Entry {
                    id: backend_id(7, std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(), 0),
                    weight,
                };
                let entries: Vec<_> = (0_u32..).zip(shares(&weights)).map(entry).collect();
                populate(&entries, SLOTS)
            };
            let (before, after) = (table(part * 100), table(part * 100 + STEP.as_permille()));
            let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count() as f64 / f64::from(SLOTS);
            let bound = 2.0 * 0.1 / f64::from(backends) + 0.01;
            prop_assert!(moved <= bound, "{} moved, {} allowed", moved, bound);
        }
    }
}
