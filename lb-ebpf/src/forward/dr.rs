//! Direct routing: the frame gets the backend's MAC address, and the packet in it stays as it is.

use lb_common::reason::Reason;

use lb_ebpf::packet::Packet;

/// The first six bytes of a word, as they lie in memory.
const MAC: u64 = u64::from_ne_bytes([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]);

/// Writes both MAC addresses: the first 8 and the next 4 bytes of the frame.
///
/// A frame is not sent back to where it comes from: whoever sent it takes us for a backend, as we do them, and it would go to
/// and fro for ever.
#[inline(always)]
pub(crate) fn rewrite(packet: &Packet, head: u64, tail: u32) -> Result<(), Reason> {
    let frame = packet.bytes_mut::<14>(0).ok_or(Reason::Truncated)?;
    // SAFETY: the first 14 bytes are there; accesses as wide as these are what every machine with native XDP does in one
    // go, aligned or not.
    unsafe {
        let source = frame.add(6).cast::<u64>().read_volatile();
        if (source ^ head) & MAC == 0 {
            return Err(Reason::Loop);
        }
        frame.cast::<u64>().write_volatile(head);
        frame.add(8).cast::<u32>().write_volatile(tail);
    }
    Ok(())
}
