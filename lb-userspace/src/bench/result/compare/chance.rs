//! How often chance alone would make two lists of samples differ as they do.

/// Most samples on both sides together for which arrangements are counted: their number fits into the digits of a float.
const COUNTED: usize = 40;

/// The two-sided probability of the Mann-Whitney U test: how often samples of one and the same quantity would lie at least so far
/// apart. It is exact for few samples without ties; else it is that of the normal distribution, with a correction for ties.
pub(super) fn chance(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = a
        .iter()
        .map(|&value| (value, true))
        .chain(b.iter().map(|&value| (value, false)))
        .collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (n, m) = (a.len() as f64, b.len() as f64);
    let total = n + m;
    let (mut ranks, mut ties, mut start) = (0.0, 0.0, 0);
    while start < all.len() {
        let end = start
            + all[start..]
                .iter()
                .take_while(|other| other.0 == all[start].0)
                .count();
        let rank = (start + 1 + end) as f64 / 2.0;
        ranks += rank * all[start..end].iter().filter(|(_, is_a)| *is_a).count() as f64;
        let equal = (end - start) as f64;
        ties += equal * equal * equal - equal;
        start = end;
    }
    let u = ranks - n * (n + 1.0) / 2.0;
    if ties == 0.0 && all.len() <= COUNTED {
        return exact(u.min(n * m - u) as usize, a.len(), b.len());
    }
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    (2.0 * upper_tail(z)).min(1.0)
}

/// The share of all arrangements of so many samples of two kinds whose smaller U is at most this. Their numbers by U are the
/// coefficients of a Gaussian binomial (Andrews, The Theory of Partitions, theorem 3.1).
fn exact(u: usize, n: usize, m: usize) -> f64 {
    let mut counts = vec![0.0; n * m + 1];
    counts[0] = 1.0;
    for i in 1..=n {
        for at in (m + i..counts.len()).rev() {
            counts[at] -= counts[at - (m + i)];
        }
        for at in i..counts.len() {
            counts[at] += counts[at - i];
        }
    }
    let all: f64 = counts.iter().sum();
    let so_far: f64 = counts.iter().take(u + 1).sum();
    (2.0 * so_far / all).min(1.0)
}

/// The probability that a standard normal variable exceeds `z`, to 7 digits (Abramowitz and Stegun, 26.2.17).
fn upper_tail(z: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] = [
        0.319_381_530,
        -0.356_563_782,
        1.781_477_937,
        -1.821_255_978,
        1.330_274_429,
    ];
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let sum = COEFFICIENTS
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    density * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_the_tables() {
        for (z, tail) in [(0.0, 0.5), (1.0, 0.158_655), (1.959_964, 0.025), (3.0, 0.001_35)] {
            assert!((upper_tail(z) - tail).abs() < 1e-5, "{z}: {}", upper_tail(z));
        }
    }

    #[test]
    fn what_does_not_overlap_is_no_chance_and_what_does_is() {
        let low: Vec<f64> = (0..10).map(f64::from).collect();
        let high: Vec<f64> = (100..110).map(f64::from).collect();
        // The exact test says 2 / C(20, 10).
        assert!((chance(&low, &high) - 2.0 / 184_756.0).abs() < 1e-9);
        // Five on each side are enough: 2 / C(10, 5).
        assert!((chance(&low[..5], &high[..5]) - 2.0 / 252.0).abs() < 1e-9);
        assert!(chance(&low, &low) > 0.9);
        assert_eq!(chance(&[1.0; 6], &[1.0; 6]), 1.0);
    }

    #[test]
    fn few_samples_have_the_probabilities_of_the_tables() {
        // Critical values of U at 5 % and 1 % (two-sided) for 10 and 8 samples are 17 and 11.
        for (u, share) in [(17, 0.05), (11, 0.01)] {
            assert!(exact(u, 10, 8) <= share && exact(u + 1, 10, 8) > share, "{u}");
        }
        assert_eq!(exact(1, 1, 2), 1.0);
        // Where counting ends, the normal distribution says nearly the same.
        let (low, high): (Vec<f64>, Vec<f64>) = (
            (0..20).map(|sample| f64::from(sample) * 2.0).collect(),
            (0..20).map(|sample| f64::from(sample) * 2.0 + 13.0).collect(),
        );
        let counted = chance(&low, &high);
        let more: Vec<f64> = low.iter().chain([&19.5]).copied().collect();
        let estimated = chance(&more, &high);
        assert!((counted - estimated).abs() < 0.01, "{counted} {estimated}");
    }
}
