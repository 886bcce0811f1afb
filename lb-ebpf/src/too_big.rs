//! A packet that does not fit into the backend's tunnel: the client is told how long it may be (RFC 792, RFC 1191, RFC 8201).
//!
//! The answer comes from the VIP, which the client knows the way to. It quotes as much as one sum of the kernel's covers.

use aya_ebpf::helpers::generated::{bpf_csum_diff, bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use lb_common::{checksum::fold, packet::protocol, reason::Reason};
use lb_ebpf::packet::{Context, Packet};

use crate::{
    forward::{Place, Shape},
    outcome::Refusal,
    pace,
};

/// Bytes that are quoted. Nothing shorter is ever too long: see `core::way` in the daemon.
const QUOTE: usize = 512;
/// Addresses, tags and type of a link header with two tags.
const LINK: usize = 22;
const IPV4: usize = 20;
const IPV6: usize = 40;
const ICMP: usize = 8;
const TTL: u8 = 64;

/// Turns the packet into the answer to it: at most `longest` bytes fit.
#[inline(always)]
pub(crate) fn answer(packet: &Packet, shape: &Shape, longest: u16) -> Refusal {
    if !pace::may_answer() {
        return Reason::TooBigUnanswered.into();
    }
    let number = tandem_too_big(packet.context(), Place::of(shape).number(), longest.into());
    Refusal::from_number(number)
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_too_big(context: Context, place: u32, longest: u32) -> u32 {
    let place = Place::from_number(place);
    let answered = if place.is_ipv6() {
        answer6(context, place.network(), longest as u16)
    } else {
        answer4(context, place.network(), longest as u16)
    };
    let reason = match answered {
        Some(()) => Reason::TooBigAnswered,
        None => Reason::TooBigUnanswered,
    };
    Refusal::from(reason).number()
}

/// Puts `added` bytes between the link header, turned round, and the network header, and cuts the frame off behind the quote.
#[inline(always)]
fn make_room(context: Context, network: usize, added: usize) -> Option<()> {
    let packet = Packet::new(context);
    let old = packet.bytes_mut::<LINK>(0)?;
    // SAFETY: 22 bytes are there.
    let words = unsafe {
        let word = |at| old.add(at).cast::<u32>().read_volatile();
        let half = |at| old.add(at).cast::<u16>().read_volatile();
        (
            (word(0), half(4)),
            (word(6), half(10)),
            (word(12), word(16), half(20)),
        )
    };
    let ((destination, source), tags) = ((words.0, words.1), words.2);
    let surplus = packet.length() as i32 - (network + QUOTE) as i32;
    // SAFETY: the context is valid for the run of the program; pointers into the packet are made anew from here on.
    unsafe {
        if surplus < 0
            || bpf_xdp_adjust_head(context, -(added as i32)) != 0
            || bpf_xdp_adjust_tail(context, -surplus) != 0
        {
            return None;
        }
    }
    let new = Packet::new(context).bytes_mut::<LINK>(0)?;
    // SAFETY: 22 bytes are there, of which the network header may overwrite the last.
    unsafe {
        new.cast::<u32>().write_volatile(source.0);
        new.add(4).cast::<u16>().write_volatile(source.1);
        new.add(6).cast::<u32>().write_volatile(destination.0);
        new.add(10).cast::<u16>().write_volatile(destination.1);
        new.add(12).cast::<u32>().write_volatile(tags.0);
        new.add(16).cast::<u32>().write_volatile(tags.1);
        new.add(20).cast::<u16>().write_volatile(tags.2);
    }
    Some(())
}

/// Sum over the quote, which lies at `at`.
#[inline(always)]
fn sum_of_quote(packet: &Packet, at: usize) -> Option<u64> {
    let quote = packet.bytes_mut::<QUOTE>(at)?;
    // SAFETY: so many bytes are there.
    let sum = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, quote.cast(), QUOTE as u32, 0) };
    Some(sum as u64 & 0xFFFF_FFFF)
}

/// Destination unreachable, fragmentation needed.
#[inline(always)]
fn answer4(context: Context, network: usize, longest: u16) -> Option<()> {
    make_room(context, network, IPV4 + ICMP)?;
    let packet = Packet::new(context);
    let sum = sum_of_quote(&packet, network + IPV4 + ICMP)?;
    let quoted = packet.bytes_mut::<IPV4>(network + IPV4 + ICMP)?;
    let header = packet.bytes_mut::<{ IPV4 + ICMP }>(network)?;
    // SAFETY: both are there.
    unsafe {
        let client = quoted.add(12).cast::<u32>().read_volatile();
        let vip = quoted.add(16).cast::<u32>().read_volatile();
        // Precedence "internetwork control", as routers send errors (RFC 1812 section 4.3.2.5).
        let words = [
            u32::from_be(0x45C0_0000 | (IPV4 + ICMP + QUOTE) as u32),
            0,
            u32::from_be(u32::from(TTL) << 24 | u32::from(protocol::ICMP) << 16),
            vip,
            client,
        ];
        let mut own = 0;
        let at = header.cast::<u32>();
        for n in 0..5 {
            own += u64::from(words[n]);
            at.add(n).write_volatile(words[n]);
        }
        header.add(10).cast::<u16>().write_volatile(!fold(own));
        let kind = u32::from_be(0x0304_0000);
        let mtu = u32::from_be(longest.into());
        at.add(5).write_volatile(kind);
        at.add(6).write_volatile(mtu);
        let checksum = !fold(sum + u64::from(kind) + u64::from(mtu));
        header.add(22).cast::<u16>().write_volatile(checksum);
    }
    Some(())
}

/// Packet too big.
#[inline(always)]
fn answer6(context: Context, network: usize, longest: u16) -> Option<()> {
    const PAYLOAD: u16 = (ICMP + QUOTE) as u16;
    make_room(context, network, IPV6 + ICMP)?;
    let packet = Packet::new(context);
    let mut sum = sum_of_quote(&packet, network + IPV6 + ICMP)?;
    let quoted = packet.bytes_mut::<IPV6>(network + IPV6 + ICMP)?;
    let header = packet.bytes_mut::<{ IPV6 + ICMP }>(network)?;
    // SAFETY: both are there.
    unsafe {
        header.cast::<u32>().write_volatile(u32::from_be(6 << 28));
        let rest = u32::from(PAYLOAD) << 16 | u32::from(protocol::ICMPV6) << 8 | u32::from(TTL);
        header.add(4).cast::<u32>().write_volatile(u32::from_be(rest));
        for half in 0..4 {
            // Source and destination change places.
            let from = quoted.add(8 + (half ^ 2) * 8).cast::<u64>().read_volatile();
            header.add(8 + half * 8).cast::<u64>().write_volatile(from);
            sum += (from & 0xFFFF_FFFF) + (from >> 32);
        }
        let kind = u32::from_be(0x0200_0000);
        let mtu = u32::from_be(longest.into());
        header.add(IPV6).cast::<u32>().write_volatile(kind);
        header.add(IPV6 + 4).cast::<u32>().write_volatile(mtu);
        sum += u64::from(kind) + u64::from(mtu);
        sum += u64::from(PAYLOAD.to_be()) + u64::from(u16::from(protocol::ICMPV6).to_be());
        header.add(IPV6 + 2).cast::<u16>().write_volatile(!fold(sum));
    }
    Some(())
}
