//! The bytes of a packet that can be looked at and written to where they lie.

use aya_ebpf::programs::TcContext;
use lb_common::packet::{Frame, Window};
use lb_ebpf::opaque::opaque;

/// A packet's first bytes. Whatever changes its length moves them: it is to be made anew then.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    start: usize,
    end: usize,
    length: u32,
}

impl Bytes {
    #[inline(always)]
    pub(crate) fn of(packet: &TcContext) -> Self {
        // SAFETY: the context is the kernel's.
        let (start, end, length) = unsafe {
            (
                (*packet.skb.skb).data as usize,
                (*packet.skb.skb).data_end as usize,
                (*packet.skb.skb).len,
            )
        };
        Self { start, end, length }
    }

    /// The address of `N` writable bytes at `offset`.
    #[inline(always)]
    pub(crate) fn at<const N: usize>(&self, offset: usize) -> Option<*mut u8> {
        let address = opaque(self.start) + offset;
        if address + N > self.end {
            None
        } else {
            Some(address as *mut u8)
        }
    }
}

impl Frame for Bytes {
    #[inline(always)]
    fn window<const N: usize>(&self, offset: usize) -> Option<Window<'_, N>> {
        // SAFETY: the verifier proves that the N bytes lie before the end.
        Some(unsafe { Window::new(self.at::<N>(offset)?) })
    }

    #[inline(always)]
    fn reaches(&self, length: usize) -> bool {
        self.end - self.start >= length
    }

    #[inline(always)]
    fn noise(&self) -> u32 {
        self.length
    }
}
