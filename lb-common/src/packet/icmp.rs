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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_request_of_the_right_family_counts() {
        let v4: &[u8] = &[0xEE, 8, 0, 0xF7, 0xFE, 0, 1, 0, 0];
        let v6: &[u8] = &[0xEE, 128, 0, 0, 0, 0, 1, 0, 0];
        assert!(is_echo_request4(v4, protocol::ICMP, 1, 8));
        assert!(is_echo_request6(v6, protocol::ICMPV6, 1, 8));
        assert!(
            !is_echo_request4(v4, protocol::ICMPV6, 1, 8),
            "of the other family"
        );
        assert!(!is_echo_request6(v6, protocol::ICMP, 1, 8), "of the other family");
        assert!(
            !is_echo_request4(v4, protocol::ICMP, 1, 7),
            "in the frame's padding"
        );
        assert!(
            !is_echo_request6(v6, protocol::ICMPV6, 1, 7),
            "in the frame's padding"
        );
        assert!(!is_echo_request4(&v4[..8], protocol::ICMP, 1, 8), "cut off");
        for (kind, code) in [(0, 0), (3, 0), (8, 1), (128, 0)] {
            let other: &[u8] = &[kind, code, 0, 0, 0, 0, 0, 0];
            assert!(!is_echo_request4(other, protocol::ICMP, 0, 8), "{kind} {code}");
        }
        for (kind, code) in [(8, 0), (129, 0), (135, 0), (128, 1)] {
            let other: &[u8] = &[kind, code, 0, 0, 0, 0, 0, 0];
            assert!(!is_echo_request6(other, protocol::ICMPV6, 0, 8), "{kind} {code}");
        }
    }
}
