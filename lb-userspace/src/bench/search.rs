//! The highest rate at which hardly anything is lost (RFC 2544 section 26.1).

use anyhow::Result;

/// Trials of a search: the rate is known to a 128th of the highest afterwards.
const STEPS: u32 = 7;

/// Halves the range between nothing and `highest` again and again. `trial` says what share was lost at a rate; up to `tolerated`
/// is borne with. `None` if every rate lost more.
///
/// # Errors
/// Those of the trials.
pub fn no_drop_rate(
    highest: f64,
    tolerated: f64,
    mut trial: impl FnMut(f64) -> Result<f64>,
) -> Result<Option<f64>> {
    let (mut good, mut bad) = (0.0, highest);
    let mut rate = highest;
    for _ in 0..=STEPS {
        if trial(rate)? <= tolerated {
            good = rate;
            if rate >= bad {
                break;
            }
        } else {
            bad = rate;
        }
        rate = (good + bad) / 2.0;
    }
    Ok((good > 0.0).then_some(good))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loses what is above its capacity.
    fn path(capacity: f64) -> impl FnMut(f64) -> Result<f64> {
        move |rate| Ok((1.0 - capacity / rate).max(0.0))
    }

    #[test]
    fn the_rate_lies_just_below_the_capacity() {
        for capacity in [1e5, 7e5, 9.9e5] {
            let rate = no_drop_rate(1e6, 0.0, path(capacity)).unwrap().unwrap();
            assert!(
                rate <= capacity && rate > capacity - 1e6 / 64.0,
                "{rate} of {capacity}"
            );
        }
    }

    #[test]
    fn what_loses_nothing_is_asked_once() {
        let mut trials = 0;
        let rate = no_drop_rate(1e6, 0.0, |_| {
            trials += 1;
            Ok(0.0)
        });
        assert_eq!((rate.unwrap(), trials), (Some(1e6), 1));
    }

    #[test]
    fn what_always_loses_has_no_rate() {
        assert_eq!(no_drop_rate(1e6, 0.001, |_| Ok(0.5)).unwrap(), None);
    }
}
