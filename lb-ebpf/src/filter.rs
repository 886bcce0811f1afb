//! Is the destination a VIP at all?

use lb_common::reason::Reason;

use crate::maps::VIP_FILTER;

/// Passes IPv4 destinations (network order) that may be VIPs.
#[inline(always)]
pub(crate) fn vip4(destination: u32) -> Result<(), Reason> {
    let filter = VIP_FILTER.get(0).ok_or(Reason::MapMissing)?;
    if filter.may_hold4(destination) {
        Ok(())
    } else {
        Err(Reason::NotVip)
    }
}

/// Passes IPv6 destinations (network order) that may be VIPs.
#[inline(always)]
pub(crate) fn vip6(destination: [u64; 2]) -> Result<(), Reason> {
    let filter = VIP_FILTER.get(0).ok_or(Reason::MapMissing)?;
    if filter.may_hold6(destination) {
        Ok(())
    } else {
        Err(Reason::NotVip)
    }
}
