//! What a few samples say.

use serde::{Deserialize, Serialize};

/// Samples wider apart than this share of their median say that the machine was busy with something else.
const NOISY: f64 = 0.15;

/// The samples of one quantity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Smallest.
    pub min: f64,
    /// A quarter of the samples are smaller.
    pub lower: f64,
    /// Middle; the mean of both middle ones when their number is even.
    pub median: f64,
    /// A quarter of the samples are larger.
    pub upper: f64,
    /// Largest.
    pub max: f64,
}

impl Summary {
    /// `None` for no samples at all.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            min: *sorted.first()?,
            lower: quantile(&sorted, 0.25)?,
            median: quantile(&sorted, 0.5)?,
            upper: quantile(&sorted, 0.75)?,
            max: *sorted.last()?,
        })
    }

    /// Distance of the quartiles as a share of the median.
    #[must_use]
    pub fn spread(&self) -> f64 {
        (self.upper - self.lower) / self.median
    }

    /// Whether the samples are too far apart to say much.
    #[must_use]
    pub fn is_noisy(&self) -> bool {
        self.spread() > NOISY
    }
}

/// The value below which this share of the samples lies, between two of them if need be.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let position = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    let weight = position - position.floor();
    Some(sorted.get(below)? * (1.0 - weight) + sorted.get(above)? * weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_samples_say_nothing() {
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn quartiles_lie_between_samples() {
        let cases: [(&[f64], [f64; 5]); 4] = [
            (&[7.0], [7.0; 5]),
            (&[3.0, 1.0, 2.0], [1.0, 1.5, 2.0, 2.5, 3.0]),
            (&[4.0, 1.0, 3.0, 2.0], [1.0, 1.75, 2.5, 3.25, 4.0]),
            (&[1.0, 1.0, 1.0, 1.0, 100.0], [1.0, 1.0, 1.0, 1.0, 100.0]),
        ];
        for (samples, [min, lower, median, upper, max]) in cases {
            let expected = Summary {
                min,
                lower,
                median,
                upper,
                max,
            };
            assert_eq!(Summary::of(samples), Some(expected), "{samples:?}");
        }
    }

    #[test]
    fn one_outlier_is_no_noise_and_a_wide_middle_is() {
        let of = |samples: &[f64]| Summary::of(samples).unwrap();
        assert!(!of(&[10.0, 10.0, 10.5, 10.0, 90.0]).is_noisy());
        assert!(of(&[10.0, 12.0, 9.0, 14.0, 11.0]).is_noisy());
    }
}
