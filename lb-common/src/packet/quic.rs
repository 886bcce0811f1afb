//! QUIC's short header (RFC 9000 section 17.3), as far as a balancer can read it.

use super::Frame;

/// What a connection ID begins with, after its first byte, in a packet with a short header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct ConnectionId(u32);

const PRESENT: u32 = 1 << 24;
const UDP_HEADER: usize = 8;
/// The header is a short one, and the fixed bit is set.
const SHORT: u8 = 0x40;
const FORM: u8 = 0xC0;

impl ConnectionId {
    /// Of the datagram whose UDP header lies at `offset`; [`Self::default`] if it is none with a short header.
    #[inline(always)]
    #[must_use]
    pub fn of<F: Frame + ?Sized>(frame: &F, offset: usize) -> Self {
        match frame.window::<5>(offset + UDP_HEADER) {
            Some(packet) if packet.byte::<0>() & FORM == SHORT => {
                let [a, b, c] = [packet.byte::<2>(), packet.byte::<3>(), packet.byte::<4>()];
                Self((a as u32) << 16 | (b as u32) << 8 | c as u32 | PRESENT)
            }
            _ => Self(0),
        }
    }

    /// From [`Self::bits`].
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// All of it in one number.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The server ID of so many bytes, one to three.
    #[inline(always)]
    #[must_use]
    pub const fn server(self, length: u8) -> Option<u32> {
        if self.0 & PRESENT == 0 {
            return None;
        }
        let id = self.0 & 0xFF_FFFF;
        match length {
            1 => Some(id >> 16),
            2 => Some(id >> 8),
            3 => Some(id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(first: u8) -> [u8; 20] {
        let mut datagram = [0xEE; 20];
        datagram[8..13].copy_from_slice(&[first, 0x05, 0x0A, 0x0B, 0x0C]);
        datagram
    }

    #[test]
    fn the_server_follows_the_first_byte_of_the_connection_id() {
        let id = ConnectionId::of(&datagram(0x5F)[..], 0);
        assert_eq!(id, ConnectionId::from_bits(id.bits()));
        assert_eq!(
            [0, 1, 2, 3, 4].map(|length| id.server(length)),
            [None, Some(0x0A), Some(0x0A0B), Some(0x000A_0B0C), None]
        );
    }

    #[test]
    fn long_headers_and_what_is_not_quic_have_none() {
        for first in [0xC0, 0xFF, 0x80, 0x00, 0x3F] {
            assert_eq!(
                ConnectionId::of(&datagram(first)[..], 0).server(2),
                None,
                "{first:x}"
            );
        }
        assert_eq!(ConnectionId::of(&datagram(0x40)[..12], 0).server(1), None);
    }
}
