//! Keyed hashes of flow keys.
//!
//! The sum of products is NH (Black et al., "UMAC", CRYPTO 1999): with secret random keys two different inputs collide
//! in the 64-bit sum with a probability of at most 2^-32, whatever the attacker chooses, since no output is ever shown
//! to them. It costs one multiplication per two 32-bit words. A keyed bijective finish spreads the sum over all bits,
//! so that both halves serve as independent bucket numbers.

/// Secret keys of one hash function: 64-bit random words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Seed {
    words: [u64; 6],
}

impl Seed {
    /// A seed from random words.
    #[must_use]
    pub const fn new(words: [u64; 6]) -> Self {
        Self { words }
    }

    /// The words, as they were given.
    #[must_use]
    pub const fn words(&self) -> [u64; 6] {
        self.words
    }

    /// NH of the two halves of `message` under key `index`.
    #[inline(always)]
    const fn product(&self, index: usize, message: u64) -> u64 {
        let key = self.words[index];
        let low = (message as u32).wrapping_add(key as u32) as u64;
        let high = ((message >> 32) as u32).wrapping_add((key >> 32) as u32) as u64;
        low.wrapping_mul(high)
    }

    /// Spreads `sum` over all 64 bits; a bijection, so it adds no collisions.
    #[inline(always)]
    const fn finish(&self, sum: u64) -> u64 {
        let mut x = sum ^ self.words[5];
        x = (x ^ (x >> 32)).wrapping_mul(0x9E6C_63D0_876A_9A63);
        x = (x ^ (x >> 29)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        x ^ (x >> 32)
    }

    /// Hash of two 64-bit words: an IPv4 flow key.
    #[inline(always)]
    #[must_use]
    pub const fn hash2(&self, words: [u64; 2]) -> u64 {
        self.finish(self.product(0, words[0]).wrapping_add(self.product(1, words[1])))
    }

    /// Hash of five 64-bit words: an IPv6 flow key.
    #[inline(always)]
    #[must_use]
    pub const fn hash5(&self, words: [u64; 5]) -> u64 {
        let mut sum = self.product(0, words[0]);
        sum = sum.wrapping_add(self.product(1, words[1]));
        sum = sum.wrapping_add(self.product(2, words[2]));
        sum = sum.wrapping_add(self.product(3, words[3]));
        self.finish(sum.wrapping_add(self.product(4, words[4])))
    }
}

#[cfg(test)]
impl Seed {
    /// A seed that is as good as a random one (the first digits of pi), for tests.
    pub(crate) const TEST: Self = Self::new([
        0x243F_6A88_85A3_08D3,
        0x1319_8A2E_0370_7344,
        0xA409_3822_299F_31D0,
        0x082E_FA98_EC4E_6C89,
        0x4528_21E6_38D0_1377,
        0xBE54_66CF_34E9_0C6C,
    ]);
}

/// Maps a hash onto `0..length` without a division: the upper 32 bits are scaled (Lemire, 2019).
#[inline(always)]
#[must_use]
pub const fn scale(hash: u64, length: u32) -> u32 {
    (((hash >> 32) * length as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: Seed = Seed::TEST;

    /// Clients of one network on rising ports, the usual sight: both halves must spread them evenly.
    #[test]
    fn neighbouring_keys_spread_over_both_halves() {
        let (mut low, mut high) = ([0u32; 256], [0u32; 256]);
        for client in 0..256u64 {
            for port in 0..256u64 {
                let hash = SEED.hash2([0x0A00_0000 + client, (0x0050 << 16) | (port + 1024)]);
                low[(hash & 0xFF) as usize] += 1;
                high[(hash >> 32 & 0xFF) as usize] += 1;
            }
        }
        // 256 a bin on average, standard deviation 16: six of them are out of reach for a fair hash.
        for count in low.iter().chain(&high) {
            assert!((160..=352).contains(count), "{count}");
        }
    }

    #[test]
    fn scale_stays_inside() {
        assert_eq!(scale(u64::MAX, 65_537), 65_536);
        assert_eq!(scale(0, 65_537), 0);
        assert_eq!(scale(u64::MAX, 0), 0);
    }

    proptest! {
        #[test]
        fn one_bit_changes_the_hash(words: [u64; 5], bit in 0usize..320) {
            let mut other = words;
            other[bit / 64] ^= 1 << (bit % 64);
            prop_assert_ne!(SEED.hash5(words), SEED.hash5(other));
        }

        #[test]
        fn another_seed_gives_another_hash(words: [u64; 2]) {
            let other = Seed::new(SEED.words().map(|w| w.rotate_left(7) ^ 0x5555));
            prop_assert_ne!(SEED.hash2(words), other.hash2(words));
        }
    }
}
