//! Access to the bytes of a frame.

use core::marker::PhantomData;

/// A frame whose bytes can be looked at.
pub trait Frame {
    /// The `N` bytes at `offset`, or `None` where the frame ends before them.
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>>;

    /// Whether the frame has at least `length` bytes, counting what lies outside the part that [`Self::window`] reaches
    /// (the fragments of a multi-buffer XDP frame).
    fn reaches(&self, length: usize) -> bool;

    /// A number for [`forget`](crate::verifier::forget) that is there without waiting for the frame's own bytes, which may be far
    /// away: an address computed with it can be read while they are still on their way.
    fn noise(&self) -> u32;
}

impl Frame for [u8] {
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        let bytes: &[u8; N] = self.get(offset..)?.first_chunk()?;
        // SAFETY: the reference covers N readable bytes for as long as the window lives.
        Some(unsafe { Window::new(bytes.as_ptr()) })
    }

    fn reaches(&self, length: usize) -> bool {
        length <= self.len()
    }

    fn noise(&self) -> u32 {
        0
    }
}

/// `N` bytes that are known to be there; fields are read at constant offsets that the compiler checks against `N`.
#[derive(Clone, Copy)]
pub struct Window<'a, const N: usize> {
    start: *const u8,
    lifetime: PhantomData<&'a [u8; N]>,
}

/// One load of `T` from memory of any alignment.
///
/// # Safety
/// `size_of::<T>()` bytes at `pointer` must be readable; every bit pattern must be a `T`.
#[inline(always)]
unsafe fn load<T: Copy>(pointer: *const u8) -> T {
    #[cfg(target_arch = "bpf")]
    // SAFETY: as the caller promised. The compiler would split an unaligned read into single bytes, since it knows no
    // BPF machine; every machine with native XDP reads unaligned words in one go, and the verifier of a kernel for one
    // that does not refuses the program at load.
    unsafe {
        core::ptr::read_volatile(pointer.cast())
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: as the caller promised.
    unsafe {
        core::ptr::read_unaligned(pointer.cast())
    }
}

impl<const N: usize> Window<'_, N> {
    /// A window onto the `N` bytes at `start`.
    ///
    /// # Safety
    /// `N` bytes at `start` must be readable for the window's lifetime.
    #[inline(always)]
    #[must_use]
    pub unsafe fn new(start: *const u8) -> Self {
        Self {
            start,
            lifetime: PhantomData,
        }
    }

    /// Address of the first byte.
    #[inline(always)]
    #[must_use]
    pub const fn start(&self) -> *const u8 {
        self.start
    }

    /// The byte at `AT`.
    #[inline(always)]
    #[must_use]
    pub fn byte<const AT: usize>(&self) -> u8 {
        const { assert!(AT < N) };
        // SAFETY: AT is inside the window.
        unsafe { load(self.start.add(AT)) }
    }

    /// The 16 bits at `AT` as a number (big endian on the wire).
    #[inline(always)]
    #[must_use]
    pub fn be16<const AT: usize>(&self) -> u16 {
        u16::from_be(self.raw16::<AT>())
    }

    /// The 16 bits at `AT`, as they lie in memory.
    #[inline(always)]
    #[must_use]
    pub fn raw16<const AT: usize>(&self) -> u16 {
        const { assert!(AT + 2 <= N) };
        // SAFETY: AT and the byte after it are inside the window.
        unsafe { load(self.start.add(AT)) }
    }

    /// The 32 bits at `AT`, as they lie in memory.
    #[inline(always)]
    #[must_use]
    pub fn raw32<const AT: usize>(&self) -> u32 {
        const { assert!(AT + 4 <= N) };
        // SAFETY: the four bytes from AT are inside the window.
        unsafe { load(self.start.add(AT)) }
    }

    /// The 64 bits at `AT`, as they lie in memory.
    #[inline(always)]
    #[must_use]
    pub fn raw64<const AT: usize>(&self) -> u64 {
        const { assert!(AT + 8 <= N) };
        // SAFETY: the eight bytes from AT are inside the window.
        unsafe { load(self.start.add(AT)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_the_frame_ends() {
        let frame: &[u8] = &[1, 2, 3, 4];
        assert!(frame.window::<4>(0).is_some());
        assert!(frame.window::<4>(1).is_none());
        assert!(frame.window::<1>(4).is_none());
        assert!(frame.window::<1>(usize::MAX).is_none());
    }

    #[test]
    fn fields_come_in_wire_order() {
        let frame: &[u8] = &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0];
        let window = frame.window::<8>(0).unwrap();
        assert_eq!(window.byte::<1>(), 0x34);
        assert_eq!(window.be16::<1>(), 0x3456);
        assert_eq!(window.raw16::<0>().to_ne_bytes(), [0x12, 0x34]);
        assert_eq!(window.raw32::<3>().to_ne_bytes(), [0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(window.raw64::<0>().to_ne_bytes(), frame);
    }
}
