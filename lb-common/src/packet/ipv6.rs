//! IPv6 (RFC 8200).

use super::{Frame, Window, protocol};
use crate::{reason::Reason, verifier::forget};

/// Extension headers that the parser follows before it gives up.
pub const MAX_EXTENSIONS: usize = 6;

const FIXED: usize = 40;

/// The network header of a packet whose destination has been looked at, nothing else yet.
#[derive(Clone, Copy)]
pub struct Ipv6<'a> {
    fixed: Window<'a, FIXED>,
    offset: usize,
}

/// Where the payload of a packet lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// Protocol of the payload, behind all extension headers.
    pub protocol: u8,
    /// Offset in the frame, in bytes.
    pub offset: usize,
    /// Length in bytes.
    pub length: usize,
}

impl<'a> Ipv6<'a> {
    /// The header at `offset`, unchecked but for its presence.
    ///
    /// # Errors
    /// [`Reason::Truncated`].
    #[inline(always)]
    pub fn at<F: Frame + ?Sized>(frame: &'a F, offset: usize) -> Result<Self, Reason> {
        let fixed = frame.window(offset).ok_or(Reason::Truncated)?;
        Ok(Self { fixed, offset })
    }

    /// Source address as it lies in memory (network order), in two words.
    #[inline(always)]
    #[must_use]
    pub fn source(&self) -> [u64; 2] {
        [self.fixed.raw64::<8>(), self.fixed.raw64::<16>()]
    }

    /// Destination address as it lies in memory (network order), in two words.
    #[inline(always)]
    #[must_use]
    pub fn destination(&self) -> [u64; 2] {
        [self.fixed.raw64::<24>(), self.fixed.raw64::<32>()]
    }

    /// Protocol of what follows the fixed header.
    #[inline(always)]
    #[must_use]
    pub fn next_header(&self) -> u8 {
        self.fixed.byte::<6>()
    }

    /// Hop limit.
    #[inline(always)]
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        self.fixed.byte::<7>()
    }

    /// The checked header and the payload behind the extension headers.
    ///
    /// # Errors
    /// Any reason for which an IPv6 packet to a VIP is not balanced.
    #[inline(always)]
    pub fn validate<F: Frame + ?Sized>(&self, frame: &F) -> Result<Payload, Reason> {
        if !self.is_version_6() {
            return Err(Reason::BadIpHeader);
        }
        let length = usize::from(self.fixed.be16::<4>());
        if !frame.reaches(self.offset + FIXED + length) {
            return Err(Reason::BadIpHeader);
        }
        if self.hop_limit() == 0 {
            return Err(Reason::TtlExpired);
        }
        if is_martian(self.source()) || self.source() == self.destination() {
            return Err(Reason::MartianSource);
        }
        self.payload(frame, length)
    }

    /// Length of what follows the fixed header in bytes, if nothing is wrong with that but perhaps its addresses. Otherwise
    /// [`Self::validate`] knows more.
    #[inline(always)]
    pub(super) fn usual_payload<F: Frame + ?Sized>(&self, frame: &F) -> Option<usize> {
        let length = usize::from(self.fixed.be16::<4>());
        let is_usual =
            self.is_version_6() && frame.reaches(self.offset + FIXED + length) && self.hop_limit() != 0;
        is_usual.then_some(length)
    }

    /// Whether the version is the one that a header behind IPv6's EtherType has.
    #[inline(always)]
    pub(super) fn is_version_6(&self) -> bool {
        self.fixed.byte::<0>() >> 4 == 6
    }

    /// What is behind the extension headers, where `length` bytes follow the fixed header.
    #[inline(always)]
    pub(super) fn payload<F: Frame + ?Sized>(&self, frame: &F, length: usize) -> Result<Payload, Reason> {
        let next = self.fixed.byte::<6>();
        let payload = Payload {
            protocol: next,
            offset: self.offset + FIXED,
            length,
        };
        let payload = match next {
            protocol::TCP | protocol::UDP | protocol::ICMPV6 | protocol::SCTP => payload,
            _ => skip_extensions(frame, payload)?,
        };
        let noise = frame.noise();
        Ok(Payload {
            offset: forget::<0x7FFF>(payload.offset, noise),
            length: forget::<0xFFFF>(payload.length, noise),
            ..payload
        })
    }
}

/// Steps over hop-by-hop options, routing headers and destination options.
#[inline(always)]
fn skip_extensions<F: Frame + ?Sized>(frame: &F, mut payload: Payload) -> Result<Payload, Reason> {
    for _ in 0..MAX_EXTENSIONS {
        match payload.protocol {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {}
            protocol::FRAGMENT => return Err(Reason::Fragment),
            _ => return Ok(payload),
        }
        let extension = frame.window::<8>(payload.offset).ok_or(Reason::Truncated)?;
        let length = (usize::from(extension.byte::<1>()) + 1) * 8;
        if length > payload.length {
            return Err(Reason::BadIpHeader);
        }
        if payload.protocol == protocol::ROUTING && extension.byte::<3>() != 0 {
            return Err(Reason::RoutingHeader);
        }
        payload = Payload {
            protocol: extension.byte::<0>(),
            offset: payload.offset + length,
            length: payload.length - length,
        };
    }
    match payload.protocol {
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
            Err(Reason::TooManyExtensions)
        }
        protocol::FRAGMENT => Err(Reason::Fragment),
        _ => Ok(payload),
    }
}

/// Whether no client can have this source address: multicast, unspecified and loopback (RFC 4291 sections 2.5 and 2.7).
#[inline(always)]
fn is_martian(source: [u64; 2]) -> bool {
    let first = source[0].to_ne_bytes()[0];
    // `::` and `::1` differ in the last bit of the second word alone.
    first == 0xFF || (source[0] == 0 && source[1] & u64::to_be(!1) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The header does not begin the frame.
    const OFFSET: usize = 18;
    const CLIENT: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    const VIP: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16];

    /// A packet whose first header is `next`.
    fn frame(next: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = std::vec![0xEE; OFFSET];
        frame.extend([0x6A, 0xBC, 0xDE, 0xF0, 0, payload.len() as u8, next, 61]);
        frame.extend(CLIENT);
        frame.extend(VIP);
        frame.extend(payload);
        frame
    }

    /// A chain of extension headers of eight bytes each, and an upper header of four.
    fn chain(kinds: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        for next in kinds[1..].iter().chain(&[protocol::UDP]) {
            payload.extend([*next, 0, 1, 0, 0, 0, 0, 0]);
        }
        payload.extend([0xCC; 4]);
        frame(kinds[0], &payload)
    }

    fn validate(frame: &[u8]) -> Result<Payload, Reason> {
        Ipv6::at(frame, OFFSET)?.validate(frame)
    }

    #[test]
    fn a_good_header_is_taken_apart() {
        let frame = frame(protocol::TCP, &[0xCC; 24]);
        let ip = Ipv6::at(&frame[..], OFFSET).unwrap();
        assert_eq!(ip.source().map(u64::to_ne_bytes).concat(), CLIENT);
        assert_eq!(ip.destination().map(u64::to_ne_bytes).concat(), VIP);
        assert_eq!(ip.hop_limit(), 61);
        let expected = Payload {
            protocol: protocol::TCP,
            offset: OFFSET + 40,
            length: 24,
        };
        assert_eq!(ip.validate(&frame[..]), Ok(expected));
    }

    #[test]
    fn as_many_extension_headers_as_promised_are_stepped_over() {
        for count in 1..=MAX_EXTENSIONS {
            let kinds = [
                protocol::HOP_BY_HOP,
                protocol::DESTINATION_OPTIONS,
                protocol::ROUTING,
            ];
            let kinds: Vec<u8> = kinds.into_iter().cycle().take(count).collect();
            let expected = Payload {
                protocol: protocol::UDP,
                offset: OFFSET + 40 + 8 * count,
                length: 4,
            };
            assert_eq!(validate(&chain(&kinds)), Ok(expected), "{count}");
        }
        let many = [protocol::DESTINATION_OPTIONS; MAX_EXTENSIONS + 1];
        assert_eq!(validate(&chain(&many)), Err(Reason::TooManyExtensions));
        let mut last = many;
        last[MAX_EXTENSIONS] = protocol::FRAGMENT;
        assert_eq!(validate(&chain(&last)), Err(Reason::Fragment));
        assert_eq!(validate(&chain(&[protocol::FRAGMENT])), Err(Reason::Fragment));
    }

    #[test]
    fn an_extension_header_is_as_long_as_it_says() {
        let mut payload = [0; 24];
        (payload[0], payload[1]) = (protocol::TCP, 1);
        let good = frame(protocol::DESTINATION_OPTIONS, &payload);
        let expected = Payload {
            protocol: protocol::TCP,
            offset: OFFSET + 40 + 16,
            length: 8,
        };
        assert_eq!(validate(&good), Ok(expected));
        for (length, expected) in [
            (2, Ok(0)),
            (3, Err(Reason::BadIpHeader)),
            (255, Err(Reason::BadIpHeader)),
        ] {
            payload[1] = length;
            let outcome = validate(&frame(protocol::DESTINATION_OPTIONS, &payload));
            assert_eq!(outcome.map(|payload| payload.length), expected, "{length}");
        }
    }

    #[test]
    fn each_lie_has_its_reason() {
        let routing = frame(protocol::ROUTING, &[protocol::TCP, 0, 2, 1, 0, 0, 0, 0]);
        assert_eq!(validate(&routing), Err(Reason::RoutingHeader));
        for (at, bytes, reason) in [
            (0, &[0x4A][..], Reason::BadIpHeader),
            (4, &[0, 25], Reason::BadIpHeader),
            (4, &[0xFF, 0xFF], Reason::BadIpHeader),
            (7, &[0], Reason::TtlExpired),
            (8, &[0; 16], Reason::MartianSource),
            (
                8,
                &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                Reason::MartianSource,
            ),
            (8, &[0xFF, 0x02], Reason::MartianSource),
            (8, &VIP, Reason::MartianSource),
        ] {
            let mut frame = frame(protocol::TCP, &[0xCC; 24]);
            frame[OFFSET + at..OFFSET + at + bytes.len()].copy_from_slice(bytes);
            assert_eq!(validate(&frame), Err(reason), "{bytes:02x?} at {at}");
        }
    }

    #[test]
    fn a_frame_that_ends_inside_the_packet_is_refused() {
        let whole = chain(&[protocol::HOP_BY_HOP, protocol::DESTINATION_OPTIONS]);
        for length in 0..whole.len() {
            let expected = if length < OFFSET + 40 {
                Reason::Truncated
            } else {
                Reason::BadIpHeader
            };
            assert_eq!(validate(&whole[..length]), Err(expected), "{length}");
        }
    }
}
