//! Pings to a VIP are answered here, so that they tell whether the director lives, not whether a backend does.

use lb_common::{
    checksum::replace16,
    packet::{ECHO_REQUEST_V4, ECHO_REQUEST_V6},
    reason::Reason,
};

use lb_ebpf::packet::Packet;

/// TTL and hop limit of an answer (RFC 1700's default, as Linux has it).
pub(crate) const TTL: u8 = 64;

/// Turns an IPv4 echo request round: MACs, addresses, TTL, type.
#[inline(always)]
pub(crate) fn answer4(packet: &Packet, network: usize, payload: usize) -> Reason {
    let (Some(frame), Some(ip), Some(icmp)) = (
        packet.bytes_mut::<14>(0),
        packet.bytes_mut::<20>(network),
        packet.bytes_mut::<8>(payload),
    ) else {
        return Reason::Truncated;
    };
    // SAFETY: the bytes are there; fields are read and written at their own width.
    unsafe {
        swap::<u32>(ip.add(12), ip.add(16));
        let old = ip.add(8).cast::<u16>().read_volatile();
        ip.add(8).write_volatile(TTL);
        let new = ip.add(8).cast::<u16>().read_volatile();
        update(ip.add(10), old, new);
        retype(icmp, 0);
        turn_round(frame);
    }
    Reason::EchoAnswered
}

/// Turns an IPv6 echo request round: MACs, addresses, hop limit, type.
#[inline(always)]
pub(crate) fn answer6(packet: &Packet, network: usize, payload: usize) -> Reason {
    let (Some(frame), Some(ip), Some(icmp)) = (
        packet.bytes_mut::<14>(0),
        packet.bytes_mut::<40>(network),
        packet.bytes_mut::<8>(payload),
    ) else {
        return Reason::Truncated;
    };
    // SAFETY: the bytes are there; fields are read and written at their own width.
    unsafe {
        swap::<u64>(ip.add(8), ip.add(24));
        swap::<u64>(ip.add(16), ip.add(32));
        ip.add(7).write_volatile(TTL);
        retype(icmp, ECHO_REQUEST_V6 + 1);
        turn_round(frame);
    }
    Reason::EchoAnswered
}

const _: () = assert!(ECHO_REQUEST_V4 == 8);

/// Changes the ICMP type and its checksum. The pseudo header's sum does not depend on the order of the addresses.
///
/// # Safety
/// Eight bytes at `icmp` must be writable.
#[inline(always)]
unsafe fn retype(icmp: *mut u8, new_type: u8) {
    // SAFETY: as the caller promised.
    unsafe {
        let old = icmp.cast::<u16>().read_volatile();
        icmp.write_volatile(new_type);
        let new = icmp.cast::<u16>().read_volatile();
        let checksum = icmp.add(2).cast::<u16>();
        update(checksum.cast(), old, new);
        // A message of zeroes has the other zero of one's complement, which an update cannot know (RFC 1624 section 3);
        // for every other message both are right.
        if checksum.read_volatile() == 0 {
            checksum.write_volatile(0xFFFF);
        }
    }
}

/// Updates the checksum field at `field` for a 16-bit word that changed.
///
/// # Safety
/// Two bytes at `field` must be writable.
#[inline(always)]
unsafe fn update(field: *mut u8, old: u16, new: u16) {
    // SAFETY: as the caller promised.
    unsafe {
        let checksum = field.cast::<u16>().read_volatile();
        field.cast::<u16>().write_volatile(replace16(checksum, old, new));
    }
}

/// Exchanges the MAC addresses.
///
/// # Safety
/// Twelve bytes at `frame` must be writable.
#[inline(always)]
pub(crate) unsafe fn turn_round(frame: *mut u8) {
    // SAFETY: as the caller promised.
    unsafe {
        swap::<u32>(frame, frame.add(6));
        swap::<u16>(frame.add(4), frame.add(10));
    }
}

/// Exchanges two words of a packet.
///
/// # Safety
/// Both must be writable and must not overlap.
#[inline(always)]
pub(crate) unsafe fn swap<T: Copy>(a: *mut u8, b: *mut u8) {
    let (a, b) = (a.cast::<T>(), b.cast::<T>());
    // SAFETY: as the caller promised; volatile, so that a word stays a word (see `Window`).
    unsafe {
        let first = a.read_volatile();
        a.write_volatile(b.read_volatile());
        b.write_volatile(first);
    }
}
