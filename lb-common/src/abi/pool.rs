//! Addresses and ports of the director's own, from which translated packets come.

use crate::flow_table::{HalfWord, Word};

/// Addresses of each family that a pool has room for.
pub const POOL_ADDRESSES: usize = 8;

/// The pool of a service: its size bounds the connections that the director can have to one port of one backend.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Pool {
    /// First port (bits 0..16), number of ports (16..48), numbers of IPv4 (48..56) and of IPv6 addresses (56..64): one word,
    /// so that they change together.
    extent: Word,
    v4: [HalfWord; POOL_ADDRESSES],
    v6: [[Word; 2]; POOL_ADDRESSES],
    reserved: [Word; 3],
}

const _: () = assert!(size_of::<Pool>() == 192);

impl Pool {
    /// The address and the port (as in a packet) that belong to `number`; numbers that differ much belong to others. `None`
    /// in a pool without addresses of the family.
    #[inline(always)]
    #[must_use]
    pub fn pick4(&self, number: u32) -> Option<(u32, u16)> {
        let extent = self.extent.load();
        let (place, port) = pick(extent, extent >> 48 & 0xFF, number)?;
        Some((self.v4[place].load(), port))
    }

    /// [`Self::pick4`] for IPv6.
    #[inline(always)]
    #[must_use]
    pub fn pick6(&self, number: u32) -> Option<([u64; 2], u16)> {
        let extent = self.extent.load();
        let (place, port) = pick(extent, extent >> 56, number)?;
        let words = &self.v6[place];
        Some(([words[0].load(), words[1].load()], port))
    }

    /// Makes it a pool of these addresses, of which as many count as there is room for, and `count` ports from `first` on; by
    /// the daemon alone.
    #[cfg(not(target_arch = "bpf"))]
    pub fn set(&self, addresses: impl IntoIterator<Item = core::net::IpAddr>, first: u16, count: u32) {
        let (mut v4, mut v6) = (0, 0);
        // Nobody takes an address while they change.
        self.extent.publish(0);
        for address in addresses {
            match address {
                core::net::IpAddr::V4(address) if v4 < POOL_ADDRESSES => {
                    self.v4[v4].store(u32::from_ne_bytes(address.octets()));
                    v4 += 1;
                }
                core::net::IpAddr::V6(address) if v6 < POOL_ADDRESSES => {
                    for (word, value) in self.v6[v6].iter().zip(crate::packet::address_words(address)) {
                        word.store(value);
                    }
                    v6 += 1;
                }
                core::net::IpAddr::V4(_) | core::net::IpAddr::V6(_) => {}
            }
        }
        let extent = u64::from(first) | u64::from(count) << 16 | (v4 as u64) << 48 | (v6 as u64) << 56;
        self.extent.publish(extent);
    }
}

#[inline(always)]
fn pick(extent: u64, addresses: u64, number: u32) -> Option<(usize, u16)> {
    let ports = extent >> 16 & 0xFFFF_FFFF;
    if ports == 0 || addresses == 0 {
        return None;
    }
    let index = (u64::from(number) * (addresses * ports)) >> 32;
    let port = (extent & 0xFFFF) + index % ports;
    Some((
        (index / ports) as usize & (POOL_ADDRESSES - 1),
        (port as u16).to_be(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_address_and_port_is_picked_and_no_other() {
        let pool = Pool::default();
        assert_eq!((pool.pick4(0), pool.pick6(7)), (None, None));
        pool.set(
            ["10.0.0.1", "10.0.0.2", "2001:db8::1"].map(|address| address.parse().unwrap()),
            60_000,
            3,
        );
        let numbers = || (0..64_u32).map(|n| n.wrapping_mul(0x9E37_79B1));
        let picked: BTreeSet<_> = numbers().filter_map(|n| pool.pick4(n)).collect();
        let expected: BTreeSet<_> = [[10, 0, 0, 1], [10, 0, 0, 2]]
            .into_iter()
            .flat_map(|address| {
                (60_000..60_003_u16).map(move |port| (u32::from_ne_bytes(address), port.to_be()))
            })
            .collect();
        assert_eq!(picked, expected);
        assert_eq!(
            numbers()
                .filter_map(|n| pool.pick6(n))
                .collect::<BTreeSet<_>>()
                .len(),
            3
        );
        pool.set(["2001:db8::1".parse().unwrap()], 1024, 64_512);
        assert_eq!(pool.pick4(1), None);
        assert_eq!(
            pool.pick6(u32::MAX).map(|(_, port)| port),
            Some(65_535_u16.to_be())
        );
    }
}
