//! Is the destination a VIP? The filter says "no" or "perhaps"; the frontend table knows.

use lb_common::{
    abi::{Destination, FrontendKey4, FrontendKey6},
    packet::protocol,
    reason::Reason,
};

use crate::{
    area,
    family::{V4, V6},
    maps::VIP_FILTER,
    outcome::Refusal,
    service::find_service,
};

/// Whether the filter knows the IPv4 address (network order): it may be a VIP, and most are.
#[inline(always)]
pub(crate) fn filter4(address: u32) -> bool {
    VIP_FILTER.get(0).is_some_and(|filter| filter.may_hold4(address))
}

/// Whether the filter knows the IPv6 address (network order).
#[inline(always)]
pub(crate) fn filter6(address: [u64; 2]) -> bool {
    VIP_FILTER.get(0).is_some_and(|filter| filter.may_hold6(address))
}

/// Whether the IPv4 address (network order) may be a VIP.
#[inline(always)]
pub(crate) fn may_be4(address: u32) -> Result<bool, Refusal> {
    let filter = VIP_FILTER.get(0).ok_or(Reason::MapMissing)?;
    Ok(filter.may_hold4(address) || area::is_wide(&Destination::v4(address, 0, 0)))
}

/// Whether the IPv6 address (network order) may be a VIP.
#[inline(always)]
pub(crate) fn may_be6(address: [u64; 2]) -> Result<bool, Refusal> {
    let filter = VIP_FILTER.get(0).ok_or(Reason::MapMissing)?;
    Ok(filter.may_hold6(address) || area::is_wide(&Destination::v6(address, 0, 0)))
}

/// Whether the address belongs to a service: each VIP stands in the frontend table with port 0 and ICMP, too.
#[inline(always)]
pub(crate) fn is_vip4(address: u32) -> bool {
    find_service::<V4>(&FrontendKey4::new(address, 0, protocol::ICMP)).is_some()
        || area::is_wide(&Destination::v4(address, 0, 0))
}

/// Whether the address belongs to a service.
#[inline(always)]
pub(crate) fn is_vip6(address: [u64; 2]) -> bool {
    find_service::<V6>(&FrontendKey6::new(address, 0, protocol::ICMPV6)).is_some()
        || area::is_wide(&Destination::v6(address, 0, 0))
}

/// What a packet to this address is refused for: only what is surely ours is dropped, or counted as ours.
#[inline(always)]
pub(crate) fn judge4(address: u32, refusal: Refusal) -> Refusal {
    Refusal::from_number(tandem_judge4(address, refusal.number()))
}

/// What a packet to this address is refused for.
#[inline(always)]
pub(crate) fn judge6(address: [u64; 2], refusal: Refusal) -> Refusal {
    Refusal::from_number(tandem_judge6(address[0], address[1], refusal.number()))
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_judge4(address: u32, refusal: u32) -> u32 {
    if is_vip4(address) {
        refusal
    } else {
        Refusal::from(Reason::NotVip).number()
    }
}

#[cfg_attr(target_arch = "bpf", unsafe(no_mangle))]
#[inline(never)]
extern "C" fn tandem_judge6(first: u64, second: u64, refusal: u32) -> u32 {
    if is_vip6([first, second]) {
        refusal
    } else {
        Refusal::from(Reason::NotVip).number()
    }
}
