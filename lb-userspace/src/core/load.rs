//! Counts of flows that were kept wrongly, found by counting them again.
//!
//! The packet path counts as it enters, changes and removes flows. What it cannot see (flows that were there before anybody
//! asked for counts, or that another director's state brought in) a census finds out: it walks the table while flows come
//! and go, so what it counts may be off by those that came or went meanwhile. A deviation counts as one only where two
//! censuses in a row agree on its direction, and then by the smaller of both.

use std::collections::BTreeMap;

use lb_common::abi::LoadCount;

/// What a census says of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// The counts before the walk.
    pub before: LoadCount,
    /// The counts after the walk.
    pub after: LoadCount,
    /// What the walk counted.
    pub found: LoadCount,
}

/// By how much counts are to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Correction {
    /// Of flows with traffic.
    pub active: i32,
    /// Of flows that are over.
    pub inactive: i32,
}

/// Remembers from one census to the next which counts were off.
#[derive(Debug, Default)]
pub struct Auditor {
    suspicions: BTreeMap<u32, Correction>,
}

impl Auditor {
    /// Takes note of what a census says of a backend, and says what is to be corrected.
    pub fn note(&mut self, backend: u32, sighting: &Sighting) -> Correction {
        let Sighting { before, after, found } = *sighting;
        let now = Correction {
            active: deviation(before.active, after.active, found.active),
            inactive: deviation(before.inactive, after.inactive, found.inactive),
        };
        let last = self.suspicions.remove(&backend).unwrap_or_default();
        let sure = Correction {
            active: agreed(last.active, now.active),
            inactive: agreed(last.inactive, now.inactive),
        };
        let left = Correction {
            active: now.active - sure.active,
            inactive: now.inactive - sure.inactive,
        };
        if left != Correction::default() {
            self.suspicions.insert(backend, left);
        }
        sure
    }
}

/// How far what was found lies outside of what the count was meanwhile.
fn deviation(before: u32, after: u32, found: u32) -> i32 {
    let (least, most) = (before.min(after), before.max(after));
    let outside = i64::from(found) - i64::from(found.clamp(least, most));
    i32::try_from(outside).unwrap_or(i32::MAX)
}

/// What two deviations have in common.
fn agreed(last: i32, now: i32) -> i32 {
    if last.signum() != now.signum() {
        0
    } else if last.abs() < now.abs() {
        last
    } else {
        now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(active: u32, inactive: u32) -> LoadCount {
        LoadCount { active, inactive }
    }

    fn still(count: LoadCount, found: LoadCount) -> Sighting {
        Sighting {
            before: count,
            after: count,
            found,
        }
    }

    fn correction(active: i32, inactive: i32) -> Correction {
        Correction { active, inactive }
    }

    #[test]
    fn a_wrong_count_is_corrected_at_the_second_sight() {
        let mut auditor = Auditor::default();
        let wrong = still(counts(0, 7), counts(100, 2));
        assert_eq!(auditor.note(3, &wrong), correction(0, 0));
        assert_eq!(
            auditor.note(4, &wrong),
            correction(0, 0),
            "each backend by itself"
        );
        assert_eq!(auditor.note(3, &wrong), correction(100, -5));
        assert_eq!(
            auditor.note(3, &still(counts(100, 2), counts(100, 2))),
            correction(0, 0)
        );
    }

    #[test]
    fn what_came_and_went_meanwhile_is_no_fault() {
        let mut auditor = Auditor::default();
        let busy = Sighting {
            before: counts(10, 0),
            after: counts(30, 0),
            found: counts(17, 0),
        };
        assert_eq!(auditor.note(0, &busy), correction(0, 0));
        assert_eq!(auditor.note(0, &busy), correction(0, 0));
        // Off in one direction, then in the other.
        for found in [12, 8, 12, 8] {
            assert_eq!(
                auditor.note(0, &still(counts(10, 0), counts(found, 0))),
                correction(0, 0)
            );
        }
    }

    #[test]
    fn the_smaller_of_two_deviations_is_sure() {
        let mut auditor = Auditor::default();
        auditor.note(0, &still(counts(0, 0), counts(5, 0)));
        assert_eq!(
            auditor.note(0, &still(counts(0, 0), counts(9, 0))),
            correction(5, 0)
        );
        assert_eq!(
            auditor.note(0, &still(counts(5, 0), counts(9, 0))),
            correction(4, 0)
        );
    }

    proptest! {
        /// Whatever the count began with, it is the truth after two censuses in peace.
        #[test]
        fn a_count_in_peace_becomes_right(count: u16, truth: u16) {
            let (mut auditor, mut count, truth) = (Auditor::default(), i64::from(count), u32::from(truth));
            for _ in 0..2 {
                let sighting = still(counts(count as u32, 0), counts(truth, 0));
                count += i64::from(auditor.note(0, &sighting).active);
            }
            prop_assert_eq!(count, i64::from(truth));
        }
    }
}
