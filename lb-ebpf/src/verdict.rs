//! Out of which interface?

use aya_ebpf::{bindings::xdp_action::XDP_TX, helpers::bpf_redirect};

use crate::packet::Packet;

/// The packet is ready for its backend.
pub(crate) struct Verdict {
    ifindex: u32,
}

impl Verdict {
    #[inline(always)]
    pub(crate) const fn new(ifindex: u32) -> Self {
        Self { ifindex }
    }

    /// The XDP action: back out of the interface it came in by, or over to another.
    #[inline(always)]
    pub(crate) fn action(&self, packet: &Packet) -> u32 {
        if self.ifindex == packet.ingress_ifindex() {
            XDP_TX
        } else {
            // SAFETY: takes two integers.
            unsafe { bpf_redirect(self.ifindex, 0) as u32 }
        }
    }
}
