//! The highest rate at which hardly anything is lost (RFC 2544 section 26.1).

use anyhow::Result;

use super::trial::Trial;

/// Trials of a search: the rate is known to a 128th of the highest afterwards.
const STEPS: u32 = 7;

/// Halves the range between nothing and `highest` again and again. `trial` sends at a rate; a share of `tolerated` may be lost.
/// `None` if every rate lost more. Where the source did not come up to a rate, what it came up to is the rate.
///
/// # Errors
/// Those of the trials.
pub fn no_drop_rate(
    highest: f64,
    tolerated: f64,
    mut trial: impl FnMut(f64) -> Result<Trial>,
) -> Result<Option<f64>> {
    let (mut good, mut bad) = (0.0, highest);
    let mut rate = highest;
    for _ in 0..=STEPS {
        let trial = trial(rate)?;
        if trial.loss() <= tolerated {
            good = rate.min(trial.sent_rate());
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

    /// A second of it, at a rate of which so much comes.
    fn second(rate: f64, received: f64) -> Trial {
        Trial {
            sent: rate as u64,
            received: received as u64,
            seconds: 1.0,
        }
    }

    /// Loses what is above its capacity.
    fn path(capacity: f64) -> impl FnMut(f64) -> Result<Trial> {
        move |rate| Ok(second(rate, rate.min(capacity)))
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
        let rate = no_drop_rate(1e6, 0.0, |rate| {
            trials += 1;
            Ok(second(rate, rate))
        });
        assert_eq!((rate.unwrap(), trials), (Some(1e6), 1));
    }

    #[test]
    fn what_always_loses_has_no_rate() {
        let half = |rate| Ok(second(rate, rate / 2.0));
        assert_eq!(no_drop_rate(1e6, 0.001, half).unwrap(), None);
    }

    #[test]
    fn a_rate_that_the_source_does_not_come_up_to_is_not_claimed() {
        let slow = |rate: f64| Ok(second(rate.min(8e5), rate.min(8e5)));
        assert_eq!(no_drop_rate(1e6, 0.0, slow).unwrap(), Some(8e5));
    }
}
