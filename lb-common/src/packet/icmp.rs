//! ICMP (RFC 792, RFC 4443): echo requests, which the director answers, and errors, which belong to a flow.

use super::Frame;

/// Type of an echo request over IPv4; the reply's is 0.
pub const ECHO_REQUEST_V4: u8 = 8;
/// Type of an echo request over IPv6; the reply's is one more.
pub const ECHO_REQUEST_V6: u8 = 128;

/// Length of the header of every message, in bytes; behind it an error quotes a packet.
pub(super) const HEADER: usize = 8;

/// The messages that are more to the pipeline than a packet without ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icmp {
    /// An echo request.
    EchoRequest,
    /// An error that quotes the packet it is about, and that whoever sent that packet acts upon: destination
    /// unreachable, packet too big, time exceeded, parameter problem. Source quench is obsolete (RFC 6633), and a
    /// redirect is for the host that sent the packet itself, so neither is one.
    Error,
}

impl Icmp {
    /// What the ICMP message at `offset`, `length` bytes long, is.
    #[inline(always)]
    pub fn of_v4<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize) -> Option<Self> {
        match kind_and_code(frame, offset, length)? {
            (ECHO_REQUEST_V4, 0) => Some(Self::EchoRequest),
            (3 | 11 | 12, _) => Some(Self::Error),
            _ => None,
        }
    }

    /// What the ICMPv6 message at `offset`, `length` bytes long, is.
    #[inline(always)]
    pub fn of_v6<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize) -> Option<Self> {
        match kind_and_code(frame, offset, length)? {
            (ECHO_REQUEST_V6, 0) => Some(Self::EchoRequest),
            (1..=4, _) => Some(Self::Error),
            _ => None,
        }
    }
}

/// Type and code, if there is a whole header. The length is the packet's: what follows it in the frame is padding.
#[inline(always)]
fn kind_and_code<F: Frame + ?Sized>(frame: &F, offset: usize, length: usize) -> Option<(u8, u8)> {
    if length < HEADER {
        return None;
    }
    let header = frame.window::<HEADER>(offset)?;
    Some((header.byte::<0>(), header.byte::<1>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(bytes: &[u8], length: usize) -> Option<Icmp> {
        Icmp::of_v4(bytes, 1, length)
    }

    fn v6(bytes: &[u8], length: usize) -> Option<Icmp> {
        Icmp::of_v6(bytes, 1, length)
    }

    #[test]
    fn only_a_whole_message_counts() {
        let ping4 = [0xEE, 8, 0, 0xF7, 0xFE, 0, 1, 0, 0];
        let ping6 = [0xEE, 128, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(v4(&ping4, 8), Some(Icmp::EchoRequest));
        assert_eq!(v6(&ping6, 8), Some(Icmp::EchoRequest));
        assert_eq!(v4(&ping4, 7), None, "in the frame's padding");
        assert_eq!(v6(&ping6, 7), None, "in the frame's padding");
        assert_eq!(v4(&ping4[..8], 8), None, "cut off");
    }

    #[test]
    fn every_type_and_code_is_what_the_rfcs_say() {
        for kind in 0..=255 {
            for code in [0, 1, 4, 255] {
                let message = [0xEE, kind, code, 0, 0, 0, 0, 0, 0];
                let expected = match (kind, code) {
                    (8, 0) => Some(Icmp::EchoRequest),
                    (3 | 11 | 12, _) => Some(Icmp::Error),
                    _ => None,
                };
                assert_eq!(v4(&message, 8), expected, "{kind} {code}");
                let expected = match (kind, code) {
                    (128, 0) => Some(Icmp::EchoRequest),
                    (1..=4, _) => Some(Icmp::Error),
                    _ => None,
                };
                assert_eq!(v6(&message, 8), expected, "{kind} {code}");
            }
        }
    }
}
