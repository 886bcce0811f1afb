//! From a frame with a tunnel's packet to the frame with what is inside.

use aya_ebpf::helpers::generated::bpf_xdp_adjust_head;
use lb_common::{
    decap::Outcome,
    packet::{EtherType, Ethernet, Inside, IpVersion},
};
use lb_ebpf::packet::Packet;

use crate::{inner, outer};

/// Addresses, tags and type of a link header with two tags.
const LINK: usize = 22;

/// Takes the packet out, so that the frame holds it alone.
#[inline(always)]
pub(crate) fn unwrap(packet: &Packet) -> Result<(), Outcome> {
    let ethernet = Ethernet::parse(packet).map_err(|_| Outcome::NoTunnel)?;
    let outer = match ethernet.ether_type {
        EtherType::Ipv4 => outer::look4(packet, ethernet.end)?,
        EtherType::Ipv6 => outer::look6(packet, ethernet.end)?,
        EtherType::Arp => return Err(Outcome::NoTunnel),
    };
    match outer.inside.version {
        IpVersion::V4 => inner::enter4(packet, &outer)?,
        IpVersion::V6 => inner::enter6(packet, &outer)?,
    }
    strip(packet, ethernet.end, &outer.inside)
}

/// Moves the link header to where the packet inside begins.
#[inline(always)]
fn strip(packet: &Packet, network: usize, inside: &Inside) -> Result<(), Outcome> {
    let (network, offset) = (network & 31, inside.offset & 0xFFF);
    let old = packet.bytes_mut::<LINK>(0).ok_or(Outcome::Malformed)?;
    // SAFETY: 22 bytes are there.
    let words = unsafe {
        let word = |at| old.add(at).cast::<u32>().read_volatile();
        [word(0), word(4), word(8), word(12), word(16)]
    };
    let surplus = (offset as i32).wrapping_sub(network as i32);
    // SAFETY: the context is valid for the run of the program; pointers into the packet are made anew from here on.
    if surplus < 20 || unsafe { bpf_xdp_adjust_head(packet.context(), surplus) } != 0 {
        return Err(Outcome::Malformed);
    }
    let packet = Packet::new(packet.context());
    let kind: u16 = match inside.version {
        IpVersion::V4 => 0x0800,
        IpVersion::V6 => 0x86DD,
    };
    let new = packet.bytes_mut::<LINK>(0).ok_or(Outcome::Malformed)?;
    // SAFETY: 22 bytes are there. What is no tag must not overwrite the packet.
    unsafe {
        for (n, word) in words.into_iter().take(3).enumerate() {
            new.add(n * 4).cast::<u32>().write_volatile(word);
        }
        for tag in 0..2 {
            if network >= 18 + tag * 4 {
                new.add(12 + tag * 4).cast::<u32>().write_volatile(words[3 + tag]);
            }
        }
    }
    let at = packet
        .bytes_mut::<2>(network.wrapping_sub(2) & 31)
        .ok_or(Outcome::Malformed)?;
    // SAFETY: two bytes are there.
    unsafe { at.cast::<u16>().write_volatile(kind.to_be()) };
    Ok(())
}
