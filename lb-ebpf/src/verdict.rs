//! Out of which interface?

use aya_ebpf::{
    bindings::xdp_action::{XDP_PASS, XDP_TX},
    helpers::bpf_redirect,
};

use lb_ebpf::packet::Packet;

/// The packet is ready for its backend.
pub(crate) struct Verdict {
    /// 0: none, this machine is the backend.
    ifindex: u32,
}

impl Verdict {
    #[inline(always)]
    pub(crate) const fn by(ifindex: u32) -> Self {
        Self { ifindex }
    }

    /// To the server on this machine.
    #[inline(always)]
    pub(crate) const fn here() -> Self {
        Self { ifindex: 0 }
    }

    /// The interface that it is sent out of; 0 for none.
    #[inline(always)]
    pub(crate) const fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// The XDP action: back out of the interface it came in by, over to another, or to the kernel.
    #[inline(always)]
    pub(crate) fn action(&self, packet: &Packet) -> u32 {
        if self.ifindex == packet.ingress_ifindex() {
            XDP_TX
        } else if self.ifindex == 0 {
            XDP_PASS
        } else {
            // SAFETY: takes two integers.
            unsafe { bpf_redirect(self.ifindex, 0) as u32 }
        }
    }
}
