//! Schedule tables of services.

use crate::flow_table::HalfWord;

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

/// Where a service's schedule table lies in the slot array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// First slot; a multiple of [`SLOTS_PER_LINE`].
    pub base: u32,
    /// Number of slots; 0 when no backend takes new flows.
    pub length: u32,
}

const _: () = assert!(size_of::<SlotLine>() == 64);
