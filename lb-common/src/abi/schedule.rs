//! Schedule tables of services.

use crate::{flow_table::HalfWord, scheduling::Choice};

/// Slots of one element of the slot array: a cache line.
pub const SLOTS_PER_LINE: u32 = 16;

/// Sixteen slots; each holds the number of a backend.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct SlotLine {
    /// Numbers of backends.
    pub slots: [HalfWord; SLOTS_PER_LINE as usize],
}

/// A slot that names nobody: read only in the moment in which a table is replaced, if ever.
pub const NO_BACKEND: u32 = u32::MAX;

/// Longest table: its length shares a word with its base and its choice.
pub const MOST_SCHEDULE_SLOTS: u32 = (1 << 24) - 1;

/// Where a service's schedule lies in the slot array, and how a backend is chosen from it: one word, so that both change at
/// once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// First slot; a multiple of [`SLOTS_PER_LINE`].
    pub base: u32,
    /// Number of slots, at most [`MOST_SCHEDULE_SLOTS`]; 0 when no backend takes new flows.
    pub length: u32,
    /// How a backend is chosen.
    pub choice: Choice,
}

const _: () = assert!(size_of::<SlotLine>() == 64);

impl Schedule {
    /// From the word: base (bits 0..32), length (32..56), [`Choice`] (56..64).
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            base: word as u32,
            length: (word >> 32) as u32 & MOST_SCHEDULE_SLOTS,
            choice: Choice::from_number((word >> 56) as u8),
        }
    }

    /// The word.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.base as u64 | (self.length as u64) << 32 | (self.choice as u64) << 56
    }
}
