//! The connection table: a set-associative hash table in one flat piece of memory.
//!
//! The memory is a BPF array whose elements are [`Bucket`]s; the XDP program reaches it by the (inlined) array lookup,
//! the daemon through `mmap`. Both run the code of this module, at the same time, on any number of CPUs.
//!
//! # Layout
//! A bucket holds [`WAYS`] entries. A flow may live in either of two buckets, chosen by the two halves of its keyed
//! 64-bit hash. An entry is 32 bytes (IPv4) or 64 bytes (IPv6); its first word, the [`Control`] word, tells whether the
//! entry is in use, and carries the target, the state, the timeout class and a version.
//!
//! # Protocol
//! * A reader loads the control word, compares the key, and loads the control word again: the same version and phase
//!   mean that the key belonged to it.
//! * A writer claims an entry by compare-exchange, writes the key, and shows it as *pending*. It then looks for the same
//!   key elsewhere in both buckets (another CPU may be inserting the same flow): a live one wins, among pending ones the
//!   one in the lower place wins and ends the other by compare-exchange. What is left becomes *live* by compare-exchange.
//!   So at rest no key stands twice.
//! * Every claim and every removal raises the version.

mod control;
mod entry;
mod insert;
mod lookup;
mod translation;
mod word;

pub use control::{Control, Phase, Target};
#[cfg(not(target_arch = "bpf"))]
pub use entry::prefetch;
pub use entry::{Bucket, Entry, Entry4, Entry6, Snapshot, WAYS};
pub use insert::{Clock, Insertion, NewFlow, insert, insert_sparing, put};
pub use lookup::{Hit, lookup};
pub use translation::{
    Origin, Translation, Translation4, Translation6, TranslationEntry, key_at, translation_at,
};
pub use word::{HalfWord, Word};

/// Memory that holds buckets.
pub trait Table {
    /// Kind of entry.
    type Entry: Entry;

    /// Number of buckets less one; the number is a power of two and at least two.
    fn mask(&self) -> u32;

    /// The bucket with this number, which is at most [`Self::mask`]. `None` never happens; the verifier asks for it.
    fn bucket(&self, number: u32) -> Option<&Bucket<Self::Entry>>;
}

impl<E: Entry> Table for [Bucket<E>] {
    type Entry = E;

    fn mask(&self) -> u32 {
        self.len() as u32 - 1
    }

    fn bucket(&self, number: u32) -> Option<&Bucket<E>> {
        self.get(number as usize)
    }
}

/// Numbers of the two buckets in which a flow with this hash may live; they differ.
#[inline(always)]
#[must_use]
pub const fn places(hash: u64, mask: u32) -> (u32, u32) {
    let first = first_place(hash, mask);
    (first, second_place(hash, mask, first))
}

#[inline(always)]
const fn first_place(hash: u64, mask: u32) -> u32 {
    hash as u32 & mask
}

#[inline(always)]
const fn second_place(hash: u64, mask: u32, first: u32) -> u32 {
    let second = (hash >> 32) as u32 & mask;
    if first == second { second ^ 1 } else { second }
}

#[cfg(test)]
mod tests;
