//! The floors: what nobody can go below.

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_action::{XDP_ABORTED, XDP_PASS, XDP_TX},
    helpers::generated::bpf_xdp_adjust_head,
    programs::XdpContext,
};

use crate::{front::IPV4, maps::STEPS, packet_source::ETHERNET};

/// Hands the packet to the kernel.
#[inline(always)]
pub(crate) const fn empty() -> u32 {
    XDP_PASS
}

/// Exchanges the MAC addresses and sends the packet back.
#[inline(always)]
pub(crate) fn swap(context: &XdpContext) -> u32 {
    let frame = context.data();
    if frame + ETHERNET > context.data_end() {
        return XDP_ABORTED;
    }
    let frame = frame as *mut u16;
    // SAFETY: 14 bytes are there. By halves of words, so that each load finds its bytes in one store of the front.
    unsafe {
        for n in 0..3 {
            let (destination, source) = (frame.add(n), frame.add(n + 3));
            let first = destination.read_volatile();
            destination.write_volatile(source.read_volatile());
            source.write_volatile(first);
        }
    }
    XDP_TX
}

/// Puts an IPv4 header in front of the packet (RFC 2003) and sends it back. All but the length is constant, the checksum
/// too, which is wrong: to compute it is the cost of a balancer, not of the floor.
#[inline(always)]
pub(crate) fn ipip(context: &XdpContext) -> u32 {
    const HEADER: usize = ETHERNET + IPV4 as usize;
    // SAFETY: the context is valid for the run of the program.
    if unsafe { bpf_xdp_adjust_head(context.as_ptr().cast(), -IPV4) } != 0 {
        return XDP_ABORTED;
    }
    let (frame, end) = (context.data(), context.data_end());
    if frame + HEADER > end {
        return XDP_ABORTED;
    }
    let length = (end - frame - ETHERNET) as u16;
    let frame = frame as *mut u8;
    // SAFETY: 34 bytes are there.
    unsafe {
        frame
            .cast::<u64>()
            .write_volatile(u64::from_be(0x0200_0000_0001_0200));
        frame
            .add(8)
            .cast::<u32>()
            .write_volatile(u32::from_be(0x0000_0002));
        frame.add(12).cast::<u16>().write_volatile(u16::from_be(0x0800));
        // Version and length; total length; identification and fragment; TTL 64, protocol 4; addresses.
        frame.add(14).cast::<u16>().write_volatile(u16::from_be(0x4500));
        frame.add(16).cast::<u16>().write_volatile(u16::from_be(length));
        frame
            .add(18)
            .cast::<u32>()
            .write_volatile(u32::from_be(0x0000_4000));
        frame
            .add(22)
            .cast::<u32>()
            .write_volatile(u32::from_be(0x4004_0000));
        frame
            .add(26)
            .cast::<u64>()
            .write_volatile(u64::from_be(0x0A00_0001_0A00_0002));
    }
    XDP_TX
}

/// As many steps of a xorshift generator (Marsaglia, 2003) as the map says, at most 4095, each waiting for the one
/// before.
#[inline(always)]
pub(crate) fn known_cost() -> u32 {
    let Some(steps) = STEPS.get(0) else {
        return XDP_ABORTED;
    };
    let mut state = *steps | 1;
    for _ in 0..*steps & 4095 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    // The state is never zero, which the compiler does not know.
    if state == 0 { XDP_ABORTED } else { XDP_PASS }
}
