//! The highest rate at which hardly anything is lost (RFC 2544 section 26.1).

use anyhow::Result;

use super::trial::Trial;

/// Trials of a search: the rate is known to a 128th of the highest afterwards.
const STEPS: u32 = 7;

/// Trials that have to carry a rate.
const CARRIED: u32 = 2;

/// Trials of it that may fail before. What else the machine does takes packets away and brings none: a trial that loses some says
/// little about the path, while one that loses none says that it carries so much.
const FAILED: u32 = 3;

/// Halves the range between nothing and `highest` again and again. `trial` sends at a rate; a share of `tolerated` may be lost.
/// A rate counts that two of up to five trials carry; `None` if there is none. Where the source did not come up to a rate, what it
/// came up to is the rate.
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
        match without_loss(rate, tolerated, &mut trial)? {
            Some(reached) => {
                good = reached;
                if rate >= bad {
                    break;
                }
            }
            None => bad = rate,
        }
        rate = (good + bad) / 2.0;
    }
    Ok((good > 0.0).then_some(good))
}

/// The rate that was reached where no more was lost; `None` where more was.
fn without_loss(
    rate: f64,
    tolerated: f64,
    trial: &mut impl FnMut(f64) -> Result<Trial>,
) -> Result<Option<f64>> {
    let (mut carried, mut failed, mut reached) = (0, 0, rate);
    while carried < CARRIED {
        let trial = trial(rate)?;
        if trial.loss() <= tolerated {
            carried += 1;
            reached = trial.sent_rate().min(reached);
        } else if failed == FAILED {
            return Ok(None);
        } else {
            failed += 1;
        }
    }
    Ok(Some(reached))
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
    fn what_loses_nothing_is_asked_twice() {
        let mut trials = 0;
        let rate = no_drop_rate(1e6, 0.0, |rate| {
            trials += 1;
            Ok(second(rate, rate))
        });
        assert_eq!((rate.unwrap(), trials), (Some(1e6), 2));
    }

    #[test]
    fn trials_that_were_disturbed_hide_no_rate() {
        let mut trials = 0;
        let mut undisturbed = path(7e5);
        let rate = no_drop_rate(1e6, 0.0, |rate| {
            trials += 1;
            // Three of five.
            if trials % 5 < 3 {
                Ok(second(rate, rate * 0.9))
            } else {
                undisturbed(rate)
            }
        });
        let rate = rate.unwrap().unwrap();
        assert!(rate <= 7e5 && rate > 7e5 - 1e6 / 64.0, "{rate}");
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
