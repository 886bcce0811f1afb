//! VRRP version 2 (RFC 3768), as far as it takes to tell who still speaks it.
//!
//! ```text
//! +-------+-------+---------------+---------------+---------------+
//! |   2   |   1   | Virtual Rtr ID|   Priority    |Count IP Addrs |
//! +-------+-------+---------------+---------------+---------------+
//! |   Auth Type   |   Adver Int   |          Checksum             |
//! +---------------+---------------+-------------------------------+
//! |          IPv4 addresses, then 8 bytes of authentication       |
//! ```

use super::{ADVERTISEMENT, HEADER, sum};
use crate::checksum::fold;

/// The authentication data behind the addresses, which may be anything.
const AUTHENTICATION: usize = 8;

/// What an advertisement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    /// Virtual router identifier.
    pub vrid: u8,
    /// 255: the owner of the addresses; 0: the sender gives them up.
    pub priority: u8,
    /// Time between two advertisements, in seconds.
    pub interval_seconds: u8,
    /// How it is authenticated: 0 not at all, 1 by a password in clear, 2 by AH (both abolished by RFC 3768).
    pub authentication: u8,
}

impl Advertisement {
    /// The advertisement in `message`; `None` if it is something else, or damaged.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = message.first_chunk()?;
        let [
            kind,
            vrid,
            priority,
            count,
            authentication,
            interval_seconds,
            _,
            _,
        ] = *header;
        let length = HEADER + usize::from(count) * 4 + AUTHENTICATION;
        let whole = message.get(..length)?;
        let is_good = kind == 2 << 4 | ADVERTISEMENT && fold(sum(whole)) == 0xFFFF;
        is_good.then_some(Self {
            vrid,
            priority,
            interval_seconds,
            authentication,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of keepalived 2.2.7, for virtual router 51 with priority 150 and the address 192.0.2.10.
    const SENT: [u8; 20] = [
        0x21, 0x33, 0x96, 0x01, 0x00, 0x01, 0x86, 0xbf, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn a_real_one_is_understood() {
        let expected = Advertisement {
            vrid: 51,
            priority: 150,
            interval_seconds: 1,
            authentication: 0,
        };
        assert_eq!(Advertisement::parse(&SENT), Some(expected));
    }

    #[test]
    fn what_is_cut_or_damaged_is_none() {
        for length in 0..SENT.len() {
            assert_eq!(Advertisement::parse(&SENT[..length]), None);
        }
        for bit in 0..SENT.len() * 8 {
            let mut damaged = SENT;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Advertisement::parse(&damaged), None, "bit {bit}");
        }
    }
}
