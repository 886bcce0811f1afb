//! Whose turn is it? Backends of different weights take turns on a common time line.
//!
//! A backend of weight `w` has its turn number `k` at `(2k + 1) / 2w`. That is Sainte-Laguë's apportionment, which favours
//! neither heavy nor light backends, and since a backend's turns depend on nothing but its own weight, a change to one
//! backend leaves the order of the others as it was. Turn 0 is at time 0 for everybody, so that every backend gets at
//! least one slot while there are slots. Until time 1 a backend has as many turns as its weight.
//!
//! The order depends on the set of entries alone and not on the order of the list: two directors that list the same
//! backends differently agree.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::Entry;

/// Longest sequence: with more turns to a round, shares are rounded to what fits. Room for every weight of a few backends,
/// and within a thousandth of the weights for a thousand.
const LONGEST: u32 = 1 << 16;

/// Units of the time line in a whole: fine enough to tell any two different turns of weights up to 65535
/// apart, since those are at least 2^-33 apart.
const TIME_UNIT: u64 = 1 << 34;

/// How many turns it takes until everybody has had his share, and the order begins anew; [`LONGEST`] at most.
pub(super) fn period(weights: impl Iterator<Item = u32> + Clone) -> u32 {
    let divisor = weights
        .clone()
        .fold(0, |divisor, weight| gcd(divisor, weight.into()));
    let total: u64 = weights.map(u64::from).sum();
    let period = total.checked_div(divisor).unwrap_or(0);
    u32::try_from(period).map_or(LONGEST, |period| period.min(LONGEST))
}

/// The longest that [`period`] can be for weights that are at most these: none of them has anything in common.
pub(super) fn longest(weights: impl Iterator<Item = u32>) -> u32 {
    let total: u64 = weights.map(u64::from).sum();
    u32::try_from(total).map_or(LONGEST, |total| total.min(LONGEST))
}

/// Indices of the entries in the order of their turns, for ever; nobody's where no entry has a weight.
pub(super) fn in_turn(entries: &[Entry]) -> InTurn {
    let waiting = (0..)
        .zip(entries)
        .filter(|(_, entry)| entry.weight > 0)
        .map(|(index, &entry)| Waiting {
            index,
            entry,
            time: 0,
            turns: 0,
        })
        .collect();
    InTurn { waiting }
}

pub(super) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// See [`in_turn`].
pub(super) struct InTurn {
    waiting: BinaryHeap<Waiting>,
}

impl Iterator for InTurn {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        // Dropping `next` moves it to its new place on the time line.
        let mut next = self.waiting.peek_mut()?;
        next.turns += 1;
        next.time = (2 * next.turns + 1) * (TIME_UNIT / 2) / u64::from(next.entry.weight);
        Some(next.index)
    }
}

/// An entry that waits for its next turn.
struct Waiting {
    index: u32,
    entry: Entry,
    /// When its next turn is, in 1/[`TIME_UNIT`].
    time: u64,
    /// How many turns it has had.
    turns: u64,
}

impl Waiting {
    /// Earlier turns first; at the same time the order is by identity, which no list order has a say in.
    fn precedence(&self) -> Reverse<(u64, u64, u32, u32)> {
        Reverse((self.time, self.entry.id, self.entry.weight, self.index))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.precedence().cmp(&other.precedence())
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::core::model::MAX_WEIGHT;

    fn entries(weights: &[u32]) -> Vec<Entry> {
        (0..)
            .zip(weights)
            .map(|(id, &weight)| Entry { id, weight })
            .collect()
    }

    fn round(weights: &[u32]) -> Vec<u32> {
        let length = period(weights.iter().copied().filter(|&weight| weight > 0));
        in_turn(&entries(weights)).take(length as usize).collect()
    }

    #[test]
    fn heavy_ones_do_not_come_in_a_row() {
        assert_eq!(round(&[4, 1, 1]), [0, 1, 2, 0, 0, 0]);
        assert_eq!(round(&[2, 2]), [0, 1]);
        assert_eq!(round(&[200, 100]), [0, 1, 0]);
        assert_eq!(round(&[0, 7, 0]), [1]);
        assert!(round(&[0, 0]).is_empty());
    }

    #[test]
    fn a_round_has_a_longest_length() {
        assert_eq!(round(&[MAX_WEIGHT, 1]).len(), 65_536);
        let round = round(&[MAX_WEIGHT, MAX_WEIGHT - 1, 1]);
        assert_eq!(round.len() as u32, LONGEST);
        let count = |index: u32| round.iter().filter(|&&turn| turn == index).count();
        assert_eq!(count(2), 1);
        assert!(count(0).abs_diff(count(1)) <= 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_round_is_exact(weights in vec(0..200u32, 1..12)) {
            let round = round(&weights);
            let divisor = weights.iter().fold(0, |divisor, &weight| gcd(divisor, weight.into()));
            for (index, &weight) in (0..).zip(&weights) {
                let turns = round.iter().filter(|&&turn| turn == index).count() as u64;
                prop_assert_eq!(turns * divisor, u64::from(weight));
            }
        }

        /// At any time nobody is more than one turn ahead of his share, or two behind it: the turn that everybody has at once.
        #[test]
        fn shares_come_out_all_along(weights in vec(1..200u32, 1..8)) {
            let total: u32 = weights.iter().sum();
            let mut turns = vec![0u32; weights.len()];
            for (passed, index) in (1..).zip(round(&weights)) {
                turns[index as usize] += 1;
                for (&had, &weight) in turns.iter().zip(&weights) {
                    let share = f64::from(passed) * f64::from(weight) / f64::from(total);
                    prop_assert!((f64::from(had) - share).abs() < 1.0 + weights.len() as f64 / 2.0);
                }
            }
        }
    }
}
