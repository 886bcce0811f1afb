//! Shared words in the XDP program. The documentation is that of the host's.
#![expect(missing_docs, reason = "the same items, documented once, in `host`")]

use core::{arch::asm, cell::UnsafeCell};

#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(UnsafeCell<u64>);

// SAFETY: every access is one volatile load or store of an aligned word, or an atomic instruction.
unsafe impl Sync for Word {}

impl Word {
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u64 {
        // SAFETY: the address is that of this word.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    pub fn store(&self, value: u64) {
        // SAFETY: the address is that of this word.
        unsafe { self.0.get().write_volatile(value) }
    }

    #[inline(always)]
    #[must_use]
    pub fn compare_exchange(&self, old: u64, new: u64) -> bool {
        let found: u64;
        // SAFETY: the address is that of this word; the instruction touches nothing else.
        unsafe {
            asm!(
                "r0 = cmpxchg_64({word} + 0, r0, {new})",
                word = in(reg) self.0.get(),
                new = in(reg) new,
                inlateout("r0") old => found,
            );
        }
        found == old
    }

    #[inline(always)]
    pub fn exchange(&self, value: u64) {
        // SAFETY: the address is that of this word; the instruction touches nothing else.
        unsafe {
            asm!(
                "{value} = xchg_64({word} + 0, {value})",
                word = in(reg) self.0.get(),
                value = inout(reg) value => _,
            );
        }
    }

    #[inline(always)]
    #[must_use]
    pub fn fetch_add(&self, change: u64) -> u64 {
        let before: u64;
        // SAFETY: the address is that of this word; the instruction touches nothing else.
        unsafe {
            asm!(
                "{change} = atomic_fetch_add((u64 *)({word} + 0), {change})",
                word = in(reg) self.0.get(),
                change = inout(reg) change => before,
            );
        }
        before
    }
}

#[derive(Debug, Default)]
#[repr(transparent)]
pub struct HalfWord(UnsafeCell<u32>);

// SAFETY: every access is one volatile load or store of an aligned word.
unsafe impl Sync for HalfWord {}

impl HalfWord {
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[inline(always)]
    #[must_use]
    pub fn load(&self) -> u32 {
        // SAFETY: the address is that of this word.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    pub fn store(&self, value: u32) {
        // SAFETY: the address is that of this word.
        unsafe { self.0.get().write_volatile(value) }
    }

    #[inline(always)]
    pub fn add(&self, change: i32) {
        // SAFETY: the address is that of this word; the instruction touches nothing else.
        unsafe {
            asm!(
                "lock *(u32 *)({word} + 0) += {change}",
                word = in(reg) self.0.get(),
                change = in(reg) i64::from(change),
            );
        }
    }
}
