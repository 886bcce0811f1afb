//! Fragments (RFC 791 section 3.2, RFC 8200 section 4.5): which part of which packet it is.
//!
//! Only the first fragment of a packet has ports. So it is balanced like a whole packet, and its target is remembered under
//! [`Fragment::key4`] or [`Fragment::key6`], by which the others find it.

use super::{FlowKey4, FlowKey6, Frame, Ipv4, Ipv6, MAX_EXTENSIONS, Transport, protocol};
use crate::{reason::Reason, verifier::forget};

const FRAGMENT_HEADER: usize = 8;
/// More fragments follow, in IPv4's field of flags and offset.
const MORE_V4: u16 = 0x2000;
const OFFSET_V4: u16 = 0x1FFF;
/// More fragments follow, in IPv6's field of offset and flags.
const MORE_V6: u16 = 1;
const OFFSET_V6: u16 = 0xFFF8;
/// Longest payload of a packet.
const LONGEST: usize = 0xFFFF;

/// A fragment of a TCP segment or UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Protocol of the packet's payload.
    pub protocol: u8,
    /// What the sender calls the packet, as it lies in memory.
    pub identification: u32,
    /// Where in the packet's payload this part begins, in bytes.
    pub position: usize,
    /// Where in the frame this part lies.
    pub offset: usize,
    /// Its length in bytes.
    pub length: usize,
}

impl Fragment {
    /// The fragment in the packet whose IPv4 header is at `network`; that it is one, and the header is sound, is known.
    ///
    /// # Errors
    /// [`Reason::Fragment`] of another protocol, [`Reason::BadFragment`], [`Reason::Truncated`].
    #[inline(always)]
    pub fn of_v4<F: Frame + ?Sized>(frame: &F, network: usize) -> Result<Self, Reason> {
        let header = frame.window::<20>(network).ok_or(Reason::Truncated)?;
        let header_length = usize::from(header.byte::<0>() & 0x0F) * 4;
        let total = usize::from(header.be16::<2>());
        let field = header.be16::<6>();
        let fragment = Self {
            protocol: header.byte::<9>(),
            identification: header.raw16::<4>().into(),
            position: usize::from(field & OFFSET_V4) * 8,
            offset: network + header_length,
            length: total.saturating_sub(header_length),
        };
        fragment.check(field & MORE_V4 != 0)
    }

    /// The fragment in the packet whose IPv6 header is at `network`; that it is one, and the headers before the fragment
    /// header are sound, is known.
    ///
    /// # Errors
    /// [`Reason::Fragment`] of another protocol, [`Reason::BadFragment`], [`Reason::Truncated`].
    #[inline(always)]
    pub fn of_v6<F: Frame + ?Sized>(frame: &F, network: usize) -> Result<Self, Reason> {
        let header = frame.window::<40>(network).ok_or(Reason::Truncated)?;
        let (mut next, mut offset) = (header.byte::<6>(), network + 40);
        let end = offset + usize::from(header.be16::<4>());
        for _ in 0..MAX_EXTENSIONS {
            if next == protocol::FRAGMENT {
                break;
            }
            let extension = frame.window::<8>(offset).ok_or(Reason::Truncated)?;
            next = extension.byte::<0>();
            offset = (offset + (usize::from(extension.byte::<1>()) + 1) * 8) & 0x7FFF;
        }
        // However many headers there were.
        let offset = forget::<0x7FFF>(offset, frame.noise());
        let header = frame.window::<FRAGMENT_HEADER>(offset).ok_or(Reason::Truncated)?;
        if next != protocol::FRAGMENT {
            return Err(Reason::Fragment);
        }
        let offset = offset + FRAGMENT_HEADER;
        let field = header.be16::<2>();
        let fragment = Self {
            protocol: header.byte::<0>(),
            identification: header.raw32::<4>(),
            position: usize::from(field & OFFSET_V6),
            offset,
            length: end.saturating_sub(offset),
        };
        fragment.check(field & MORE_V6 != 0)
    }

    /// Refuses what no stack sends, and what only serves to hide a transport header (RFC 1858, RFC 3128).
    #[inline(always)]
    fn check(self, more: bool) -> Result<Self, Reason> {
        let header = match self.protocol {
            protocol::TCP => 20,
            protocol::UDP => 8,
            _ => return Err(Reason::Fragment),
        };
        let tiny = if self.position == 0 {
            self.length < header
        } else {
            self.position < header
        };
        let odd = more && !self.length.is_multiple_of(8);
        if tiny || odd || self.length == 0 || self.position + self.length > LONGEST {
            return Err(Reason::BadFragment);
        }
        Ok(self)
    }

    /// Whether it has the ports.
    #[inline(always)]
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.position == 0
    }

    /// Ports and flags of a first fragment.
    ///
    /// # Errors
    /// As [`Transport::parse`].
    #[inline(always)]
    pub fn transport<F: Frame + ?Sized>(&self, frame: &F) -> Result<Transport, Reason> {
        // The length of a datagram is that of all of its fragments.
        let length = if self.protocol == protocol::UDP {
            LONGEST
        } else {
            self.length
        };
        Transport::parse(frame, self.protocol, self.offset, length)
    }

    /// What the packet is remembered by.
    #[inline(always)]
    #[must_use]
    pub fn key4(&self, ip: &Ipv4<'_>) -> FlowKey4 {
        let name = self.identification | u32::from(self.protocol) << 16;
        FlowKey4::new(ip.source(), ip.destination(), name, protocol::FRAGMENTS)
    }

    /// What the packet is remembered by.
    #[inline(always)]
    #[must_use]
    pub fn key6(&self, ip: &Ipv6<'_>) -> FlowKey6 {
        FlowKey6::new(
            ip.source(),
            ip.destination(),
            self.identification,
            protocol::FRAGMENTS,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// An IPv4 header behind 14 bytes, with this protocol and these flags and offset, and so many bytes more.
    fn v4(protocol: u8, field: u16, length: usize) -> Vec<u8> {
        let mut frame = std::vec![0xEE; 14];
        frame.extend([0x45, 0]);
        frame.extend((20 + length as u16).to_be_bytes());
        frame.extend([0xAB, 0xCD]);
        frame.extend(field.to_be_bytes());
        frame.extend([61, protocol, 0, 0, 198, 51, 100, 7, 192, 0, 2, 10]);
        frame.extend([0, 7, 0, 53].into_iter().chain([1; 70_000]).take(length));
        frame
    }

    /// An IPv6 header behind 14 bytes, a header of options, and a fragment header.
    fn v6(protocol: u8, field: u16, length: usize) -> Vec<u8> {
        let mut frame = std::vec![0xEE; 14];
        frame.extend([0x60, 0, 0, 0]);
        frame.extend((16 + length as u16).to_be_bytes());
        frame.extend([protocol::DESTINATION_OPTIONS, 61]);
        frame.extend([0x20; 32]);
        frame.extend([protocol::FRAGMENT, 0, 1, 4, 0, 0, 0, 0]);
        frame.extend([protocol, 0]);
        frame.extend(field.to_be_bytes());
        frame.extend([1, 2, 3, 4]);
        frame.extend([0, 7, 0, 53].into_iter().chain([1; 70_000]).take(length));
        frame
    }

    #[test]
    fn parts_are_told_apart() {
        let first = Fragment::of_v4(&v4(17, 0x2000, 1480)[..], 14).unwrap();
        assert_eq!((first.position, first.offset, first.length), (0, 34, 1480));
        assert_eq!(first.identification.to_le_bytes(), [0xAB, 0xCD, 0, 0]);
        assert!(first.is_first());
        let last = Fragment::of_v4(&v4(17, 185, 13)[..], 14).unwrap();
        assert_eq!((last.position, last.length), (1480, 13));
        assert!(!last.is_first());

        let first = Fragment::of_v6(&v6(17, 1, 1432)[..], 14).unwrap();
        assert_eq!((first.position, first.offset, first.length), (0, 70, 1432));
        assert_eq!(first.identification.to_le_bytes(), [1, 2, 3, 4]);
        let last = Fragment::of_v6(&v6(17, 1432, 3)[..], 14).unwrap();
        assert_eq!((last.position, last.length), (1432, 3));
    }

    #[test]
    fn all_parts_of_a_packet_have_one_key() {
        let key4 = |frame: &[u8]| {
            let fragment = Fragment::of_v4(frame, 14).unwrap();
            fragment.key4(&Ipv4::at(frame, 14).unwrap())
        };
        assert_eq!(key4(&v4(17, 0x2000, 80)), key4(&v4(17, 10, 7)));
        assert_ne!(key4(&v4(17, 0x2000, 80)), key4(&v4(6, 10, 7)));
        let key6 = |frame: &[u8]| {
            let fragment = Fragment::of_v6(frame, 14).unwrap();
            fragment.key6(&Ipv6::at(frame, 14).unwrap())
        };
        assert_eq!(key6(&v6(17, 1, 80)), key6(&v6(17, 80, 7)));
    }

    #[test]
    fn a_first_fragment_has_the_ports_of_the_whole() {
        let mut frame = v4(17, 0x2000, 1480);
        frame[38..40].copy_from_slice(&8008_u16.to_be_bytes());
        let fragment = Fragment::of_v4(&frame[..], 14).unwrap();
        let ports = fragment.transport(&frame[..]).unwrap().ports;
        assert_eq!(ports.to_le_bytes(), [0, 7, 0, 53]);
    }

    #[test]
    fn what_no_stack_sends_is_refused() {
        for (protocol, field, length) in [
            // A first fragment without its whole header, and a later one that writes over it.
            (6, 0x2000, 16),
            (17, 0x2000, 0),
            (6, 1, 100),
            (6, 2, 100),
            // A length that is no multiple of eight although more follows, nothing at all, and beyond the end.
            (17, 0x2000, 1481),
            (17, 0x2001, 9),
            (17, 100, 0),
            (17, 0x1FFF, 16),
        ] {
            let v4 = v4(protocol, field, length);
            assert_eq!(
                Fragment::of_v4(&v4[..], 14),
                Err(Reason::BadFragment),
                "{field:x} {length}"
            );
            let field = (field & OFFSET_V4) << 3 | field >> 13;
            let v6 = v6(protocol, field, length);
            assert_eq!(
                Fragment::of_v6(&v6[..], 14),
                Err(Reason::BadFragment),
                "{field:x} {length}"
            );
        }
        for protocol in [1, 47, 58] {
            assert_eq!(
                Fragment::of_v4(&v4(protocol, 0x2000, 80)[..], 14),
                Err(Reason::Fragment)
            );
            assert_eq!(
                Fragment::of_v6(&v6(protocol, 1, 80)[..], 14),
                Err(Reason::Fragment)
            );
        }
    }
}
