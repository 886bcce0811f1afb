//! The frontend table: which service listens on a VIP, port and protocol.
//!
//! Read-only for the packet path. The array holds two generations of equal size; the daemon writes the idle one in full
//! and then flips [`Runtime::generation`](super::Runtime), so a packet sees either the old or the new set of services.

use core::net::IpAddr;

use crate::{
    flow_table::{HalfWord, Word},
    hash::Seed,
};

/// Entries of a bucket.
pub const WAYS: usize = 4;

/// Key of an IPv4 frontend: VIP (bits 0..32), port (32..48), both in network order, protocol (48..56). Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrontendKey4(u64);

/// Key of an IPv6 frontend: VIP (network order), then port and protocol as in [`FrontendKey4`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrontendKey6([u64; 3]);

impl FrontendKey4 {
    /// From the fields of a packet: `ports` has the destination port in its upper half.
    #[inline(always)]
    #[must_use]
    pub const fn new(vip: u32, ports: u32, protocol: u8) -> Self {
        Self(vip as u64 | ((ports >> 16) as u64) << 32 | (protocol as u64) << 48)
    }

    /// Keyed hash.
    #[inline(always)]
    #[must_use]
    pub const fn hash(self, seed: &Seed) -> u64 {
        seed.hash2([self.0, 0])
    }
}

impl FrontendKey6 {
    /// From the fields of a packet: `ports` has the destination port in its upper half.
    #[inline(always)]
    #[must_use]
    pub const fn new(vip: [u64; 2], ports: u32, protocol: u8) -> Self {
        Self([
            vip[0],
            vip[1],
            ((ports >> 16) as u64) << 32 | (protocol as u64) << 48,
        ])
    }

    /// Keyed hash.
    #[inline(always)]
    #[must_use]
    pub const fn hash(self, seed: &Seed) -> u64 {
        seed.hash5([self.0[0], self.0[1], self.0[2], 0, 0])
    }
}

/// An entry of the table.
pub trait FrontendEntry: Default {
    /// What names a frontend.
    type Key: Copy + PartialEq;

    /// Whether the entry is this frontend's.
    fn holds(&self, key: &Self::Key) -> bool;
    /// Number of the service.
    fn service(&self) -> u32;
    /// Whether nobody is here.
    fn is_free(&self) -> bool;
    /// Fills the entry; only in the idle generation.
    fn set(&self, key: &Self::Key, service: u32);
    /// The frontend and its service.
    fn get(&self) -> (Self::Key, u32);
    /// Empties the entry; only in the idle generation.
    fn clear(&self);
    /// Keyed hash of a key.
    fn hash(key: &Self::Key, seed: &Seed) -> u64;
    /// Key of this frontend; `None` for a VIP of the other family.
    fn key_of(vip: IpAddr, port: u16, protocol: u8) -> Option<Self::Key>;
}

/// An IPv4 frontend: 16 bytes.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Frontend4 {
    key: Word,
    service: HalfWord,
    reserved: HalfWord,
}

/// An IPv6 frontend: 32 bytes.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Frontend6 {
    key: [Word; 3],
    service: HalfWord,
    reserved: HalfWord,
}

/// [`WAYS`] frontends: one or two cache lines.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct FrontendBucket<E> {
    entries: [E; WAYS],
}

const _: () = {
    assert!(size_of::<FrontendBucket<Frontend4>>() == 64);
    assert!(size_of::<FrontendBucket<Frontend6>>() == 128);
};

fn upper_port(port: u16) -> u32 {
    u32::from(port.to_be()) << 16
}

impl FrontendEntry for Frontend4 {
    type Key = FrontendKey4;

    #[inline(always)]
    fn holds(&self, key: &FrontendKey4) -> bool {
        self.key.load() == key.0
    }

    #[inline(always)]
    fn service(&self) -> u32 {
        self.service.load()
    }

    fn is_free(&self) -> bool {
        self.key.load() == 0
    }

    fn set(&self, key: &FrontendKey4, service: u32) {
        self.key.store(key.0);
        self.service.store(service);
    }

    fn get(&self) -> (FrontendKey4, u32) {
        (FrontendKey4(self.key.load()), self.service.load())
    }

    fn clear(&self) {
        self.key.store(0);
    }

    fn hash(key: &FrontendKey4, seed: &Seed) -> u64 {
        key.hash(seed)
    }

    fn key_of(vip: IpAddr, port: u16, protocol: u8) -> Option<FrontendKey4> {
        let IpAddr::V4(vip) = vip else { return None };
        Some(FrontendKey4::new(
            u32::from_ne_bytes(vip.octets()),
            upper_port(port),
            protocol,
        ))
    }
}

impl FrontendEntry for Frontend6 {
    type Key = FrontendKey6;

    #[inline(always)]
    fn holds(&self, key: &FrontendKey6) -> bool {
        self.key[0].load() == key.0[0] && self.key[1].load() == key.0[1] && self.key[2].load() == key.0[2]
    }

    #[inline(always)]
    fn service(&self) -> u32 {
        self.service.load()
    }

    fn is_free(&self) -> bool {
        self.key[2].load() == 0
    }

    fn set(&self, key: &FrontendKey6, service: u32) {
        for (word, value) in self.key.iter().zip(key.0) {
            word.store(value);
        }
        self.service.store(service);
    }

    fn get(&self) -> (FrontendKey6, u32) {
        (
            FrontendKey6([self.key[0].load(), self.key[1].load(), self.key[2].load()]),
            self.service.load(),
        )
    }

    fn clear(&self) {
        self.key[2].store(0);
    }

    fn hash(key: &FrontendKey6, seed: &Seed) -> u64 {
        key.hash(seed)
    }

    fn key_of(vip: IpAddr, port: u16, protocol: u8) -> Option<FrontendKey6> {
        let IpAddr::V6(vip) = vip else { return None };
        Some(FrontendKey6::new(
            crate::packet::address_words(vip),
            upper_port(port),
            protocol,
        ))
    }
}

/// Numbers of the two buckets of a frontend within a generation of `mask + 1` buckets.
#[inline(always)]
#[must_use]
pub const fn places(hash: u64, mask: u32) -> (u32, u32) {
    (hash as u32 & mask, (hash >> 32) as u32 & mask)
}

/// The service of `key`, if it is in this bucket.
#[inline(always)]
pub fn find<E: FrontendEntry>(bucket: &FrontendBucket<E>, key: &E::Key) -> Option<u32> {
    for entry in &bucket.entries {
        if entry.holds(key) {
            return Some(entry.service());
        }
    }
    None
}

/// Too many frontends share their buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontendsFull;

/// Frontends that are moved for the sake of one before [`build`] gives up.
const DISPLACEMENTS: usize = 500;

/// Writes a generation: exactly these frontends, each once (cuckoo hashing; the daemon alone, no packet looks yet).
///
/// # Errors
/// [`FrontendsFull`] where a frontend finds no place, which for random keys happens only beyond some 90 % of the
/// entries.
pub fn build<E: FrontendEntry>(
    buckets: &[FrontendBucket<E>],
    seed: &Seed,
    frontends: impl IntoIterator<Item = (E::Key, u32)>,
) -> Result<(), FrontendsFull> {
    for entry in buckets.iter().flat_map(|bucket| &bucket.entries) {
        entry.clear();
    }
    let places = |key: &E::Key| places(E::hash(key, seed), buckets.len() as u32 - 1);
    let free = |bucket: u32| {
        buckets[bucket as usize]
            .entries
            .iter()
            .find(|entry| entry.is_free())
    };
    for (mut key, mut service) in frontends {
        let (mut here, other) = places(&key);
        if let Some(entry) = free(here).or_else(|| free(other)) {
            entry.set(&key, service);
            continue;
        }
        let mut moves = 0..DISPLACEMENTS;
        loop {
            let victim = &buckets[here as usize].entries[moves.next().ok_or(FrontendsFull)? % WAYS];
            let displaced = victim.get();
            victim.set(&key, service);
            (key, service) = displaced;
            let (first, second) = places(&key);
            here = if here == first { second } else { first };
            if let Some(entry) = free(here) {
                entry.set(&key, service);
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{boxed::Box, net::Ipv6Addr};

    const SEED: Seed = Seed::TEST;

    fn table<E: FrontendEntry>(buckets: usize) -> Box<[FrontendBucket<E>]> {
        (0..buckets)
            .map(|_| FrontendBucket {
                entries: core::array::from_fn(|_| E::default()),
            })
            .collect()
    }

    fn search<E: FrontendEntry>(table: &[FrontendBucket<E>], key: &E::Key) -> Option<u32> {
        let (first, second) = places(E::hash(key, &SEED), table.len() as u32 - 1);
        find(&table[first as usize], key).or_else(|| find(&table[second as usize], key))
    }

    fn round_trip<E: FrontendEntry>(vip: impl Fn(u16) -> IpAddr) {
        let table = table::<E>(1024);
        let keys: Box<[_]> = (1..=3000u16).map(|n| E::key_of(vip(n), n, 6).unwrap()).collect();
        build(&table, &SEED, keys.iter().copied().zip(0..)).unwrap();
        for (key, service) in keys.iter().zip(0..) {
            assert_eq!(search(&table, key), Some(service));
        }
        assert_eq!(search(&table, &E::key_of(vip(1), 1, 17).unwrap()), None);
        build(&table, &SEED, [(keys[0], 5)]).unwrap();
        assert_eq!(
            (search(&table, &keys[0]), search(&table, &keys[1])),
            (Some(5), None)
        );
    }

    #[test]
    fn three_thousand_frontends_in_four_thousand_places() {
        round_trip::<Frontend4>(|n| IpAddr::V4((0xC000_0200 + u32::from(n)).into()));
        round_trip::<Frontend6>(|n| IpAddr::V6(Ipv6Addr::from((0x2001_0db8 << 96) + u128::from(n))));
    }

    #[test]
    fn too_many_are_refused() {
        let table = table::<Frontend4>(2);
        let keys = (1..=9u16).map(|n| (Frontend4::key_of("192.0.2.1".parse().unwrap(), n, 6).unwrap(), 0));
        assert_eq!(build(&table, &SEED, keys), Err(FrontendsFull));
    }
}
