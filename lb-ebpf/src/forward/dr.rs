//! Direct routing: the frame gets the backend's MAC address, and the packet in it stays as it is.

use lb_common::reason::Reason;

use crate::packet::Packet;

/// Writes both MAC addresses: the first 8 and the next 4 bytes of the frame.
#[inline(always)]
pub(crate) fn rewrite(packet: &Packet, head: u64, tail: u32) -> Result<(), Reason> {
    let frame = packet.bytes_mut::<14>(0).ok_or(Reason::Truncated)?;
    // SAFETY: the first 14 bytes are there; stores as wide as these are what every machine with native XDP does in one
    // go, aligned or not.
    unsafe {
        frame.cast::<u64>().write_volatile(head);
        frame.add(8).cast::<u32>().write_volatile(tail);
    }
    Ok(())
}
