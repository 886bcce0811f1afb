//! Is an address one of ours? Eight kilobytes that stay in the first-level cache.

use crate::flow_table::Word;

const WORDS: usize = 1024;

/// A bit set over hashes of addresses: a clear bit means "no"; a set bit means "perhaps", and some other table knows.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct AddressSet {
    words: [Word; WORDS],
}

const _: () = assert!(size_of::<AddressSet>() == 8192);

impl Default for AddressSet {
    fn default() -> Self {
        Self {
            words: [const { Word::new(0) }; WORDS],
        }
    }
}

/// Sixteen bits of a hash. It need not be secret: a false "perhaps" costs a lookup and changes nothing.
#[inline(always)]
const fn bit(address: u64) -> (usize, u32) {
    let hash = address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    ((hash >> 6) as usize, (hash & 63) as u32)
}

#[inline(always)]
const fn fold6(address: [u64; 2]) -> u64 {
    address[0].rotate_left(25) ^ address[1]
}

impl AddressSet {
    /// Whether the IPv4 address (network order, as in a packet) may be in the set.
    #[inline(always)]
    #[must_use]
    pub fn may_hold4(&self, address: u32) -> bool {
        self.may_hold(address as u64)
    }

    /// Whether the IPv6 address (network order, as in a packet) may be in the set.
    #[inline(always)]
    #[must_use]
    pub fn may_hold6(&self, address: [u64; 2]) -> bool {
        self.may_hold(fold6(address))
    }

    #[inline(always)]
    fn may_hold(&self, address: u64) -> bool {
        let (word, bit) = bit(address);
        self.words[word].load() >> bit & 1 != 0
    }
}

/// Writing; by the daemon alone.
#[cfg(not(target_arch = "bpf"))]
impl AddressSet {
    /// Adds an address.
    pub fn insert(&self, address: core::net::IpAddr) {
        let (word, bit) = Self::bit_of(address);
        self.words[word].publish(self.words[word].load() | 1 << bit);
    }

    /// Makes the set exactly `addresses`, without a moment in which one that stays is missing.
    pub fn replace(&self, addresses: impl IntoIterator<Item = core::net::IpAddr>) {
        let mut wanted = [0u64; WORDS];
        for address in addresses {
            let (word, bit) = Self::bit_of(address);
            wanted[word] |= 1 << bit;
        }
        for (word, value) in self.words.iter().zip(wanted) {
            if word.load() != value {
                word.publish(value);
            }
        }
    }

    fn bit_of(address: core::net::IpAddr) -> (usize, u32) {
        match address {
            core::net::IpAddr::V4(address) => bit(u64::from(u32::from_ne_bytes(address.octets()))),
            core::net::IpAddr::V6(address) => bit(fold6(crate::packet::address_words(address))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn holds(filter: &AddressSet, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => filter.may_hold4(u32::from_ne_bytes(a.octets())),
            IpAddr::V6(a) => filter.may_hold6(crate::packet::address_words(a)),
        }
    }

    #[test]
    fn holds_what_was_put_in_and_hardly_anything_else() {
        let filter = AddressSet::default();
        let vips: [IpAddr; 2] = ["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()];
        filter.replace(vips);
        assert!(vips.iter().all(|&vip| holds(&filter, vip)));
        let strangers = (0..65_536u32).map(|n| IpAddr::V4(Ipv4Addr::from(0x0A00_0000 + n)));
        assert!(strangers.filter(|&a| holds(&filter, a)).count() <= 8);
        let strangers = (0..65_536u128).map(|n| IpAddr::V6(Ipv6Addr::from((0xFD00 << 112) + n)));
        assert!(strangers.filter(|&a| holds(&filter, a)).count() <= 8);
    }

    #[test]
    fn replace_forgets() {
        let filter = AddressSet::default();
        let (old, new) = (
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        );
        filter.insert(old);
        filter.replace([new]);
        assert!(!holds(&filter, old) && holds(&filter, new));
    }
}
