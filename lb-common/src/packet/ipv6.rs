//! IPv6 (RFC 8200).

use super::{Frame, Window, protocol};
use crate::reason::Reason;

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
        if self.fixed.byte::<0>() >> 4 != 6 {
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
        let next = self.fixed.byte::<6>();
        let payload = Payload {
            protocol: next,
            offset: self.offset + FIXED,
            length,
        };
        match next {
            protocol::TCP | protocol::UDP | protocol::ICMPV6 => Ok(payload),
            _ => skip_extensions(frame, payload),
        }
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
