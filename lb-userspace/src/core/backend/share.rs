//! From weights and parts of weights to the whole numbers that a schedule is made of.

use crate::core::model::MAX_WEIGHT;

/// A part of a whole, in thousandths; more than the whole is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(u32);

/// The whole.
pub const FULL: Factor = Factor(1000);

impl Factor {
    /// Most that a factor may be: a thousand times the whole.
    pub const MOST: u32 = 1_000_000;

    /// So many thousandths, [`Factor::MOST`] at most.
    #[must_use]
    pub const fn permille(permille: u32) -> Self {
        Self(if permille < Self::MOST {
            permille
        } else {
            Self::MOST
        })
    }

    /// In thousandths.
    #[must_use]
    pub const fn as_permille(self) -> u32 {
        self.0
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This part of that part; not nothing, if neither is.
    #[must_use]
    pub fn of(self, other: Self) -> Self {
        let product = (u64::from(self.0) * u64::from(other.0)).div_ceil(1000);
        Self::permille(u32::try_from(product).unwrap_or(u32::MAX))
    }

    /// This part of a weight, for people: at least 1 if neither is nothing.
    #[must_use]
    pub fn of_weight(self, weight: u32) -> u32 {
        let part = (u64::from(weight) * u64::from(self.0)).div_ceil(1000);
        u32::try_from(part).unwrap_or(u32::MAX)
    }
}

/// Finest step of a share while some backends take a part of their weight.
const FINENESS: u32 = 100;

/// Weights for a schedule: each weight times its factor, all in one unit that they have in common, so that small weights
/// can be taken in part. While every factor is the whole, the unit is 1 and the weights are as they were; whoever is to
/// have any share at all has at least 1.
///
/// The unit is the same on every director that knows the same weights.
#[must_use]
pub fn shares(weights: &[(u32, Factor)]) -> Vec<u32> {
    let most = weights.iter().map(|&(weight, _)| weight).max().unwrap_or(0);
    let whole = weights
        .iter()
        .all(|&(weight, factor)| factor == FULL || weight == 0);
    let largest = weights
        .iter()
        .map(|(_, factor)| factor.0)
        .max()
        .unwrap_or(1000)
        .max(1000);
    let unit = if whole || most == 0 {
        1
    } else {
        (u64::from(MAX_WEIGHT) * 1000 / (u64::from(most) * u64::from(largest))).clamp(1, FINENESS.into())
    };
    let share = |&(weight, factor): &(u32, Factor)| {
        let share = u64::from(weight) * u64::from(factor.0) * unit / 1000;
        let least = u64::from(weight > 0 && !factor.is_zero());
        u32::try_from(share.max(least))
            .unwrap_or(u32::MAX)
            .min(MAX_WEIGHT)
    };
    weights.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn of(weights: &[(u32, u32)]) -> Vec<u32> {
        let weights: Vec<_> = weights
            .iter()
            .map(|&(weight, factor)| (weight, Factor(factor)))
            .collect();
        shares(&weights)
    }

    #[test]
    fn whole_weights_stay_as_they_are_and_small_ones_can_be_parted() {
        assert_eq!(of(&[(100, 1000), (50, 1000), (0, 1000)]), [100, 50, 0]);
        assert_eq!(of(&[(1, 1000), (1, 100)]), [100, 10]);
        assert_eq!(of(&[(100, 1000), (100, 1)]), [10_000, 10]);
        assert_eq!(of(&[(65_535, 1000), (65_535, 1)]), [65_535, 65]);
        assert_eq!(of(&[(65_535, 1000), (1, 1)]), [65_535, 1]);
        assert_eq!(of(&[(1, 1000), (1, 0)]), [100, 0]);
        assert_eq!(of(&[]), Vec::<u32>::new());
    }

    proptest! {
        #[test]
        fn shares_are_as_the_weights_say(weights in vec((0..=MAX_WEIGHT, 0..=Factor::MOST), 1..20)) {
            let got = of(&weights);
            let unit = |index: usize| f64::from(weights[index].0) * f64::from(weights[index].1) / 1000.0;
            for (index, &share) in got.iter().enumerate() {
                prop_assert!(share <= MAX_WEIGHT);
                prop_assert_eq!(share > 0, unit(index) > 0.0);
                for (other, &share2) in got.iter().enumerate() {
                    if unit(index) >= unit(other) {
                        prop_assert!(share >= share2, "{:?} {:?}", weights, got);
                    }
                }
            }
        }

        #[test]
        fn a_part_of_a_part(a in 0..=1000_u32, b in 0..=Factor::MOST) {
            let product = Factor(a).of(Factor(b));
            prop_assert_eq!(product.is_zero(), a == 0 || b == 0);
            prop_assert!(product <= Factor(b));
        }
    }
}
