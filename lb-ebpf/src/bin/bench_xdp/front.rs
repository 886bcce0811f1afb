//! The fronts: restore the packet, choose the flow, call the program.

use aya_ebpf::{
    EbpfContext as _, bindings::xdp_action::XDP_ABORTED, helpers::generated::bpf_xdp_adjust_head,
    programs::XdpContext,
};

use crate::{
    maps::{SOURCE, TARGET},
    packet_source::{CUTS_V4, CUTS_V6, ETHERNET, PIECES, PacketSource},
};

/// Length of an IPv4 header without options.
pub(crate) const IPV4: i32 = 20;
/// Length of an IPv4 header, a UDP header and one of GUE.
pub(crate) const GUE: i32 = IPV4 + 8 + 4;

#[inline(always)]
pub(crate) fn v4(context: &XdpContext) -> u32 {
    restore::<{ ETHERNET + CUTS_V4[PIECES] }>(context, &CUTS_V4, PacketSource::headers_v4)
}

#[inline(always)]
pub(crate) fn v6(context: &XdpContext) -> u32 {
    restore::<{ ETHERNET + CUTS_V6[PIECES] }>(context, &CUTS_V6, PacketSource::headers_v6)
}

/// The packet is longer by so many bytes of headers: by the previous run of the program, and at first as it was handed in.
#[inline(always)]
pub(crate) fn v4_encapsulated<const HEADERS: i32>(context: &XdpContext) -> u32 {
    // SAFETY: the context is valid for the run of the program.
    if unsafe { bpf_xdp_adjust_head(context.as_ptr().cast(), HEADERS) } != 0 {
        return XDP_ABORTED;
    }
    v4(context)
}

/// Writes the headers and goes over to the program. `XDP_ABORTED`, which no measured program returns, says that there is
/// no program or that the packet is shorter than its headers.
#[inline(always)]
fn restore<const LENGTH: usize>(
    context: &XdpContext,
    cuts: &[usize; PIECES + 1],
    headers: impl Fn(&PacketSource, u32) -> [u64; PIECES],
) -> u32 {
    let Some(source) = SOURCE.get_ptr_mut(0) else {
        return XDP_ABORTED;
    };
    // SAFETY: nobody else touches the element during a run.
    let source = unsafe { &mut *source };
    let flow = source.draw();
    let start = context.data();
    if start + LENGTH > context.data_end() {
        return XDP_ABORTED;
    }
    let frame = start as *mut u8;
    let tail = source.link_tail.to_ne_bytes();
    // SAFETY: LENGTH bytes are there. Volatile, so that each piece is one store.
    unsafe {
        frame.cast::<u64>().write_volatile(source.link_head);
        let addresses = u32::from_ne_bytes([tail[0], tail[1], tail[2], tail[3]]);
        frame.add(8).cast::<u32>().write_volatile(addresses);
        let ether_type = u16::from_ne_bytes([tail[4], tail[5]]);
        frame.add(12).cast::<u16>().write_volatile(ether_type);
        let pieces = headers(source, flow);
        for n in 0..PIECES {
            let at = frame.add(ETHERNET + cuts[n]);
            match cuts[n + 1] - cuts[n] {
                8 => at.cast::<u64>().write_volatile(pieces[n]),
                4 => at.cast::<u32>().write_volatile(first_half(pieces[n])),
                _ => {}
            }
        }
        TARGET.tail_call(context, 0);
    }
    XDP_ABORTED
}

/// The first four bytes of a word, as they lie in memory.
#[inline(always)]
const fn first_half(word: u64) -> u32 {
    if cfg!(target_endian = "big") {
        (word >> 32) as u32
    } else {
        word as u32
    }
}
