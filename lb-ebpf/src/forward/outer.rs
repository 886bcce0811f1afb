//! The headers in front of a packet in a tunnel.

use aya_ebpf::helpers::generated::bpf_xdp_adjust_head;
use lb_common::{abi::BackendEntry, checksum::fold, reason::Reason};

use super::between::{between, protocol_of, put_between};
use crate::link::LinkHeader;
use lb_ebpf::packet::{Context, Packet};

/// TTL and hop limit of outer headers (RFC 1700's default, as Linux has it).
const TTL: u8 = 64;
/// Longest headers in front of the packet.
const LONGEST4: usize = 20 + 12;
const LONGEST6: usize = 40 + 12;

/// What goes into the headers.
pub(super) struct Outer {
    /// Length of the packet inside, in bytes.
    pub(super) length: u16,
    /// Whether that is an IPv6 packet.
    pub(super) ipv6_inside: bool,
    /// DSCP and ECN.
    pub(super) class: u8,
    /// Sum over the packet inside, where there is to be a checksum over it.
    pub(super) sum: Option<u16>,
    /// The same for all packets of a flow.
    pub(super) entropy: u32,
    /// The first 8 and the next 4 bytes of the frame.
    pub(super) link: (u64, u32),
}

/// Makes room for headers of `added` bytes behind a link header that ends at `network`, and moves that to the front.
#[inline(always)]
fn make_room(
    context: Context,
    network: usize,
    added: usize,
    outer: &Outer,
    ether_type: u16,
) -> Result<(), Reason> {
    let link = LinkHeader::of(&Packet::new(context)).ok_or(Reason::Truncated)?;
    // SAFETY: the context is valid for the run of the program; pointers into the packet are made anew from here on.
    if unsafe { bpf_xdp_adjust_head(context, -(added as i32)) } != 0 {
        return Err(Reason::NoHeadroom);
    }
    let link = link.with_macs(outer.link);
    link.put(&Packet::new(context), network, ether_type)
        .ok_or(Reason::Truncated)
}

/// Puts an IPv4 header in front, and what the method has behind it. It always forbids fragmentation (and so needs no
/// identification, RFC 6864): the backend's end of the tunnel does not put fragments together.
#[inline(always)]
pub(super) fn put4(
    context: Context,
    network: usize,
    outer: &Outer,
    entry: &BackendEntry,
    method: u8,
) -> Result<(), Reason> {
    let between = between(method, outer.sum);
    make_room(context, network, 20 + between, outer, 0x0800)?;
    let packet = Packet::new(context);
    let header = packet.bytes_mut::<LONGEST4>(network).ok_or(Reason::Truncated)?;
    let total = outer.length + 20 + between as u16;
    let words = [
        u32::from_be(0x4500_0000 | u32::from(outer.class) << 16 | u32::from(total)),
        u32::from_be(0x0000_4000),
        u32::from_be(u32::from(TTL) << 24 | u32::from(protocol_of(method, outer.ipv6_inside)) << 16),
        entry.source4(),
        entry.address4(),
    ];
    let addresses = u64::from(words[3]) + u64::from(words[4]);
    let sum = u64::from(words[0]) + u64::from(words[1]) + u64::from(words[2]) + addresses;
    // SAFETY: the header is there, and the checksum is the upper half of its third word.
    unsafe {
        let at = header.cast::<u32>();
        for (n, word) in words.into_iter().enumerate() {
            at.add(n).write_volatile(word);
        }
        header.add(10).cast::<u16>().write_volatile(!fold(sum));
        put_between(header.add(20), outer, entry, method, addresses);
    }
    Ok(())
}

/// Puts an IPv6 header in front, with a flow label that tells flows apart (RFC 6438), and what the method has behind it.
#[inline(always)]
pub(super) fn put6(
    context: Context,
    network: usize,
    outer: &Outer,
    entry: &BackendEntry,
    method: u8,
) -> Result<(), Reason> {
    let between = between(method, outer.sum);
    make_room(context, network, 40 + between, outer, 0x86DD)?;
    let packet = Packet::new(context);
    let header = packet.bytes_mut::<LONGEST6>(network).ok_or(Reason::Truncated)?;
    let (source, destination) = (entry.source6(), entry.address6());
    let first = 6 << 28 | u32::from(outer.class) << 20 | outer.entropy & 0xF_FFFF;
    let payload = outer.length + between as u16;
    let kind = protocol_of(method, outer.ipv6_inside);
    let second = u32::from(payload) << 16 | u32::from(kind) << 8 | u32::from(TTL);
    let halves = |word: u64| (word & 0xFFFF_FFFF) + (word >> 32);
    let addresses = halves(source[0]) + halves(source[1]) + halves(destination[0]) + halves(destination[1]);
    // SAFETY: the header is there.
    unsafe {
        header.cast::<u32>().write_volatile(first.to_be());
        header.add(4).cast::<u32>().write_volatile(second.to_be());
        header.add(8).cast::<u64>().write_volatile(source[0]);
        header.add(16).cast::<u64>().write_volatile(source[1]);
        header.add(24).cast::<u64>().write_volatile(destination[0]);
        header.add(32).cast::<u64>().write_volatile(destination[1]);
        put_between(header.add(40), outer, entry, method, addresses);
    }
    Ok(())
}
