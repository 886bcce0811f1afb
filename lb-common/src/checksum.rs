//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// Folds a sum of 16-bit words to 16 bits.
#[inline(always)]
#[must_use]
pub const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xFFFF_FFFF) + (sum >> 32);
    let sum = (sum & 0xFFFF) + (sum >> 16);
    let sum = (sum & 0xFFFF) + (sum >> 16);
    ((sum & 0xFFFF) + (sum >> 16)) as u16
}

/// Whether a sum over bytes with their checksum says that they are whole: [`fold`] of it would give 0xFFFF. The sum is below
/// 2^46, as that of less than 64 KiB in words of 32 bits.
///
/// Such a sum is a multiple of 0xFFFF, and not zero. By the inverse of 0xFFFF modulo 2^64 a multiple gives its quotient, which
/// is below 2^30, and all else gives more than 2^48: one multiplication and one comparison instead of four foldings.
#[inline(always)]
#[must_use]
pub const fn is_whole(sum: u64) -> bool {
    const INVERSE: u64 = 0xFFFE_FFFE_FFFE_FFFF;
    const _: () = assert!(INVERSE.wrapping_mul(0xFFFF) == 1);
    debug_assert!(sum < 1 << 46);
    sum.wrapping_mul(INVERSE).wrapping_sub(1) < 1 << 30
}

/// The checksum field after one 16-bit word of the covered bytes changed (RFC 1624, equation 3).
///
/// All three values are in the same byte order, whichever that is.
#[inline(always)]
#[must_use]
pub const fn replace16(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// What a word that changes adds to a sum over it (one's complement). All values are as they lie in memory.
#[inline(always)]
#[must_use]
pub const fn change32(old: u32, new: u32) -> u64 {
    !old as u64 + new as u64
}

/// [`change32`] for a word of 64 bits.
#[inline(always)]
#[must_use]
pub const fn change64(old: u64, new: u64) -> u64 {
    change32(old as u32, new as u32) + change32((old >> 32) as u32, (new >> 32) as u32)
}

/// The checksum field after the sum over the covered bytes changed by so much (RFC 1624, equation 3).
#[inline(always)]
#[must_use]
pub const fn update(checksum: u16, change: u64) -> u16 {
    !fold(!checksum as u64 + change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn full(words: &[u16]) -> u16 {
        !fold(words.iter().map(|&w| u64::from(w)).sum())
    }

    #[test]
    fn rfc_1071_section_3_example() {
        assert_eq!(fold(0x0001 + 0xf203 + 0xf4f5 + 0xf6f7), 0xddf2);
    }

    proptest! {
        #[test]
        fn whole_is_what_folds_to_all_ones(quotient in 0u64..1 << 30, off in 0u64..0xFFFF) {
            for sum in [quotient * 0xFFFF, quotient * 0xFFFF + off] {
                prop_assert_eq!(is_whole(sum), fold(sum) == 0xFFFF, "{:#x}", sum);
            }
        }
    }

    #[test]
    fn nothing_at_all_is_not_whole() {
        assert!(!is_whole(0) && is_whole(0xFFFF) && is_whole((1 << 30) * 0xFFFF));
        assert!((0..0xFFFF).all(|sum| !is_whole(sum)));
    }

    #[test]
    fn folding_32_bit_words_gives_the_same_as_16_bit_words() {
        let words = [0xFFFF_FFFFu32, 0x1234_5678, 0xFEDC_BA98, 0xFFFF_0000, 0x0000_FFFF];
        let halves: u64 = words
            .iter()
            .map(|w| u64::from(w >> 16) + u64::from(w & 0xFFFF))
            .sum();
        assert_eq!(fold(words.iter().map(|&w| u64::from(w)).sum()), fold(halves));
    }

    proptest! {
        #[test]
        fn incremental_equals_full(mut words in proptest::collection::vec(1u16.., 2..20), new: u16, at: usize) {
            let before = full(&words);
            let at = at % words.len();
            let old = words[at];
            words[at] = new;
            let rest: Vec<_> = words.iter().copied().filter(|&w| w != 0).collect();
            // All-zero data is the one case in which one's complement has two zeroes.
            prop_assume!(!rest.is_empty());
            prop_assert_eq!(replace16(before, old, new), full(&words));
        }

        #[test]
        fn changes_of_long_words_add_up(rest in 1u16.., old: [u64; 2], new: [u64; 2], a: u32, b: u32) {
            let words = |long: [u64; 2], short: u32| {
                let halves = |word: u64| [word as u16, (word >> 16) as u16, (word >> 32) as u16, (word >> 48) as u16];
                let short = [short as u16, (short >> 16) as u16];
                [&halves(long[0])[..], &halves(long[1]), &short, &[rest]].concat()
            };
            let change = change64(old[0], new[0]) + change64(old[1], new[1]) + change32(a, b);
            prop_assert_eq!(update(full(&words(old, a)), change), full(&words(new, b)));
        }
    }
}
