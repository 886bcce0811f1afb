//! Questions for the MAC addresses of VIPs, which are answered by the kernel, and by it only while the director holds them;
//! and others that say a VIP were theirs.
//!
//! A lease ends by itself. So a director whose daemon is dead, stopped or hanging does not keep the VIPs, whatever addresses
//! are still on its interface, and forwards what reaches it all the same.

use lb_common::{
    abi::{Claim, Event, FrontendKey4, FrontendKey6, NO_LEASE},
    packet::{Arp, Discovery, protocol},
    reason::Reason,
};
use lb_ebpf::packet::{Context, Packet};

use crate::{
    clock, count,
    family::{V4, V6},
    maps::{CLAIMS, LEASES},
    outcome::Refusal,
    service::find_service,
};

/// What becomes of an ARP packet at `network`.
#[inline(always)]
pub(crate) fn arp(packet: &Packet, network: usize) -> Refusal {
    Refusal::from_number(tandem_arp(packet.context(), network as u32))
}

/// Refuses a neighbour solicitation in the packet whose IPv6 header is at `network`, if it is not to be answered.
#[inline(always)]
pub(crate) fn discovery(packet: &Packet, network: usize) -> Result<(), Refusal> {
    if tandem_discovery(packet.context(), network as u32) == 0 {
        Ok(())
    } else {
        Err(Reason::NoLease.into())
    }
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_arp(context: Context, network: u32) -> u32 {
    let packet = Packet::new(context);
    let Some(arp) = Arp::parse(&packet, (network & 31) as usize) else {
        return Refusal::from(Reason::NotIp).number();
    };
    if let Some(group) = group4(arp.claims)
        && holds(group)
    {
        claimed(&packet, [arp.claims as u64, 0], 4);
    }
    let refusal = match group4(arp.asks_for) {
        Some(group) if !holds(group) => Reason::NoLease,
        Some(_) | None => Reason::NotIp,
    };
    Refusal::from(refusal).number()
}

/// Whether the message is not to be answered.
#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_discovery(context: Context, network: u32) -> u32 {
    let packet = Packet::new(context);
    match Discovery::parse(&packet, (network & 31) as usize) {
        Some(Discovery::Solicitation { target }) => match group6(target) {
            Some(group) if !holds(group) => 1,
            Some(_) | None => 0,
        },
        Some(Discovery::Advertisement { target }) => {
            if let Some(group) = group6(target)
                && holds(group)
            {
                claimed(&packet, target, 6);
            }
            0
        }
        None => 0,
    }
}

/// Number of the group that the address moves with, if it is a VIP.
#[inline(always)]
fn group4(address: u32) -> Option<u32> {
    find_service::<V4>(&FrontendKey4::new(address, 0, protocol::ICMP))
}

/// Number of the group that the address moves with, if it is a VIP.
#[inline(always)]
fn group6(address: [u64; 2]) -> Option<u32> {
    find_service::<V6>(&FrontendKey6::new(address, 0, protocol::ICMPV6))
}

/// Whether this director holds the VIPs of the group.
#[inline(always)]
fn holds(group: u32) -> bool {
    if group == NO_LEASE {
        return true;
    }
    match LEASES.get(0) {
        Some(leases) => leases.holds(group, clock::since_boot()),
        None => true,
    }
}

/// Takes note of who claims an address that is held here.
#[inline(always)]
fn claimed(packet: &Packet, address: [u64; 2], family: u64) {
    count::event(Event::VipClaimed);
    let (Some(claims), Some(frame)) = (CLAIMS.get(0), packet.window_apart::<14>(0)) else {
        return;
    };
    let mac = frame.raw32::<6>() as u64 | (frame.raw16::<10>() as u64) << 32;
    claims.of(address).write(&Claim {
        address,
        sender: mac | family << 48,
        at: clock::since_boot(),
    });
}
