//! How a drain goes: what is left, how fast it gets less, and when it will be over.

use std::{collections::VecDeque, time::Duration};

/// How far back the decay is looked at.
const WINDOW: Duration = Duration::from_secs(300);
/// Samples that are kept; further ones make the window shorter.
const SAMPLES: usize = 301;
/// Longest time that is worth being told.
const FAR: Duration = Duration::from_secs(7 * 86_400);

/// A drain that goes on. `now` is monotonic, counted from any fixed point.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    at_start: u64,
    new_at_start: u64,
    samples: VecDeque<Sample>,
}

/// What a census found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    at: Duration,
    flows: u64,
    /// Flows that the backend was ever given.
    given: u64,
}

impl Progress {
    /// A drain that begins with so many flows, of so many that the backend was ever given.
    #[must_use]
    pub fn new(flows: u64, given: u64, now: Duration) -> Self {
        let mut progress = Self {
            at_start: flows,
            new_at_start: given,
            samples: VecDeque::new(),
        };
        progress.note(flows, given, now);
        progress
    }

    /// Takes note of a census.
    pub fn note(&mut self, flows: u64, given: u64, now: Duration) {
        while self.samples.len() >= SAMPLES
            || self.samples.front().is_some_and(|first| first.at + WINDOW < now) && self.samples.len() > 1
        {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            at: now,
            flows,
            given,
        });
    }

    /// Flows that are left.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.samples.back().map_or(0, |latest| latest.flows)
    }

    /// Flows when it began.
    #[must_use]
    pub fn at_start(&self) -> u64 {
        self.at_start
    }

    /// Flows that the backend was given all the same: those whose first packet was under way, none later.
    #[must_use]
    pub fn new_since_start(&self) -> u64 {
        self.samples
            .back()
            .map_or(0, |latest| latest.given.saturating_sub(self.new_at_start))
    }

    /// New flows a second between the last two censuses.
    #[must_use]
    pub fn new_per_second(&self) -> f64 {
        let mut latest = self.samples.iter().rev();
        let (Some(last), Some(before)) = (latest.next(), latest.next()) else {
            return 0.0;
        };
        let seconds = (last.at.saturating_sub(before.at)).as_secs_f64();
        if seconds > 0.0 {
            last.given.saturating_sub(before.given) as f64 / seconds
        } else {
            0.0
        }
    }

    /// How long it will take if it goes on as before: flows end at a rate that is in proportion to how many there are, as
    /// those do that have no memory. `None` while they do not get fewer.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        if last.flows == 0 {
            return Some(Duration::ZERO);
        }
        if last.flows >= first.flows {
            return None;
        }
        let decay = (first.flows as f64 / last.flows as f64).ln() / (last.at - first.at).as_secs_f64();
        // Until there is half a flow left.
        let seconds = (last.flows as f64 / 0.5).ln() / decay;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(FAR).min(FAR))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_drain_that_decays_tells_when_it_ends() {
        let mut progress = Progress::new(1000, 5000, seconds(10));
        assert_eq!(progress.remaining(), None);
        // Half of them end every 20 seconds: from 250 to a half, nine times that.
        progress.note(500, 5003, seconds(30));
        progress.note(250, 5003, seconds(50));
        let left = progress.remaining().unwrap().as_secs_f64();
        assert!((left - 20.0 * 500_f64.log2()).abs() < 0.1, "{left}");
        assert_eq!((progress.at_start(), progress.new_since_start()), (1000, 3));
        assert_eq!(progress.new_per_second(), 0.0);
        progress.note(0, 5003, seconds(51));
        assert_eq!(progress.remaining(), Some(Duration::ZERO));
    }

    #[test]
    fn one_that_does_not_get_less_tells_nothing() {
        let mut progress = Progress::new(10, 10, seconds(0));
        progress.note(10, 10, seconds(1));
        progress.note(12, 14, seconds(3));
        assert_eq!(progress.remaining(), None);
        assert_eq!(progress.new_per_second(), 2.0);
    }

    proptest! {
        #[test]
        fn whatever_is_counted_memory_and_times_are_bounded(
            counts in proptest::collection::vec((0..10_000_u64, 0..100_u64), 1..1000),
        ) {
            let mut progress = Progress::new(counts[0].0, 0, Duration::ZERO);
            let mut now = Duration::ZERO;
            for (flows, pause) in counts {
                now += Duration::from_millis(pause * 10);
                progress.note(flows, 0, now);
                prop_assert!(progress.samples.len() <= SAMPLES);
                if let Some(left) = progress.remaining() {
                    prop_assert!(left <= FAR);
                }
            }
        }
    }
}
