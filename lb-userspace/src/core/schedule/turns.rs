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
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
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
    let mut order: Vec<u32> = (0..entries.len() as u32)
        .filter(|&index| entries[index as usize].weight > 0)
        .collect();
    order.sort_unstable_by_key(|&index| {
        let entry = entries[index as usize];
        (entry.id, entry.weight, index)
    });
    let mut ranks = vec![0; entries.len()];
    let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (rank, index) in (0..).zip(order) {
        ranks[index as usize] = rank;
        let weight = entries[index as usize].weight;
        classes.entry(weight).or_default().push(index);
    }
    let class = |(weight, members): (u32, Vec<u32>)| Class {
        weight: weight.into(),
        turns: 0,
        members,
    };
    InTurn {
        waiting: (0..classes.len() as u32)
            .map(|class| Reverse((0, class)))
            .collect(),
        classes: classes.into_iter().map(class).collect(),
        ranks,
        round: Vec::new(),
        next: 0,
    }
}

pub(super) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// See [`in_turn`]. Entries of one weight have their turns at the same times, so that a heap of weights will do where there
/// are thousands of entries.
pub(super) struct InTurn {
    /// Entries by weight; those of one weight in the order of their identities, which no list order has a say in.
    classes: Vec<Class>,
    /// When the next turn of each class is, in 1/[`TIME_UNIT`].
    waiting: BinaryHeap<Reverse<(u64, u32)>>,
    /// Place of each entry in the order of identities.
    ranks: Vec<u32>,
    /// Those who have their turn at this time, and who of them is next.
    round: Vec<u32>,
    next: usize,
}

/// Entries of one weight.
struct Class {
    weight: u64,
    /// How many turns they have had.
    turns: u64,
    members: Vec<u32>,
}

impl InTurn {
    /// Gathers those who have the next turn, all at the same time, in their order.
    fn begin_round(&mut self) {
        self.round.clear();
        self.next = 0;
        let mut now = None;
        let mut together = 0;
        while let Some(mut first) = self.waiting.peek_mut() {
            let Reverse((time, number)) = *first;
            if now.is_some_and(|now| now != time) {
                break;
            }
            now = Some(time);
            together += 1;
            let class = &mut self.classes[number as usize];
            class.turns += 1;
            // Dropping `first` moves it to its new place on the time line.
            *first = Reverse(((2 * class.turns + 1) * (TIME_UNIT / 2) / class.weight, number));
            self.round.extend_from_slice(&class.members);
        }
        if together > 1 {
            let ranks = &self.ranks;
            self.round.sort_unstable_by_key(|&index| ranks[index as usize]);
        }
    }
}

impl Iterator for InTurn {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.next == self.round.len() {
            self.begin_round();
        }
        let index = self.round.get(self.next).copied()?;
        self.next += 1;
        Some(index)
    }
}

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
