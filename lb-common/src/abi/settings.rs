//! What is fixed while a program is attached, and the one word that changes the meaning of other maps.

use crate::{flow_table::Word, hash::Seed};

/// Read-only data of the program, set before it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Key of the flow tables' hash: random, secret, the same for the life of the maps.
    pub flow_seed: Seed,
    /// Key of the schedulers' hash: the same on every director of a cluster, so that they choose alike.
    pub schedule_seed: Seed,
    /// Number of buckets of the IPv4 flow table, less one.
    pub flow_mask_v4: u32,
    /// Number of buckets of the IPv6 flow table, less one.
    pub flow_mask_v6: u32,
    /// Number of frontend buckets of one generation, less one.
    pub frontend_mask: u32,
    /// Packets of its own making that each CPU may send in a jiffy.
    pub answers_per_jiffy: u32,
    /// Number of buckets of the IPv4 translation table, less one.
    pub translation_mask_v4: u32,
    /// Number of buckets of the IPv6 translation table, less one.
    pub translation_mask_v6: u32,
}

const _: () = assert!(size_of::<Settings>() == 48 + 48 + 24);

impl Settings {
    /// The bytes, as the loader wants them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `repr(C)` of integers without padding (the size is the sum of the fields), alive as long as `self`.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}

/// What changes while the program runs.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Runtime {
    /// Which half of the frontend tables is in force: 0 or 1.
    pub generation: Word,
    /// [`VERSION`](super::VERSION) of whoever made the maps; 0 in maps that nobody has filled yet.
    pub version: Word,
    /// The words of [`Settings::flow_seed`], for a daemon that comes back to these maps.
    pub flow_seed: [Word; 6],
    /// The words of [`Settings::schedule_seed`], likewise.
    pub schedule_seed: [Word; 6],
    reserved: [Word; 2],
}

const _: () = assert!(size_of::<Runtime>() == 128);
