//! Where a packet comes from, so that replies find back.

use lb_common::flow_table::Origin;
use lb_ebpf::packet::Packet;

/// Where the packet comes from: its MAC addresses the other way round, and its interface.
#[inline(always)]
pub(crate) fn origin_of(packet: &Packet) -> Option<Origin> {
    let frame = packet.bytes_mut::<12>(0)?;
    // SAFETY: twelve bytes are there.
    let [d0, d1, d2, s0, s1, s2] =
        [0, 1, 2, 3, 4, 5].map(|n| unsafe { u64::from(frame.cast::<u16>().add(n).read_volatile()) });
    let head = if cfg!(target_endian = "big") {
        s0 << 48 | s1 << 32 | s2 << 16 | d0
    } else {
        s0 | s1 << 16 | s2 << 32 | d0 << 48
    };
    let tail = if cfg!(target_endian = "big") {
        d1 << 16 | d2
    } else {
        d1 | d2 << 16
    };
    Some(Origin::new(head, tail as u32, packet.ingress_ifindex()))
}
