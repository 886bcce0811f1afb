//! Entries and buckets as they lie in memory.

use core::mem::{align_of, size_of};

use super::{Control, HalfWord, Word};
use crate::packet::{FlowKey4, FlowKey6};

/// Entries of a bucket.
pub const WAYS: usize = 4;

/// An entry of the flow table.
pub trait Entry {
    /// What names a flow.
    type Key: Copy + PartialEq;

    /// The control word.
    fn control(&self) -> &Word;
    /// When the flow's latest packet passed, in jiffies (the lower 32 bits).
    fn last_seen(&self) -> &HalfWord;
    /// When the entry was made, in units of 256 jiffies.
    fn created(&self) -> &HalfWord;
    /// Whether the stored key is `key`.
    fn holds(&self, key: &Self::Key) -> bool;
    /// The stored key.
    fn key(&self) -> Self::Key;
    /// Writes the key; only by whoever has claimed the entry.
    fn set_key(&self, key: &Self::Key);

    /// The control word's value.
    #[inline(always)]
    fn state(&self) -> Control {
        Control::from_bits(self.control().load())
    }

    /// Notes that a packet passed at `now` (jiffies). Writes only where the value changes: a line that is only read
    /// stays shared between CPUs.
    #[inline(always)]
    fn touch(&self, now: u32) {
        if self.last_seen().load() != now {
            self.last_seen().store(now);
        }
    }

    /// Changes the control word from `old`, within the same life; `false` where another CPU changed it first.
    #[inline(always)]
    fn change(&self, old: Control, new: Control) -> bool {
        debug_assert!(old.same_life(new));
        self.control().compare_exchange(old.bits(), new.bits())
    }

    /// Frees the entry, if its control word still is `seen`.
    fn remove(&self, seen: Control) -> bool {
        self.control()
            .compare_exchange(seen.bits(), seen.next_life(super::Phase::Free).bits())
    }

    /// A consistent copy of a live entry; `None` where it is not live or changes hands meanwhile.
    fn snapshot(&self) -> Option<Snapshot<Self::Key>> {
        let control = self.state();
        if !control.is_live() {
            return None;
        }
        let (key, last_seen, created) = (self.key(), self.last_seen().load(), self.created().load());
        control.same_life(self.state()).then_some(Snapshot {
            key,
            control,
            last_seen,
            created,
        })
    }
}

/// What a live entry said at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot<K> {
    /// The flow's name.
    pub key: K,
    /// Backend, state and version.
    pub control: Control,
    /// Latest packet, in jiffies (the lower 32 bits).
    pub last_seen: u32,
    /// First packet, in units of 256 jiffies.
    pub created: u32,
}

/// An IPv4 flow: 32 bytes, half a cache line.
#[derive(Debug, Default)]
#[repr(C, align(32))]
pub struct Entry4 {
    control: Word,
    key: [Word; 2],
    last_seen: HalfWord,
    created: HalfWord,
}

/// An IPv6 flow: 64 bytes, one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Entry6 {
    control: Word,
    key: [Word; 5],
    last_seen: HalfWord,
    created: HalfWord,
    reserved: Word,
}

/// Bytes of a cache line.
#[cfg(not(target_arch = "bpf"))]
const LINE: usize = 64;

/// Has this memory fetched into the cache, without waiting for it.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub fn prefetch<T>(memory: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    for line in (0..size_of::<T>()).step_by(LINE) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it is a hint, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(memory).cast::<i8>().wrapping_add(line)) };
    }
    // Elsewhere it comes when it is read.
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = (memory, LINE);
}

/// [`WAYS`] entries: two cache lines for IPv4, four for IPv6.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Bucket<E> {
    /// The entries; the first free one is taken, so that a hit is mostly found in the first line.
    pub entries: [E; WAYS],
}

const _: () = {
    assert!(size_of::<Entry4>() == 32 && align_of::<Entry4>() == 32);
    assert!(size_of::<Entry6>() == 64 && align_of::<Entry6>() == 64);
    assert!(size_of::<Bucket<Entry4>>() == 128);
    assert!(size_of::<Bucket<Entry6>>() == 256);
};

macro_rules! entry {
    ($entry:ident, $key:ident, $($word:literal),+) => {
        impl Entry for $entry {
            type Key = $key;

            #[inline(always)]
            fn control(&self) -> &Word {
                &self.control
            }

            #[inline(always)]
            fn last_seen(&self) -> &HalfWord {
                &self.last_seen
            }

            #[inline(always)]
            fn created(&self) -> &HalfWord {
                &self.created
            }

            #[inline(always)]
            fn holds(&self, key: &$key) -> bool {
                $(self.key[$word].load() == key.words[$word])&&+
            }

            #[inline(always)]
            fn key(&self) -> $key {
                $key { words: [$(self.key[$word].load()),+] }
            }

            #[inline(always)]
            fn set_key(&self, key: &$key) {
                $(self.key[$word].store(key.words[$word]);)+
            }
        }
    };
}

entry!(Entry4, FlowKey4, 0, 1);
entry!(Entry6, FlowKey6, 0, 1, 2, 3, 4);
