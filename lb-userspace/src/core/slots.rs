//! Who has which part of the array of schedule slots.
//!
//! All services' schedule tables live side by side in one BPF array. A service that changes builds its new
//! table in a free range, is switched over, and gives the old range back. Ranges begin at cache lines, so
//! that no two services share one.

use std::collections::{BTreeMap, btree_map::Entry};

/// Slots (of 4 bytes) in a cache line of 64 bytes: every range begins at a multiple of this.
pub const ALIGNMENT: u32 = 16;

/// A range of the slot array that one table occupies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotRange {
    /// Index of the first slot, a multiple of [`ALIGNMENT`].
    pub start: u32,
    /// Number of slots, at least 1.
    pub len: u32,
}

impl SlotRange {
    /// The first slot that is free for a next range.
    fn end(self) -> u64 {
        u64::from(self.start) + padded(self.len)
    }
}

/// What a table of `len` slots takes up: whole cache lines.
pub fn padded(len: u32) -> u64 {
    u64::from(len).next_multiple_of(u64::from(ALIGNMENT))
}

/// The slot array has no room for a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no room for a schedule of {wanted} slots: the largest free range has {largest_free} of the {capacity} \
     slots; \
     raise `slots` under [limits] and restart, or give services a smaller `table_size`"
)]
pub struct NoSpace {
    /// Slots asked for.
    pub wanted: u32,
    /// Length of the longest free range.
    pub largest_free: u32,
    /// Length of the array.
    pub capacity: u32,
}

/// The ranges that are said to be in use cannot be: the pinned maps and this allocator do not belong
/// together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRange {
    /// Not a range at all.
    #[error("schedule range {0:?} is empty, or does not begin at a multiple of {ALIGNMENT}")]
    Malformed(SlotRange),
    /// Reaches past the end.
    #[error("schedule range {range:?} reaches beyond the array of {capacity} slots")]
    OutOfBounds {
        /// The range.
        range: SlotRange,
        /// Length of the array.
        capacity: u32,
    },
    /// Two tables in one place.
    #[error("schedule ranges {0:?} and {1:?} overlap")]
    Overlap(SlotRange, SlotRange),
    /// Given back, but never handed out.
    #[error("schedule range {0:?} is not in use")]
    NotInUse(SlotRange),
}

/// Hands out ranges of a slot array of fixed length.
///
/// Only the ranges in use are kept; what lies between them is free, so that neighbouring free ranges are one
/// without further ado.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotAllocator {
    capacity: u32,
    /// Start of each range in use, and its length.
    used: BTreeMap<u32, u32>,
}

impl SlotAllocator {
    /// An empty array of `capacity` slots.
    pub const fn new(capacity: u32) -> Self {
        Self {
            capacity,
            used: BTreeMap::new(),
        }
    }

    /// An array in which the ranges `used` are taken already, as a daemon finds it after a restart.
    pub fn with_used(capacity: u32, used: impl IntoIterator<Item = SlotRange>) -> Result<Self, BadRange> {
        let mut allocator = Self::new(capacity);
        for range in used {
            allocator.occupy(range)?;
        }
        Ok(allocator)
    }

    /// Takes the smallest free range that has room for `len` slots (at least 1), the first of them if several
    /// are alike.
    pub fn allocate(&mut self, len: u32) -> Result<SlotRange, NoSpace> {
        let len = len.max(1);
        let best = self
            .gaps()
            .filter(|gap| gap.len >= len)
            .min_by_key(|gap| gap.len)
            .ok_or_else(|| NoSpace {
                wanted: len,
                largest_free: self.gaps().map(|gap| gap.len).max().unwrap_or(0),
                capacity: self.capacity,
            })?;
        self.used.insert(best.start, len);
        Ok(SlotRange {
            start: best.start,
            len,
        })
    }

    /// Gives a range back.
    pub fn free(&mut self, range: SlotRange) -> Result<(), BadRange> {
        match self.used.entry(range.start) {
            Entry::Occupied(used) if *used.get() == range.len => {
                used.remove();
                Ok(())
            }
            Entry::Occupied(_) | Entry::Vacant(_) => Err(BadRange::NotInUse(range)),
        }
    }

    /// Length of the array.
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The ranges in use, in the order of the array.
    pub fn used(&self) -> impl Iterator<Item = SlotRange> + '_ {
        self.used.iter().map(|(&start, &len)| SlotRange { start, len })
    }

    fn occupy(&mut self, range: SlotRange) -> Result<(), BadRange> {
        if range.len == 0 || !range.start.is_multiple_of(ALIGNMENT) {
            return Err(BadRange::Malformed(range));
        }
        if u64::from(range.start) + u64::from(range.len) > u64::from(self.capacity) {
            return Err(BadRange::OutOfBounds {
                range,
                capacity: self.capacity,
            });
        }
        let overlaps =
            |other: &SlotRange| other.end() > range.start.into() && range.end() > other.start.into();
        if let Some(other) = self.used().find(overlaps) {
            return Err(BadRange::Overlap(other, range));
        }
        self.used.insert(range.start, range.len);
        Ok(())
    }

    /// The free ranges, in the order of the array; each begins at a multiple of [`ALIGNMENT`].
    fn gaps(&self) -> impl Iterator<Item = SlotRange> + '_ {
        let starts = std::iter::once(0).chain(self.used().map(SlotRange::end));
        let ends = self
            .used()
            .map(|range| range.start)
            .chain(std::iter::once(self.capacity));
        starts.zip(ends).filter_map(|(start, end)| {
            let len = u64::from(end).checked_sub(start).filter(|len| *len > 0)?;
            Some(SlotRange {
                start: u32::try_from(start).ok()?,
                len: u32::try_from(len).ok()?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn range(start: u32, len: u32) -> SlotRange {
        SlotRange { start, len }
    }

    #[test]
    fn ranges_begin_at_cache_lines() {
        let mut slots = SlotAllocator::new(100);
        assert_eq!(slots.allocate(17), Ok(range(0, 17)));
        assert_eq!(slots.allocate(1), Ok(range(32, 1)));
        assert_eq!(
            slots.allocate(0),
            Ok(range(48, 1)),
            "an empty table takes a line too"
        );
        assert_eq!(
            slots.allocate(36),
            Ok(range(64, 36)),
            "the last line may be a broken one"
        );
        assert_eq!(
            slots.allocate(1),
            Err(NoSpace {
                wanted: 1,
                largest_free: 0,
                capacity: 100
            })
        );
    }

    #[test]
    fn neighbouring_free_ranges_are_one_and_the_tightest_fit_wins() {
        let mut slots =
            SlotAllocator::with_used(256, [range(0, 32), range(32, 32), range(96, 16), range(128, 16)])
                .expect("they fit");
        assert_eq!(
            slots.allocate(10),
            Ok(range(112, 10)),
            "the gap of one line, not the larger ones before and after"
        );
        slots.free(range(0, 32)).expect("in use");
        slots.free(range(32, 32)).expect("in use");
        assert_eq!(
            slots.allocate(96),
            Ok(range(0, 96)),
            "three gaps have grown together"
        );
    }

    #[test]
    fn no_space_says_what_to_do() {
        let mut slots = SlotAllocator::with_used(64, [range(16, 16)]).expect("fits");
        let error = slots.allocate(33).expect_err("the gaps are shorter");
        assert_eq!(
            error,
            NoSpace {
                wanted: 33,
                largest_free: 32,
                capacity: 64
            }
        );
        assert_eq!(
            error.to_string(),
            "no room for a schedule of 33 slots: the largest free range has 32 of the 64 slots; \
             raise `slots` under [limits] and restart, or give services a smaller `table_size`"
        );
    }

    #[test]
    fn what_was_never_handed_out_is_refused() {
        let mut slots = SlotAllocator::with_used(64, [range(0, 16)]).expect("fits");
        for wrong in [range(16, 16), range(0, 15), range(1, 16)] {
            assert_eq!(slots.free(wrong), Err(BadRange::NotInUse(wrong)));
        }
        for (used, error) in [
            (range(0, 0), BadRange::Malformed(range(0, 0))),
            (range(8, 8), BadRange::Malformed(range(8, 8))),
            (
                range(48, 17),
                BadRange::OutOfBounds {
                    range: range(48, 17),
                    capacity: 64,
                },
            ),
            (
                range(4_294_967_280, u32::MAX),
                BadRange::OutOfBounds {
                    range: range(4_294_967_280, u32::MAX),
                    capacity: 64,
                },
            ),
            (range(16, 1), BadRange::Overlap(range(0, 17), range(16, 1))),
        ] {
            assert_eq!(SlotAllocator::with_used(64, [range(0, 17), used]), Err(error));
        }
    }

    #[test]
    fn the_very_end_of_the_number_range() {
        let mut slots = SlotAllocator::new(u32::MAX);
        assert_eq!(slots.allocate(u32::MAX), Ok(range(0, u32::MAX)));
        assert!(slots.allocate(1).is_err());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Allocate(u32),
        Free(prop::sample::Index),
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (1..200_u32).prop_map(Step::Allocate),
            4 => any::<prop::sample::Index>().prop_map(Step::Free),
            1 => Just(Step::Restart),
        ]
    }

    proptest! {
        /// The model is the array itself, slot by slot.
        #[test]
        fn behaves_like_an_array(capacity in 0..2000_u32, steps in prop::collection::vec(step(), 0..100)) {
            let mut slots = SlotAllocator::new(capacity);
            let mut array = vec![false; capacity as usize];
            let mut held: Vec<SlotRange> = Vec::new();
            let cells = |range: SlotRange| {
                let end = range.start as usize + padded(range.len) as usize;
                range.start as usize..end.min(capacity as usize)
            };
            for step in steps {
                match step {
                    Step::Allocate(len) => match slots.allocate(len) {
                        Ok(got) => {
                            prop_assert_eq!(got.len, len);
                            prop_assert_eq!(got.start % ALIGNMENT, 0);
                            prop_assert!(got.start + got.len <= capacity);
                            prop_assert!(!array[cells(got)].contains(&true), "{:?} overlaps", got);
                            array[cells(got)].fill(true);
                            held.push(got);
                        }
                        Err(NoSpace { wanted, largest_free, .. }) => {
                            let longest = array.split(|taken| *taken).map(<[bool]>::len).max().unwrap_or(0);
                            prop_assert_eq!(wanted, len);
                            prop_assert_eq!(largest_free as usize, longest);
                            prop_assert!(longest < len as usize);
                        }
                    },
                    Step::Free(index) if !held.is_empty() => {
                        let range = held.swap_remove(index.index(held.len()));
                        prop_assert_eq!(slots.free(range), Ok(()));
                        array[cells(range)].fill(false);
                    }
                    Step::Free(_) => {}
                    Step::Restart => {
                        let used = held.iter().copied();
                        slots = SlotAllocator::with_used(capacity, used).expect("the same ranges");
                    }
                }
                held.sort_unstable();
                prop_assert_eq!(slots.used().collect::<Vec<_>>(), held.clone());
            }
            for range in held {
                prop_assert_eq!(slots.free(range), Ok(()));
            }
            prop_assert_eq!(slots, SlotAllocator::new(capacity));
        }
    }
}
