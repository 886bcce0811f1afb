//! Backends as schedules see them.

use std::net::IpAddr;

/// A backend in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Identity of the backend, alike on every director: see [`backend_id`]. Unique among the entries of a schedule.
    pub id: u64,
    /// Share of new flows relative to the other entries; an entry of weight 0 takes none.
    pub weight: u32,
}

/// Identity of the backend at `address` and `port` (0: the port of the frontend), spread over all 64 bits.
///
/// `key` is the cluster's: directors that share it agree on every identity, and so on every table. An IPv4 address and
/// its IPv4-mapped IPv6 form (RFC 4291 section 2.5.5.2) are one backend.
pub fn backend_id(key: u64, address: IpAddr, port: u16) -> u64 {
    let bits = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64, u64::from(port)]
        .into_iter()
        .fold(mix(key), |hash, word| mix(hash ^ word))
}

/// Spreads a word over all 64 bits, one to one: the output function of SplitMix64 (Steele, Lea and Flood,
/// OOPSLA 2014).
pub(super) const fn mix(word: u64) -> u64 {
    let mut x = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn identity_depends_on_key_address_and_port() {
        let v4: IpAddr = Ipv4Addr::new(10, 0, 0, 1).into();
        let mapped: IpAddr = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
        assert_eq!(backend_id(1, v4, 80), backend_id(1, mapped, 80));
        assert_ne!(backend_id(1, v4, 80), backend_id(2, v4, 80));
        assert_ne!(backend_id(1, v4, 80), backend_id(1, v4, 81));
        assert_ne!(
            backend_id(1, v4, 80),
            backend_id(1, Ipv4Addr::new(10, 0, 0, 2).into(), 80)
        );
    }

    #[test]
    fn identity_is_pinned() {
        // Directors of different versions must agree: a change here moves flows in a rolling upgrade.
        assert_eq!(
            backend_id(0, Ipv4Addr::new(192, 0, 2, 1).into(), 0),
            0x76cc_5d37_9537_8f95
        );
    }
}
