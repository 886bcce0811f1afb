//! ICMP echo (RFC 792, RFC 4443 section 4).

use super::{Frame, protocol};

/// Type of an echo request over IPv4; the reply's is 0.
pub const ECHO_REQUEST_V4: u8 = 8;
/// Type of an echo request over IPv6; the reply's is one more.
pub const ECHO_REQUEST_V6: u8 = 128;

const HEADER: usize = 8;

/// Whether the IPv4 payload at `offset`, `length` bytes long, is an echo request.
#[inline(always)]
pub fn is_echo_request4<F: Frame + ?Sized>(frame: &F, protocol: u8, offset: usize, length: usize) -> bool {
    protocol == protocol::ICMP && begins_with(frame, ECHO_REQUEST_V4, offset, length)
}

/// Whether the IPv6 payload at `offset`, `length` bytes long, is an echo request.
#[inline(always)]
pub fn is_echo_request6<F: Frame + ?Sized>(frame: &F, protocol: u8, offset: usize, length: usize) -> bool {
    protocol == protocol::ICMPV6 && begins_with(frame, ECHO_REQUEST_V6, offset, length)
}

/// Whether there is a whole header of this type and of code 0. The length is the packet's: what follows it in the frame
/// is padding.
#[inline(always)]
fn begins_with<F: Frame + ?Sized>(frame: &F, kind: u8, offset: usize, length: usize) -> bool {
    length >= HEADER
        && frame
            .window::<HEADER>(offset)
            .is_some_and(|header| header.byte::<0>() == kind && header.byte::<1>() == 0)
}
