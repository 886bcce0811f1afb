//! Shared words on the host.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A 64-bit word shared between CPUs, and between the kernel and userspace.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(AtomicU64);

impl Word {
    /// A word with this value.
    #[inline]
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// The value; nothing after it in the program is read before it.
    #[inline]
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Writes a word of an entry that the writer has claimed: who reads this value sees the claim when it looks again.
    #[inline]
    pub fn store(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Writes the word so that everything written before is seen by whoever sees it.
    #[inline]
    pub fn publish(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Writes `new` where `old` stands, with a full barrier; whether it did.
    #[inline]
    #[must_use]
    pub fn compare_exchange(&self, old: u64, new: u64) -> bool {
        self.0
            .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Writes `value`, with a full barrier: later loads see what others wrote before their exchanges.
    #[inline]
    pub fn exchange(&self, value: u64) {
        self.0.swap(value, Ordering::SeqCst);
        // What x86 exchanges with is such a barrier itself, and another one costs as much again.
        #[cfg(any(miri, not(target_arch = "x86_64")))]
        core::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Adds `change`, and says what was there before.
    #[inline]
    #[must_use]
    pub fn fetch_add(&self, change: u64) -> u64 {
        self.0.fetch_add(change, Ordering::SeqCst)
    }
}

/// A 32-bit word shared between CPUs, and between the kernel and userspace.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct HalfWord(AtomicU32);

impl HalfWord {
    /// A word with this value.
    #[inline]
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// The value; nothing after it in the program is read before it.
    #[inline]
    #[must_use]
    pub fn load(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Writes the value.
    #[inline]
    pub fn store(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `change` to the number, which may be taken as a signed one.
    #[inline]
    pub fn add(&self, change: i32) {
        self.0.fetch_add(change.cast_unsigned(), Ordering::Relaxed);
    }
}
