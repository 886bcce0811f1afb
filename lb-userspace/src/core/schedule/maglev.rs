//! Weighted Maglev: which backend answers for which slot of a service's schedule table.
//!
//! After the Maglev paper (Eisenbud et al., NSDI 2016, section 3.4): every backend has its own pseudo-random
//! permutation of the slots and the backends take turns in claiming the next slot of theirs that is still
//! free. The paper leaves weights open; here the turns are those of [`turns`](super::turns).
//!
//! The table depends on the set of entries alone and not on their order: two directors that list the same
//! backends differently build the same table.

use super::{
    Entry,
    backend::mix,
    turns::{gcd, in_turn},
};

/// The table: for each of `table_size` slots the index into `entries` of the backend that owns it.
///
/// Empty when no entry has a weight. An entry's slots come within one of its exact share; only where many
/// light entries round the same way does a heavy one make up for all of them. When there are more weighted
/// entries than slots, as many entries as there are slots get one each.
///
/// `table_size` should be a prime, at least a hundred times the number of entries. Any other size gives a valid table
/// too, but one in which more slots change hands when the entries change.
///
/// Takes time of the order of `table_size × (log table_size + log entries)`.
pub fn populate(entries: &[Entry], table_size: u32) -> Vec<u32> {
    let mut claimants: Vec<Claimant> = entries
        .iter()
        .map(|entry| Claimant::new(entry.id, table_size))
        .collect();
    let mut slots = Slots::new(table_size);
    let mut turns = in_turn(entries).take(slots.owners.len()).peekable();
    if turns.peek().is_none() {
        return Vec::new();
    }
    for index in turns {
        let slot = claimants[index as usize].claim(&mut slots);
        slots.owners[slot as usize] = index;
    }
    slots.owners
}

/// Whether `n` is a prime. Trial division: meant for table sizes, a thousand steps at most for a million.
pub fn is_prime(n: u32) -> bool {
    n >= 2
        && (2..)
            .take_while(|d| u64::from(*d).pow(2) <= u64::from(n))
            .all(|d| !n.is_multiple_of(d))
}

/// The slots, and a bit for each that is taken: those stay in the first-level cache while slots are searched.
struct Slots {
    owners: Vec<u32>,
    taken: Vec<u64>,
}

impl Slots {
    fn new(table_size: u32) -> Self {
        Self {
            owners: vec![0; table_size as usize],
            taken: vec![0; table_size.div_ceil(64) as usize],
        }
    }

    /// Whether the slot was free; it is taken now.
    fn take(&mut self, slot: u32) -> bool {
        let word = &mut self.taken[(slot / 64) as usize];
        let bit = 1 << (slot % 64);
        let free = *word & bit == 0;
        *word |= bit;
        free
    }
}

/// An entry on its way through its permutation of the slots.
struct Claimant {
    /// Where its permutation has got to.
    slot: u32,
    /// The step from one slot of the permutation to the next.
    skip: u32,
}

impl Claimant {
    fn new(id: u64, table_size: u32) -> Self {
        let size = u64::from(table_size.max(1));
        let first_skip = 1 + mix(id) % (size - 1).max(1);
        // A step that shares a factor with the size would come round before it has seen every slot. With a
        // prime size the first will do; with any other, `size - 1` does at the latest.
        let skip = (first_skip..size).find(|skip| gcd(*skip, size) == 1).unwrap_or(1);
        Self {
            slot: (id % size) as u32,
            skip: skip as u32,
        }
    }

    /// Takes the first free slot of its permutation; there must be one.
    fn claim(&mut self, slots: &mut Slots) -> u32 {
        // A division here would take up half of the time of the whole table.
        let wrap = slots.owners.len() as u32 - self.skip;
        while !slots.take(self.slot) {
            self.slot = if self.slot >= wrap {
                self.slot - wrap
            } else {
                self.slot + self.skip
            };
        }
        self.slot
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::{collection::vec, prelude::*, sample::SizeRange};

    use super::*;
    use crate::core::{
        model::{DEFAULT_TABLE_SIZE, MAX_WEIGHT},
        schedule::backend_id,
    };

    fn entries(weights: impl IntoIterator<Item = u32>) -> Vec<Entry> {
        (0x0a00_0001..)
            .zip(weights)
            .map(|(address, weight)| Entry {
                id: backend_id(7, Ipv4Addr::from_bits(address).into(), 0),
                weight,
            })
            .collect()
    }

    fn weighted(count: impl Into<SizeRange>) -> impl Strategy<Value = Vec<Entry>> {
        vec(
            prop_oneof![Just(0), 1..=9_u32, 1..=MAX_WEIGHT, Just(MAX_WEIGHT)],
            count,
        )
        .prop_map(entries)
    }

    fn slots_of(table: &[u32], index: usize) -> usize {
        table.iter().filter(|owner| **owner as usize == index).count()
    }

    /// Slots that went from one backend to another, neither of them the one that changed.
    fn collateral(before: &[u32], after: &[u32], changed: u32) -> usize {
        before
            .iter()
            .zip(after)
            .filter(|(a, b)| a != b && **a != changed && **b != changed)
            .count()
    }

    #[test]
    fn small_tables() {
        for (weights, table_size, shares) in [
            (&[1][..], 7, &[7][..]),
            (&[1, 1], 7, &[4, 3]),
            (&[1, 2, 4], 7, &[1, 2, 4]),
            (&[0, 5], 7, &[0, 7]),
            (&[MAX_WEIGHT, 1], 7, &[6, 1]),
            (&[3, 3], 1, &[1, 0]),
            (&[10, 20, 30], 6, &[1, 2, 3]),
            (&[1, 1, 2], 4, &[1, 1, 2]),
        ] {
            let table = populate(&entries(weights.iter().copied()), table_size);
            let mut got: Vec<_> = (0..weights.len()).map(|index| slots_of(&table, index)).collect();
            let mut want = shares.to_vec();
            // Among equals identity decides who gets the odd slot.
            if weights.iter().all(|w| *w == weights[0]) {
                got.sort_unstable();
                want.sort_unstable();
            }
            assert_eq!(got, want, "weights {weights:?} on {table_size} slots");
        }
    }

    #[test]
    fn no_weight_no_table() {
        assert!(populate(&[], 65_537).is_empty());
        assert!(populate(&entries([0, 0]), 65_537).is_empty());
        assert!(populate(&entries([1]), 0).is_empty());
    }

    #[test]
    fn a_lost_backend_moves_few_slots_of_the_others() {
        let full = entries([100; 100]);
        let before = populate(&full, DEFAULT_TABLE_SIZE);
        for lost in (0..100).step_by(9) {
            let mut rest = full.clone();
            rest[lost].weight = 0;
            let after = populate(&rest, DEFAULT_TABLE_SIZE);
            let others = before.len() - slots_of(&before, lost);
            let moved = collateral(&before, &after, lost as u32);
            assert!(
                moved * 100 <= others * 2,
                "{moved} of {others} slots moved without backend {lost}"
            );
        }
    }

    #[test]
    fn a_changed_weight_moves_few_slots_of_the_others() {
        let full = entries((0..50).map(|i| 50 + i * 7 % 100));
        let before = populate(&full, DEFAULT_TABLE_SIZE);
        for (changed, weight) in [(0, 1), (7, 400), (20, full[20].weight + 1), (49, MAX_WEIGHT)] {
            let mut other = full.clone();
            other[changed].weight = weight;
            let after = populate(&other, DEFAULT_TABLE_SIZE);
            let gone = slots_of(&before, changed).abs_diff(slots_of(&after, changed));
            let moved = collateral(&before, &after, changed as u32);
            let bound = gone.max(1) + before.len() / 100;
            assert!(
                moved <= bound,
                "weight {weight} for {changed}: {moved} slots of others moved, {gone} of its own"
            );
        }
    }

    #[test]
    fn primes() {
        let known = [2, 3, 5, 7, 65_521, 65_537, 131_071, 1_048_573, 4_294_967_291];
        assert!(known.iter().all(|n| is_prime(*n)));
        let composite = [
            0,
            1,
            4,
            9,
            65_535,
            65_536,
            1_048_575,
            1_048_576,
            65_537 * 65_521,
            u32::MAX,
        ];
        assert!(!composite.iter().any(|n| is_prime(*n)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_order_of_the_list_is_of_no_account(
            (list, shuffled) in
                weighted(1..40_usize).prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
            table_size in prop_oneof![Just(1009_u32), Just(4001), 1..2000_u32],
        ) {
            let by_id = |list: &[Entry]| -> Vec<u64> {
                populate(list, table_size).into_iter().map(|owner| list[owner as usize].id).collect()
            };
            prop_assert_eq!(by_id(&list), by_id(&shuffled));
        }

        #[test]
        fn every_slot_is_owned_and_every_weight_owns(
            list in weighted(1..40_usize),
            table_size in prop_oneof![Just(101_u32), Just(1009), 1..500_u32],
        ) {
            let table = populate(&list, table_size);
            let living = list.iter().filter(|entry| entry.weight > 0).count();
            prop_assert_eq!(table.len(), if living == 0 { 0 } else { table_size as usize });
            let owning = (0..list.len()).filter(|index| slots_of(&table, *index) > 0).count();
            prop_assert_eq!(owning, living.min(table.len()));
            prop_assert!(table.iter().all(|owner| list[*owner as usize].weight > 0));
        }

        #[test]
        fn only_ratios_count(weights in vec(0..=600_u32, 1..20), factor in 1..=100_u32) {
            let scaled = weights.iter().map(|weight| weight * factor);
            prop_assert_eq!(populate(&entries(scaled), 1009), populate(&entries(weights), 1009));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn shares_follow_weights(list in weighted(1..=300_usize)) {
            let table = populate(&list, DEFAULT_TABLE_SIZE);
            let total: u64 = list.iter().map(|entry| u64::from(entry.weight)).sum();
            let size = f64::from(DEFAULT_TABLE_SIZE);
            for (index, entry) in list.iter().enumerate().filter(|_| total > 0) {
                let wanted = f64::from(entry.weight) / total as f64;
                let got = slots_of(&table, index) as f64 / size;
                prop_assert!((got - wanted).abs() <= 0.01, "{got} for {wanted} ({entry:?} of {total})");
            }
        }
    }
}
