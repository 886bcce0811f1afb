//! IPv4 (RFC 791).

use super::{Frame, Window};
use crate::{checksum, reason::Reason, verifier::forget};

/// Header length without options, in bytes.
const FIXED: usize = 20;
/// Version 4, and the length of a header without options, as the first byte has them.
const USUAL: u8 = 0x45;
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

    /// Whether it is a part of a packet.
    #[inline(always)]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.fixed.be16::<6>() & FRAGMENT_BITS != 0
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
        if !checksum::is_whole(self.sum(frame, header)?) {
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
        let noise = frame.noise();
        // Without options, as nearly always, what is behind this header can be read without waiting for its length.
        let header = if header == FIXED {
            forget::<63>(FIXED, noise)
        } else {
            header
        };
        Ok((
            forget::<127>(self.offset + header, noise),
            forget::<0xFFFF>(total - header, noise),
        ))
    }

    /// Length of the payload in bytes, if the header has no options and nothing is wrong with it but perhaps its addresses, and the
    /// packet is whole. Otherwise [`Self::validate`] knows more.
    #[inline(always)]
    pub(super) fn usual_payload<F: Frame + ?Sized>(&self, frame: &F) -> Option<usize> {
        let total = usize::from(self.fixed.be16::<2>());
        let is_usual = self.fixed.byte::<0>() == USUAL
            && total >= FIXED
            && frame.reaches(self.offset + total)
            && !self.is_fragment()
            && self.ttl() != 0
            && checksum::is_whole(self.fixed_sum());
        is_usual.then(|| total - FIXED)
    }

    /// Sum of the words of the header without its options.
    #[inline(always)]
    fn fixed_sum(&self) -> u64 {
        u64::from(self.fixed.raw32::<0>())
            + u64::from(self.fixed.raw32::<4>())
            + u64::from(self.fixed.raw32::<8>())
            + u64::from(self.fixed.raw32::<12>())
            + u64::from(self.fixed.raw32::<16>())
    }

    /// Sum of the words of the header with its options.
    #[inline(always)]
    fn sum<F: Frame + ?Sized>(&self, frame: &F, header: usize) -> Result<u64, Reason> {
        let mut sum = self.fixed_sum();
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
        Ok(sum)
    }
}

/// Whether no client can have this source address: this-network, loopback, multicast, reserved and broadcast
/// (RFC 1122 section 3.2.1.3, RFC 6890).
#[inline(always)]
fn is_martian(source: u32) -> bool {
    let first = source.to_ne_bytes()[0];
    first == 0 || first == 127 || first >= 224
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// UDP from 192.168.0.1 to 192.168.0.199, 115 bytes in all, with a checksum that others computed.
    const HEADER: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0,
        0xa8, 0x00, 0xc7,
    ];
    const TOTAL: usize = 0x73;
    /// The header does not begin the frame.
    const OFFSET: usize = 14;

    fn frame(header: &[u8]) -> Vec<u8> {
        let mut frame = std::vec![0xEE; OFFSET];
        frame.extend(header);
        frame.resize(OFFSET + TOTAL, 0xDD);
        frame
    }

    /// The header with other bytes at `at` and the checksum that it needs then.
    fn changed(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut header = HEADER.to_vec();
        header[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut header);
        frame(&header)
    }

    fn seal(header: &mut [u8]) {
        header[10..12].fill(0);
        let sum = header
            .chunks(2)
            .map(|w| u64::from(u16::from_be_bytes([w[0], w[1]])))
            .sum();
        let checksum = !checksum::fold(sum);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }

    fn validate(frame: &[u8]) -> Result<(usize, usize), Reason> {
        Ipv4::at(frame, OFFSET)?.validate(frame)
    }

    #[test]
    fn a_good_header_is_taken_apart() {
        let frame = frame(&HEADER);
        let ip = Ipv4::at(&frame[..], OFFSET).unwrap();
        assert_eq!(ip.source().to_ne_bytes(), [192, 168, 0, 1]);
        assert_eq!(ip.destination().to_ne_bytes(), [192, 168, 0, 199]);
        assert_eq!((ip.protocol(), ip.ttl()), (17, 64));
        assert_eq!(ip.validate(&frame[..]), Ok((OFFSET + 20, TOTAL - 20)));
    }

    #[test]
    fn options_are_stepped_over_and_summed() {
        for words in 1..=10u8 {
            let mut header = HEADER.to_vec();
            header[0] = 0x45 + words;
            header.extend((0..4 * words).map(|n| n ^ 0x5A));
            seal(&mut header);
            let good = frame(&header);
            let length = 20 + 4 * usize::from(words);
            assert_eq!(validate(&good), Ok((OFFSET + length, TOTAL - length)));
            let mut bad = good;
            bad[OFFSET + length - 1] ^= 1;
            assert_eq!(validate(&bad), Err(Reason::BadIpChecksum), "{words} words");
        }
    }

    #[test]
    fn each_lie_has_its_reason() {
        for (at, bytes, reason) in [
            (0, &[0x65][..], Reason::BadIpHeader),
            (0, &[0x44], Reason::BadIpHeader),
            (0, &[0x40], Reason::BadIpHeader),
            (2, &[0, 19], Reason::BadIpHeader),
            (2, &[0, 0x74], Reason::BadIpHeader),
            (2, &[0xFF, 0xFF], Reason::BadIpHeader),
            (8, &[0], Reason::TtlExpired),
            (12, &[0, 0, 0, 0], Reason::MartianSource),
            (12, &[127, 0, 0, 1], Reason::MartianSource),
            (12, &[224, 0, 0, 1], Reason::MartianSource),
            (12, &[255, 255, 255, 255], Reason::MartianSource),
            (12, &[192, 168, 0, 199], Reason::MartianSource),
            (6, &[0x20, 0], Reason::Fragment),
            (6, &[0, 1], Reason::Fragment),
            (6, &[0x3F, 0xFF], Reason::Fragment),
        ] {
            assert_eq!(validate(&changed(at, bytes)), Err(reason), "{bytes:02x?} at {at}");
        }
        let mut bad = frame(&HEADER);
        bad[OFFSET + 11] ^= 1;
        assert_eq!(validate(&bad), Err(Reason::BadIpChecksum));
    }

    #[test]
    fn a_frame_that_ends_inside_the_packet_is_refused() {
        let whole = frame(&HEADER);
        for length in 0..whole.len() {
            let expected = if length < OFFSET + 20 {
                Reason::Truncated
            } else {
                Reason::BadIpHeader
            };
            assert_eq!(validate(&whole[..length]), Err(expected), "{length}");
        }
    }
}
