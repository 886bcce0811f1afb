//! On the way out: to the VIP instead of the backend's own address, and into the backend's tunnel where it has one.

use aya_ebpf::programs::TcContext;
use lb_common::abi::{CHECK_MARK, CHECK_MARK_MASK, CheckReturn, check_is_v4};

use crate::{
    family,
    headers::{End, Header, Strange},
    maps::{RETURNS, ROUTES},
    tunnel,
};

/// What becomes of a packet.
pub(crate) enum Fate {
    /// It goes on.
    Goes,
    /// It is a check's, and must not leave as it is.
    Dropped,
}

#[inline(always)]
pub(crate) fn rewrite(packet: &TcContext) -> Result<Fate, Strange> {
    let header = Header::first(packet)?;
    let place = header.place(packet, End::Source)?;
    let destination = header.address(packet, End::Destination)?;
    let way_back = RETURNS.get_ptr_mut(place).ok_or(Strange)?;
    // SAFETY: the context is the kernel's.
    let mark = unsafe { (*packet.skb.skb).mark };
    if mark & CHECK_MARK_MASK != CHECK_MARK {
        // SAFETY: the map's, and never freed; a race between two packets of one port is one between two words.
        let way_back = unsafe { &mut *way_back };
        if way_back.vip == destination {
            // Somebody else has the port now, and talks to the VIP as any client does.
            *way_back = CheckReturn::default();
        }
        return Ok(Fate::Goes);
    }
    let local = header.address(packet, End::Source)?;
    let number = mark & !CHECK_MARK_MASK;
    let vip = ROUTES.get(number).ok_or(Strange)?.vip;
    // SAFETY: as above.
    unsafe {
        *way_back = CheckReturn {
            vip,
            backend: destination,
            local,
        };
    }
    Ok(match lead(packet, header, number) {
        Ok(()) => Fate::Goes,
        Err(Strange) => Fate::Dropped,
    })
}

#[inline(always)]
fn lead(packet: &TcContext, header: Header, number: u32) -> Result<(), Strange> {
    let route = ROUTES.get(number).ok_or(Strange)?;
    let header = if check_is_v4(&route.vip) == header.is_v4 {
        let destination = header.address(packet, End::Destination)?;
        header.replace(packet, End::Destination, &destination, &route.vip)?;
        header
    } else {
        family::change(packet, &header, &route.source, &route.vip)?
    };
    tunnel::wrap(packet, &header, number)
}
