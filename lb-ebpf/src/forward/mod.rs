//! Getting the packet to its backend.

mod dr;

use lb_common::reason::Reason;

use crate::{count, maps::BACKENDS, outcome::Refusal, packet::Packet, verdict::Verdict};

/// Rewrites the packet for this backend; `bytes` is its length on the link.
#[inline(always)]
pub(crate) fn forward(packet: &Packet, backend: u32, bytes: usize) -> Result<Verdict, Refusal> {
    let entry = BACKENDS.get(backend).ok_or(Reason::BackendGone)?;
    let Some((head, tail, ifindex)) = entry.link_words() else {
        let reason = if entry.in_use() {
            Reason::BackendUnresolved
        } else {
            Reason::BackendGone
        };
        return Err(reason.into());
    };
    dr::rewrite(packet, head, tail)?;
    count::forwarded(backend, bytes);
    Ok(Verdict::new(ifindex))
}
