//! Addresses and ports that translated packets come from.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// Addresses of the director's, from which translated packets come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// At most [`POOL_ADDRESSES`](lb_common::abi::POOL_ADDRESSES) of each family, at least one of each that the service has.
    pub addresses: Vec<IpAddr>,
    /// The first of their ports that are given out.
    pub first_port: u16,
    /// The last one; not before the first.
    pub last_port: u16,
}

impl Pool {
    /// The same addresses, and of its ports this share: those of different parts have none in common.
    #[must_use]
    pub fn share(&self, Share { part, of }: Share) -> Self {
        let (first, ports) = (u32::from(self.first_port), u32::from(self.ports()));
        // The first port that is not of the first `parts` ones.
        let end = |parts: u8| (first + ports * u32::from(parts) / u32::from(of.max(1))) as u16;
        Self {
            addresses: self.addresses.clone(),
            first_port: end(part.saturating_sub(1)),
            last_port: end(part).wrapping_sub(1),
        }
    }

    /// How many ports it has, less than 65536.
    #[must_use]
    pub fn ports(&self) -> u16 {
        self.last_port - self.first_port + 1
    }
}

/// First port of a pool that is not told otherwise: those below are for servers.
pub const FIRST_POOL_PORT: u16 = 1024;

/// The part of something that one of several directors has, when each has as much as the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which one, from 1.
    pub part: u8,
    /// How many there are; not 0.
    pub of: u8,
}

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self { part: 1, of: 1 };
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each port is in one share, and each share has some.
    #[test]
    fn shares_are_the_whole_and_have_nothing_in_common() {
        for (first_port, last_port) in [(1024, 65_535), (1, 65_535), (60_000, 60_007), (7, 107)] {
            let pool = Pool {
                addresses: Vec::new(),
                first_port,
                last_port,
            };
            assert_eq!(pool.share(Share::WHOLE), pool);
            for of in 1..=8 {
                let shares: Vec<_> = (1..=of).map(|part| pool.share(Share { part, of })).collect();
                let ports = shares.iter().flat_map(|share| share.first_port..=share.last_port);
                assert!(ports.eq(first_port..=last_port), "{of} parts of {pool:?}");
                assert!(shares.iter().all(|share| share.first_port <= share.last_port));
            }
        }
    }
}
