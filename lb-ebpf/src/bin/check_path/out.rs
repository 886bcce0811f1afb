//! On the way out: to the VIP instead of the backend's own address.

use aya_ebpf::programs::TcContext;
use lb_common::abi::{CHECK_MARK, CHECK_MARK_MASK, CheckReturn};

use crate::{
    headers::{End, Header, Strange},
    maps::{RETURNS, VIPS},
};

#[inline(always)]
pub(crate) fn rewrite(packet: &TcContext) -> Result<(), Strange> {
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
        return Ok(());
    }
    let vip = *VIPS.get(mark & !CHECK_MARK_MASK).ok_or(Strange)?;
    // SAFETY: as above.
    unsafe {
        *way_back = CheckReturn {
            vip,
            backend: destination,
        };
    }
    header.replace(packet, End::Destination, &destination, &vip)
}
