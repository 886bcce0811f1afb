//! What the compiler must not look through.

/// `value`, of which the compiler knows nothing any more.
#[inline(always)]
#[must_use]
pub fn opaque(value: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let hidden;
        // SAFETY: a move from register to register. (Assembly without any instruction would put two source lines at the
        // next one, and such line information the kernel refuses. And not `pure`: the same value made opaque twice is two.)
        unsafe {
            core::arch::asm!(
                "{hidden} = {value}",
                hidden = lateout(reg) hidden,
                value = in(reg) value,
                options(nomem, preserves_flags, nostack),
            );
        }
        hidden
    }
    #[cfg(not(target_arch = "bpf"))]
    value
}
