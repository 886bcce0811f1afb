//! Handing a fragment to the daemon, to be held.

use lb_common::{
    abi::{HeldFrame, LONGEST_HELD},
    reason::Reason,
};

use lb_ebpf::packet::Packet;

use crate::maps::HELD;

/// Hands it over, if it has not been held already, and there is room.
#[inline(always)]
pub(super) fn hold(packet: &Packet, family: u32, key: [u64; 5]) -> Reason {
    // The daemon puts something before a frame that it has held long enough.
    if packet.has_metadata() {
        return Reason::FragmentUnknown;
    }
    let length = packet.length() as u32;
    if length == 0 || length > LONGEST_HELD as u32 {
        return Reason::FragmentUnknown;
    }
    let Some(mut entry) = HELD.reserve(0) else {
        return Reason::FragmentUnknown;
    };
    let held: *mut HeldFrame = entry.as_mut_ptr();
    // SAFETY: the entry is as long as the structure, and the length was compared with that of its bytes.
    let copied = unsafe {
        (&raw mut (*held).family).write(family);
        (&raw mut (*held).length).write(length);
        (&raw mut (*held).key).write(key);
        packet.copy_front(&raw mut (*held).bytes, length)
    };
    if !copied {
        entry.discard(0);
        return Reason::FragmentUnknown;
    }
    entry.submit(0);
    Reason::FragmentHeld
}
