//! A packet that does not fit into the backend's tunnel: the client is told how long it may be.

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use lb_common::reason::Reason;
use lb_ebpf::packet::{Context, Packet};

use crate::{
    forward::{Place, Shape},
    icmp_error::{self, ICMP, IPV4, IPV6},
    link::LinkHeader,
    outcome::Refusal,
    pace,
};

/// Bytes that are quoted. Nothing shorter is ever too long: see `core::way` in the daemon.
const QUOTE: usize = 512;

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
    let reason = match turn_into_answer(context, Place::from_number(place), longest as u16) {
        Some(()) => Reason::TooBigAnswered,
        None => Reason::TooBigUnanswered,
    };
    Refusal::from(reason).number()
}

#[inline(always)]
fn turn_into_answer(context: Context, place: Place, longest: u16) -> Option<()> {
    let network = place.network();
    let (added, ether_type) = if place.is_ipv6() {
        (IPV6 + ICMP, 0x86DD)
    } else {
        (IPV4 + ICMP, 0x0800)
    };
    let packet = Packet::new(context);
    let link = LinkHeader::of(&packet)?.turned_round();
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
    let packet = Packet::new(context);
    link.put(&packet, network, ether_type)?;
    if place.is_ipv6() {
        icmp_error::put6::<QUOTE>(&packet, network, longest)
    } else {
        icmp_error::put4::<QUOTE>(&packet, network, longest)
    }
}
