//! The frame under way.

use aya_ebpf::{helpers::generated::bpf_xdp_get_buff_len, programs::XdpContext};
use lb_common::packet::{Frame, Window};

/// A frame in the driver's memory, which may be read and rewritten in place.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    start: usize,
    end: usize,
    context: *mut aya_ebpf::bindings::xdp_md,
}

impl Packet {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self {
            start: context.data(),
            end: context.data_end(),
            context: context.ctx,
        }
    }

    /// Interface by which the frame came in.
    #[inline(always)]
    pub(crate) fn ingress_ifindex(&self) -> u32 {
        // SAFETY: the context is valid for the run of the program.
        unsafe { (*self.context).ingress_ifindex }
    }

    /// The address of `N` writable bytes at `offset`.
    #[inline(always)]
    pub(crate) fn bytes_mut<const N: usize>(&self, offset: usize) -> Option<*mut u8> {
        let address = self.start + offset;
        if address + N > self.end {
            None
        } else {
            Some(address as *mut u8)
        }
    }
}

impl Frame for Packet {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        // SAFETY: the verifier proves that the N bytes lie before the frame's end.
        Some(unsafe { Window::new(self.bytes_mut::<N>(offset)?) })
    }

    #[inline(always)]
    fn reaches(&self, length: usize) -> bool {
        // Only a frame in several buffers is longer than its linear part, and only then is the helper worth its call.
        // SAFETY: the context is valid for the run of the program.
        self.end - self.start >= length || unsafe { bpf_xdp_get_buff_len(self.context) } as usize >= length
    }
}
