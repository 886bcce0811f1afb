//! The headers in front of a packet in a tunnel: where they are put.

use aya_ebpf::helpers::generated::bpf_xdp_adjust_head;
use lb_common::{
    abi::{BackendEntry, Tail},
    reason::Reason,
};
use lb_ebpf::{
    packet::{Context, Packet},
    tunnel::{IPV4, IPV6, LONGEST4, LONGEST6, Outer},
};

use crate::link::LinkHeader;

/// The first 8 and the next 4 bytes of a frame.
type Macs = (u64, u32);

/// Makes room for headers of `added` bytes behind a link header that ends at `network`, and moves that to the front.
#[inline(always)]
fn make_room(
    context: Context,
    network: usize,
    added: usize,
    macs: Macs,
    ether_type: u16,
) -> Result<(), Reason> {
    let link = LinkHeader::of(&Packet::new(context)).ok_or(Reason::Truncated)?;
    // SAFETY: the context is valid for the run of the program; pointers into the packet are made anew from here on.
    if unsafe { bpf_xdp_adjust_head(context, -(added as i32)) } != 0 {
        return Err(Reason::NoHeadroom);
    }
    let link = link.with_macs(macs);
    link.put(&Packet::new(context), network, ether_type)
        .ok_or(Reason::Truncated)
}

/// Puts an IPv4 header in front, and what the method has behind it.
#[inline(always)]
pub(super) fn put4(
    context: Context,
    network: usize,
    outer: &Outer,
    entry: &BackendEntry,
    tail: Tail,
) -> Result<(), Reason> {
    let method = tail.method();
    let macs = (entry.head(), tail.mac());
    let between = outer.between(method);
    make_room(context, network, IPV4 + between, macs, 0x0800)?;
    let packet = Packet::new(context);
    let header = packet.bytes_mut::<LONGEST4>(network).ok_or(Reason::Truncated)?;
    // SAFETY: that many bytes are there.
    unsafe { outer.put4(header, entry, method, between) };
    Ok(())
}

/// Puts an IPv6 header in front, and what the method has behind it.
#[inline(always)]
pub(super) fn put6(
    context: Context,
    network: usize,
    outer: &Outer,
    entry: &BackendEntry,
    tail: Tail,
) -> Result<(), Reason> {
    let method = tail.method();
    let macs = (entry.head(), tail.mac());
    let between = outer.between(method);
    make_room(context, network, IPV6 + between, macs, 0x86DD)?;
    let packet = Packet::new(context);
    let header = packet.bytes_mut::<LONGEST6>(network).ok_or(Reason::Truncated)?;
    // SAFETY: that many bytes are there.
    unsafe { outer.put6(header, entry, method, between) };
    Ok(())
}
