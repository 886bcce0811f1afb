//! Shared words: atomics that exist on the BPF target too.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Loads of the BPF machine know no ordering; its compare-exchange and exchange are full barriers.
#[cfg(target_arch = "bpf")]
const LOAD: Ordering = Ordering::Relaxed;
#[cfg(not(target_arch = "bpf"))]
const LOAD: Ordering = Ordering::Acquire;

/// A 64-bit word shared between CPUs, and between the kernel and userspace.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(AtomicU64);

impl Word {
    /// A word with this value.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// The value; nothing after it in the program is read before it (on the host; on x86 everywhere).
    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u64 {
        self.0.load(LOAD)
    }

    /// Writes a word that others read only after a later exchange or [`Self::publish`].
    #[inline(always)]
    pub fn store(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Writes the word so that everything written before is seen by whoever sees it.
    #[cfg(not(target_arch = "bpf"))]
    pub fn publish(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Writes `new` where `old` stands, with a full barrier; whether it did.
    #[cfg(not(target_arch = "bpf"))]
    pub fn compare_exchange(&self, old: u64, new: u64) -> bool {
        self.0
            .compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Writes `new` where `old` stands, with a full barrier; whether it did.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    pub fn compare_exchange(&self, old: u64, new: u64) -> bool {
        let found: u64;
        // SAFETY: the address is that of this word; the instruction touches nothing else.
        unsafe {
            core::arch::asm!(
                "r0 = cmpxchg_64({word} + 0, r0, {new})",
                word = in(reg) self.0.as_ptr(),
                new = in(reg) new,
                inlateout("r0") old => found,
            );
        }
        found == old
    }

    /// Writes `value`, with a full barrier: later loads see what others wrote before their exchanges.
    #[cfg(not(target_arch = "bpf"))]
    pub fn exchange(&self, value: u64) {
        self.0.swap(value, Ordering::SeqCst);
        core::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Writes `value`, with a full barrier: later loads see what others wrote before their exchanges.
    #[cfg(target_arch = "bpf")]
    #[inline(always)]
    pub fn exchange(&self, value: u64) {
        // SAFETY: the address is that of this word; the instruction touches nothing else.
        unsafe {
            core::arch::asm!(
                "{value} = xchg_64({word} + 0, {value})",
                word = in(reg) self.0.as_ptr(),
                value = inout(reg) value => _,
            );
        }
    }
}

/// A 32-bit word that is only ever loaded and stored.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct HalfWord(AtomicU32);

impl HalfWord {
    /// The value.
    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u32 {
        self.0.load(LOAD)
    }

    /// Writes the value.
    #[inline(always)]
    pub fn store(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}
