//! IPv4 (RFC 791).

use super::{Frame, Window};
use crate::{checksum, reason::Reason};

/// Header length without options, in bytes.
const FIXED: usize = 20;
/// More-fragments flag and fragment offset.
const FRAGMENT_BITS: u16 = 0x3FFF;

/// The network header of a packet whose destination has been looked at, nothing else yet.
#[derive(Clone, Copy)]
pub struct Ipv4<'a> {
    fixed: Window<'a, FIXED>,
    offset: usize,
}

impl<'a> Ipv4<'a> {
    /// The header at `offset`, unchecked but for its presence.
    ///
    /// # Errors
    /// [`Reason::Truncated`].
    #[inline(always)]
    pub fn at<F: Frame + ?Sized>(frame: &'a F, offset: usize) -> Result<Self, Reason> {
        let fixed = frame.window(offset).ok_or(Reason::Truncated)?;
        Ok(Self { fixed, offset })
    }

    /// Source address as it lies in memory (network order).
    #[inline(always)]
    #[must_use]
    pub fn source(&self) -> u32 {
        self.fixed.raw32::<12>()
    }

    /// Destination address as it lies in memory (network order).
    #[inline(always)]
    #[must_use]
    pub fn destination(&self) -> u32 {
        self.fixed.raw32::<16>()
    }

    /// Protocol of the payload.
    #[inline(always)]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.fixed.byte::<9>()
    }

    /// Time to live, in hops.
    #[inline(always)]
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.fixed.byte::<8>()
    }

    /// The checked header: offset of the payload in the frame and its length, both in bytes.
    ///
    /// # Errors
    /// Any reason for which an IPv4 packet to a VIP is not balanced.
    #[inline(always)]
    pub fn validate<F: Frame + ?Sized>(&self, frame: &F) -> Result<(usize, usize), Reason> {
        let version_and_length = self.fixed.byte::<0>();
        let header = usize::from(version_and_length & 0x0F) * 4;
        if version_and_length >> 4 != 4 || header < FIXED {
            return Err(Reason::BadIpHeader);
        }
        let total = usize::from(self.fixed.be16::<2>());
        if total < header || !frame.reaches(self.offset + total) {
            return Err(Reason::BadIpHeader);
        }
        if self.sum(frame, header)? != 0xFFFF {
            return Err(Reason::BadIpChecksum);
        }
        if self.ttl() == 0 {
            return Err(Reason::TtlExpired);
        }
        if is_martian(self.source()) || self.source() == self.destination() {
            return Err(Reason::MartianSource);
        }
        if self.fixed.be16::<6>() & FRAGMENT_BITS != 0 {
            return Err(Reason::Fragment);
        }
        Ok((self.offset + header, total - header))
    }

    /// One's complement sum over the header with its options; 0xFFFF when the checksum is right.
    #[inline(always)]
    fn sum<F: Frame + ?Sized>(&self, frame: &F, header: usize) -> Result<u16, Reason> {
        let mut sum = u64::from(self.fixed.raw32::<0>())
            + u64::from(self.fixed.raw32::<4>())
            + u64::from(self.fixed.raw32::<8>())
            + u64::from(self.fixed.raw32::<12>())
            + u64::from(self.fixed.raw32::<16>());
        if header > FIXED {
            // At most 40 bytes of options, in words of four.
            for word in 0..10 {
                let at = FIXED + word * 4;
                if at >= header {
                    break;
                }
                let option = frame.window::<4>(self.offset + at).ok_or(Reason::Truncated)?;
                sum += u64::from(option.raw32::<0>());
            }
        }
        Ok(checksum::fold(sum))
    }
}

/// Whether no client can have this source address: this-network, loopback, multicast, reserved and broadcast
/// (RFC 1122 section 3.2.1.3, RFC 6890).
#[inline(always)]
fn is_martian(source: u32) -> bool {
    let first = source.to_ne_bytes()[0];
    first == 0 || first == 127 || first >= 224
}
