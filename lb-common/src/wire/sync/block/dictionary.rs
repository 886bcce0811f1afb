//! What was said already in this block, and where.

use std::{boxed::Box, vec::Vec};

use super::MAX_DICTIONARY;

const SLOTS: usize = 512;
const FREE: u8 = 255;

/// Up to [`MAX_DICTIONARY`] entries, found by their key in a small open hash table.
#[derive(Debug)]
pub(super) struct Dictionary<K, V> {
    entries: Vec<(K, V)>,
    slots: Box<[u8; SLOTS]>,
}

impl<K: Copy + Eq, V> Dictionary<K, V> {
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::with_capacity(MAX_DICTIONARY),
            slots: Box::new([FREE; SLOTS]),
        }
    }

    pub(super) fn clear(&mut self) {
        if !self.entries.is_empty() {
            self.entries.clear();
            self.slots.fill(FREE);
        }
    }

    /// Index of `key`, if it has one.
    #[inline]
    pub(super) fn find(&self, key: &K, hash: u32) -> Option<u8> {
        let mut slot = start(hash);
        // There are more slots than entries, so a free one ends each search.
        loop {
            match self.slots[slot] {
                FREE => return None,
                index if self.entries[usize::from(index)].0 == *key => return Some(index),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_DICTIONARY
    }

    /// Adds what was not found; there must be room for it.
    pub(super) fn add(&mut self, key: K, value: V, hash: u32) -> u8 {
        debug_assert!(!self.is_full());
        let mut slot = start(hash);
        while self.slots[slot] != FREE {
            slot = (slot + 1) % SLOTS;
        }
        let index = self.entries.len() as u8;
        self.slots[slot] = index;
        self.entries.push((key, value));
        index
    }

    pub(super) fn entries(&self) -> &[(K, V)] {
        &self.entries
    }
}

fn start(hash: u32) -> usize {
    (hash.wrapping_mul(0x9E37_79B1) >> 23) as usize
}
