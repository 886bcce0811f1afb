//! Getting the packet to its backend.

mod dr;
mod outer;
mod tunnel;

use lb_common::{
    abi::{BackendEntry, Method},
    reason::Reason,
};
use lb_ebpf::packet::Packet;

use crate::{count, maps::BACKENDS, outcome::Refusal, too_big, verdict::Verdict};

/// What is known of a packet that is to be forwarded.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    /// Where its network header begins.
    pub(crate) network: usize,
    /// Whether that is an IPv6 header.
    pub(crate) ipv6: bool,
    /// Where its transport header begins, or its ICMP header; 0 where it has none, being a later fragment.
    pub(crate) transport: usize,
    /// IANA protocol number of that.
    pub(crate) protocol: u8,
    /// Length on the link, without padding.
    pub(crate) bytes: usize,
    /// The same for all packets of a flow, and another for other flows.
    pub(crate) entropy: u32,
}

/// Where the network header begins (bits 0..8), whether it is an IPv6 header (8), and the protocol that it carries (16..24):
/// for functions that take numbers.
#[derive(Clone, Copy)]
pub(crate) struct Place(u32);

impl Place {
    #[inline(always)]
    pub(crate) const fn of(shape: &Shape) -> Self {
        Self(shape.network as u32 | (shape.ipv6 as u32) << 8 | (shape.protocol as u32) << 16)
    }

    #[inline(always)]
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    #[inline(always)]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn network(self) -> usize {
        self.0 as usize & 31
    }

    #[inline(always)]
    pub(crate) const fn protocol(self) -> u8 {
        (self.0 >> 16) as u8
    }

    #[inline(always)]
    pub(crate) const fn is_ipv6(self) -> bool {
        self.0 & 0x100 != 0
    }
}

/// Rewrites the packet for this backend.
#[inline(always)]
pub(crate) fn forward(packet: &Packet, backend: u32, shape: &Shape) -> Result<Verdict, Refusal> {
    let entry = BACKENDS.get(backend).ok_or(Reason::BackendGone)?;
    let tail = entry.tail();
    if tail.is_direct() {
        dr::rewrite(packet, entry.head(), tail.mac())?;
        count::forwarded(backend, shape.bytes);
        return Ok(Verdict::by(entry.ifindex()));
    }
    if tail.is_ready() {
        return by_other_means(packet, backend, entry, shape);
    }
    let reason = if entry.in_use() {
        Reason::BackendUnresolved
    } else {
        Reason::BackendGone
    };
    Err(reason.into())
}

#[inline(always)]
fn by_other_means(
    packet: &Packet,
    backend: u32,
    entry: &BackendEntry,
    shape: &Shape,
) -> Result<Verdict, Refusal> {
    if entry.tail().is_translated() {
        // Its flow would lead to its translation.
        return Err(Reason::NoTranslation.into());
    }
    if entry.tail().method() == Method::Local as u8 {
        count::forwarded(backend, shape.bytes);
        return Ok(Verdict::here());
    }
    if shape.bytes - shape.network > usize::from(entry.longest()) {
        return Err(too_big::answer(packet, shape, entry.longest()));
    }
    tunnel::carry(packet, backend, shape)
}
