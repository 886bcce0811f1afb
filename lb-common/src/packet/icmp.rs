//! ICMP echo (RFC 792, RFC 4443 section 4).

use super::{Frame, protocol};

/// Type of an echo request over IPv4; the reply's is 0.
pub const ECHO_REQUEST_V4: u8 = 8;
/// Type of an echo request over IPv6; the reply's is one more.
pub const ECHO_REQUEST_V6: u8 = 128;

/// Whether the IP payload at `offset` is an echo request.
#[inline(always)]
pub fn is_echo_request<F: Frame + ?Sized>(frame: &F, protocol: u8, offset: usize) -> bool {
    let wanted = match protocol {
        protocol::ICMP => ECHO_REQUEST_V4,
        protocol::ICMPV6 => ECHO_REQUEST_V6,
        _ => return false,
    };
    frame
        .window::<8>(offset)
        .is_some_and(|header| header.byte::<0>() == wanted && header.byte::<1>() == 0)
}
