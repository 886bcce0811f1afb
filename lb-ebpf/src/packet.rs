//! The frame under way.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
};
use lb_common::packet::{Frame, Window};

use crate::opaque::opaque;

/// What the kernel hands to the program, valid for the run of it.
pub type Context = *mut xdp_md;

/// A frame in the driver's memory, which may be read and rewritten in place.
#[derive(Clone, Copy)]
pub struct Packet {
    start: usize,
    end: usize,
    context: Context,
}

impl Packet {
    /// The frame that the program was called with; one that was moved or cut is looked at anew.
    #[inline(always)]
    #[must_use]
    #[expect(
        clippy::not_unsafe_ptr_arg_deref,
        reason = "the verifier lets nothing but the context be a context"
    )]
    pub fn new(context: Context) -> Self {
        // SAFETY: the context is valid for the run of the program.
        let (start, end) = unsafe { ((*context).data as usize, (*context).data_end as usize) };
        Self { start, end, context }
    }

    /// What the kernel handed to the program.
    #[inline(always)]
    #[must_use]
    pub const fn context(&self) -> Context {
        self.context
    }

    /// Length of its first buffer, which for nearly every frame is all of it.
    #[inline(always)]
    #[must_use]
    pub fn linear(&self) -> usize {
        self.end - self.start
    }

    /// Whether something was put before the frame.
    #[inline(always)]
    #[must_use]
    pub fn has_metadata(&self) -> bool {
        // SAFETY: the context is valid for the run of the program.
        unsafe { (*self.context).data_meta < (*self.context).data }
    }

    /// Length of the frame in bytes, all of its buffers together.
    #[inline(always)]
    #[must_use]
    pub fn length(&self) -> usize {
        // SAFETY: the context is valid for the run of the program.
        unsafe { bpf_xdp_get_buff_len(self.context) as usize }
    }

    /// Interface by which the frame came in.
    #[inline(always)]
    #[must_use]
    pub fn ingress_ifindex(&self) -> u32 {
        // SAFETY: the context is valid for the run of the program.
        unsafe { (*self.context).ingress_ifindex }
    }

    /// Copies the frame's first `length` bytes, of all its buffers: from one to `N`. Whether it could.
    ///
    /// # Safety
    /// `into` must be writable.
    #[inline(always)]
    #[must_use]
    pub unsafe fn copy_front<const N: usize>(&self, into: *mut [u8; N], length: u32) -> bool {
        // From a comparison with zero the verifier learns nothing before Linux 6.8.
        let but_one = opaque((length as usize).wrapping_sub(1));
        if but_one >= N {
            return false;
        }
        // SAFETY: the context is valid for the run of the program, and no more than N bytes are written.
        unsafe { bpf_xdp_load_bytes(self.context, 0, into.cast(), but_one as u32 + 1) == 0 }
    }

    /// The address of `N` writable bytes at `offset`.
    ///
    /// Each call is a comparison of its own with the frame's end. The compiler would conclude from one that another is
    /// superfluous, and the verifier does not.
    #[inline(always)]
    #[must_use]
    pub fn bytes_mut<const N: usize>(&self, offset: usize) -> Option<*mut u8> {
        within::<N>(opaque(self.start) + offset, self.end)
    }

    /// A window that is proved to lie in the frame apart from others, for the same reason.
    #[inline(always)]
    #[must_use]
    pub fn window_apart<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        // SAFETY: the verifier proves that the N bytes lie before the frame's end.
        Some(unsafe { Window::new(self.bytes_mut::<N>(offset)?) })
    }
}

/// The address, if `N` bytes from it on are before the end.
#[inline(always)]
fn within<const N: usize>(address: usize, end: usize) -> Option<*mut u8> {
    if address + N > end {
        None
    } else {
        Some(address as *mut u8)
    }
}

impl Frame for Packet {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        // SAFETY: the verifier proves that the N bytes lie before the frame's end.
        Some(unsafe { Window::new(within::<N>(self.start + offset, self.end)?) })
    }

    #[inline(always)]
    fn reaches(&self, length: usize) -> bool {
        // Only a frame in several buffers is longer than its linear part, and only then is the helper worth its call.
        // SAFETY: the context is valid for the run of the program.
        self.end - self.start >= length || unsafe { bpf_xdp_get_buff_len(self.context) } as usize >= length
    }

    #[inline(always)]
    fn noise(&self) -> u32 {
        // SAFETY: the context is valid for the run of the program. Volatile, or it might become one load with the field before it,
        // which the verifier refuses.
        unsafe { (&raw const (*self.context).rx_queue_index).read_volatile() }
    }
}
