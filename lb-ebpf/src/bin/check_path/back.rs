//! On the way back: from the backend instead of the VIP. ICMP errors about a check are led back likewise.

use aya_ebpf::programs::TcContext;
use lb_common::abi::{CheckReturn, check_is_v4};

use crate::{
    family,
    headers::{End, Header, ICMP, ICMPV6, Strange, difference},
    maps::RETURNS,
};

const DESTINATION_UNREACHABLE: u8 = 3;
const DESTINATION_UNREACHABLE_V6: u8 = 1;

#[inline(always)]
pub(crate) fn rewrite(packet: &TcContext) -> Result<(), Strange> {
    let header = Header::first(packet)?;
    let source = header.address(packet, End::Source)?;
    match header.protocol {
        ICMP | ICMPV6 => error(packet, &header),
        _ => {
            let way_back = way_back(header.place(packet, End::Destination)?)?;
            if way_back.vip != source || way_back.backend == [0; 4] {
                return Ok(());
            }
            if check_is_v4(&way_back.backend) == header.is_v4 {
                header.replace(packet, End::Source, &source, &way_back.backend)
            } else {
                family::change(packet, &header, &way_back.backend, &way_back.local).map(drop)
            }
        }
    }
}

/// An error that says what it is about: a packet of ours, as it was on the wire.
#[inline(always)]
fn error(packet: &TcContext, outer: &Header) -> Result<(), Strange> {
    let kind: u8 = packet.load(outer.end())?;
    let unreachable = if outer.is_v4 {
        DESTINATION_UNREACHABLE
    } else {
        DESTINATION_UNREACHABLE_V6
    };
    if kind != unreachable {
        return Ok(());
    }
    let inner = Header::at(packet, outer.end() + 8, outer.is_v4, !outer.is_v4)?;
    let asked = inner.address(packet, End::Destination)?;
    let way_back = way_back(inner.place(packet, End::Source)?)?;
    if way_back.vip != asked || way_back.backend == [0; 4] {
        return Ok(());
    }
    if check_is_v4(&way_back.backend) != outer.is_v4 {
        // A socket of the other family cannot be told.
        return Ok(());
    }
    if !outer.is_v4 {
        // In IPv4 the inner header's own checksum makes up for it.
        packet.l4_csum_replace(outer.end() + 2, 0, difference(&asked, &way_back.backend), 0)?;
    }
    inner.store(packet, End::Destination, &asked, &way_back.backend)?;
    let source = outer.address(packet, End::Source)?;
    if source == asked {
        outer.replace(packet, End::Source, &source, &way_back.backend)?;
    }
    Ok(())
}

#[inline(always)]
fn way_back(place: u32) -> Result<CheckReturn, Strange> {
    RETURNS.get(place).copied().ok_or(Strange)
}
