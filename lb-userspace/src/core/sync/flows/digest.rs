//! What two directors compare of a connection. docs/sync-protocol.md has the same in words.

use std::net::IpAddr;

use lb_common::wire::sync::{Rewrite, Target};
use ring::digest::{SHA256, digest};

use super::route::Route;

/// The leaf of a connection: the upper bits of its hash.
pub(super) fn leaf(hash: u64, leaf_bits: u8) -> u16 {
    (hash >> (64 - u32::from(leaf_bits))) as u16
}

/// What stands for a target that leaves packets as they are: the first 8 bytes of the SHA-256 of what goes over the wire.
pub(super) fn of_target(target: &Target) -> u64 {
    let mut bytes = Vec::new();
    target.emit(&mut bytes);
    let hash = digest(&SHA256, &bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    u64::from_be_bytes(first)
}

/// What a connection adds to the digest of its leaf, which goes to this target by this route.
pub(super) fn of_flow(hash: u64, target: u64, state: u8, route: &Route) -> u64 {
    let (hash, form) = match route.rewrite {
        Rewrite::Nothing => (hash, 0),
        Rewrite::Destination => (hash, 1),
        Rewrite::Both(IpAddr::V4(pool)) => (mix(hash ^ u64::from(u32::from_le_bytes(pool.octets()))), 2),
        Rewrite::Both(IpAddr::V6(pool)) => {
            let octets = pool.octets();
            let words = octets.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
            (words.fold(hash, |hash, word| mix(hash ^ word)), 2)
        }
    };
    let rest = u64::from(state) | u64::from(route.pool_port) << 8 | form << 24;
    mix(mix(hash ^ target) ^ rest)
}

/// A bijection in which each bit of the input changes half of the output.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 32)).wrapping_mul(0x9E6C_63D0_876A_9A63);
    x = (x ^ (x >> 29)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    x ^ (x >> 32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lb_common::wire::sync::ServiceId;

    use super::*;

    #[test]
    fn whatever_differs_makes_another_digest() {
        let mut seen = BTreeSet::new();
        for hash in [1, 77, u64::MAX - 5] {
            for target in [0x1234_5678, 1 << 40, 1 << 63] {
                for state in 0..32 {
                    let pools = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::"];
                    let pools = pools.map(|pool| Rewrite::Both(pool.parse().unwrap()));
                    let ways = [Rewrite::Nothing, Rewrite::Destination].into_iter().chain(pools);
                    for (rewrite, pool_port) in ways.flat_map(|way| [0, 1, u16::MAX].map(|port| (way, port)))
                    {
                        let route = Route {
                            number: 0,
                            rewrite,
                            pool_port,
                        };
                        assert!(seen.insert(of_flow(hash, target, state, &route)));
                    }
                }
            }
        }
    }

    /// Computed with `printf … | sha256sum`.
    #[test]
    fn a_target_is_what_others_compute() {
        let target = Target {
            service: ServiceId(0x0102_0304_0506_0708),
            backend: [10, 0, 0, 11].into(),
            port: 80,
            rewrite: Rewrite::Nothing,
        };
        assert_eq!(of_target(&target), 0xb2e0_44b5_9409_5804);
    }

    #[test]
    fn leaves_are_the_upper_bits() {
        assert_eq!(leaf(0xABCD_0000_0000_0000, 16), 0xABCD);
        assert_eq!(leaf(0xABCD_0000_0000_0000, 8), 0xAB);
    }
}
