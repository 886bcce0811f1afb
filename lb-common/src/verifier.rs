//! What the kernel's verifier asks for, and no reader of the code would guess.
//!
//! The verifier follows each value that a number may have on its own through all that comes after: three link headers
//! times eleven lengths of options times … Behind these functions they are one state again. To it, the exclusive or of two
//! registers is unknown even where one is a copy of the other; `noise` must be a number that it cannot know, such as
//! [`Frame::noise`](crate::packet::Frame::noise).

/// `value`, of which the verifier is to forget everything.
#[inline(always)]
#[must_use]
pub fn blur(value: u64, noise: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let mut blurred = noise;
        // SAFETY: arithmetic on registers.
        unsafe {
            core::arch::asm!(
                "{blurred} ^= {noise}",
                "{blurred} ^= {value}",
                blurred = inout(reg) blurred,
                noise = in(reg) noise,
                value = in(reg) value,
                options(pure, nomem, nostack),
            );
        }
        blurred
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = noise;
        value
    }
}

/// `value`, of which the verifier is to forget everything but that it is at most `MASK`.
#[inline(always)]
#[must_use]
pub fn forget<const MASK: u64>(value: usize, noise: u32) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut forgotten = blur(value as u64, noise as u64);
        // SAFETY: arithmetic on a register; in assembly, since the compiler may know that there is nothing to mask.
        unsafe {
            core::arch::asm!(
                "{forgotten} &= {mask}",
                forgotten = inout(reg) forgotten,
                mask = const MASK,
                options(pure, nomem, nostack),
            );
        }
        forgotten as usize
    }
    #[cfg(not(target_arch = "bpf"))]
    {
        let _ = noise;
        debug_assert!(value as u64 <= MASK);
        value
    }
}
