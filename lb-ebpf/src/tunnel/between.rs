//! What is between the outer network header and the packet: nothing, or the headers of GUE or GRE.

use lb_common::{
    abi::{BackendEntry, Method},
    checksum::fold,
    packet::protocol,
};

use super::Outer;

/// Bytes between the outer network header and the packet.
#[inline(always)]
pub(super) fn between(method: u8, sum: Option<u16>) -> usize {
    if method == Method::Gue as u8 {
        12
    } else if method != Method::Gre as u8 {
        0
    } else if sum.is_some() {
        8
    } else {
        4
    }
}

/// What the outer network header says that it carries.
#[inline(always)]
pub(super) const fn protocol_of(method: u8, ipv6_inside: bool) -> u8 {
    if method == Method::Gue as u8 {
        protocol::UDP
    } else if method == Method::Gre as u8 {
        protocol::GRE
    } else if ipv6_inside {
        protocol::IPV6
    } else {
        protocol::IPV4
    }
}

/// Writes what is between the outer network header and the packet; `addresses` is the sum of the outer addresses.
///
/// # Safety
/// Twelve bytes at `at` must be writable.
#[inline(always)]
pub(super) unsafe fn put_between(
    at: *mut u8,
    outer: &Outer,
    entry: &BackendEntry,
    method: u8,
    addresses: u64,
) {
    // SAFETY: as the caller promised.
    unsafe {
        if method == Method::Gue as u8 {
            // Ephemeral ports, so that whoever spreads flows by ports spreads these (RFC 7510 section 3.1).
            let source = (0xC000 | outer.entropy as u16 & 0x3FFF).to_be();
            let ports = u32::from(source) | u32::from(entry.port()) << 16;
            let ports = if cfg!(target_endian = "big") {
                ports.rotate_left(16)
            } else {
                ports
            };
            let length = (outer.length + 12).to_be();
            let inside = if outer.ipv6_inside {
                protocol::IPV6
            } else {
                protocol::IPV4
            };
            // Variant 0, no options, no flags.
            let gue = u32::from_be(u32::from(inside) << 16);
            let checksum = match outer.sum {
                None => 0,
                Some(sum) => {
                    let pseudo = addresses + u64::from(u16::from(protocol::UDP).to_be()) + u64::from(length);
                    let own = u64::from(ports) + u64::from(length) + u64::from(gue);
                    match !fold(pseudo + own + u64::from(sum)) {
                        0 => 0xFFFF,
                        checksum => checksum,
                    }
                }
            };
            at.cast::<u32>().write_volatile(ports);
            at.add(4).cast::<u16>().write_volatile(length);
            at.add(6).cast::<u16>().write_volatile(checksum);
            at.add(8).cast::<u32>().write_volatile(gue);
        } else if method == Method::Gre as u8 {
            let inside: u16 = if outer.ipv6_inside { 0x86DD } else { 0x0800 };
            let flags: u16 = if outer.sum.is_some() { 0x8000 } else { 0 };
            let first = u32::from_be(u32::from(flags) << 16 | u32::from(inside));
            at.cast::<u32>().write_volatile(first);
            if let Some(sum) = outer.sum {
                let checksum = !fold(u64::from(first) + u64::from(sum));
                at.add(4).cast::<u16>().write_volatile(checksum);
                at.add(6).cast::<u16>().write_volatile(0);
            }
        }
    }
}
