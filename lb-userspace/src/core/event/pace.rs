//! How fast events are passed on, and how often one that was refused is tried again. The clock is passed in: time since
//! any fixed point.

use std::time::Duration;

/// A token bucket: so many at once, and so many a minute in the long run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Time in which one more is allowed.
    each: Duration,
    burst: u32,
    /// When the bucket would be full.
    full_at: Duration,
}

impl Pace {
    /// Allows `burst` at once (at least one) and `per_minute` (at least one) in the long run.
    #[must_use]
    pub fn new(burst: u32, per_minute: u32) -> Self {
        Self {
            each: Duration::from_secs(60) / per_minute.max(1),
            burst: burst.max(1),
            full_at: Duration::ZERO,
        }
    }

    /// When the next one is allowed; now or in the past if it is allowed already.
    #[must_use]
    pub fn next(&self) -> Duration {
        self.full_at.saturating_sub(self.each * (self.burst - 1))
    }

    /// Takes note that one is passed on.
    pub fn spend(&mut self, now: Duration) {
        self.full_at = self.full_at.max(now) + self.each;
    }
}

/// Waits between attempts that double, up to a limit, and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Before the second attempt.
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);
    /// Attempts in all: about two minutes.
    const ATTEMPTS: u32 = 7;

    /// Before the first attempt.
    #[must_use]
    pub const fn new() -> Self {
        Self { attempts: 0 }
    }

    /// An attempt has failed: how long to wait before the next one, or `None` when it was the last.
    pub fn failed(&mut self) -> Option<Duration> {
        self.attempts += 1;
        (self.attempts < Self::ATTEMPTS)
            .then(|| (Self::FIRST * (1 << (self.attempts - 1))).min(Self::LONGEST))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
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
    fn a_burst_and_then_a_steady_rate() {
        let mut pace = Pace::new(3, 6);
        for _ in 0..3 {
            assert!(pace.next() <= seconds(100));
            pace.spend(seconds(100));
        }
        assert_eq!(pace.next(), seconds(110));
        pace.spend(seconds(110));
        assert_eq!(pace.next(), seconds(120));
        // After a long silence there is a burst again, and not more.
        for _ in 0..3 {
            assert!(pace.next() <= seconds(1000));
            pace.spend(seconds(1000));
        }
        assert_eq!(pace.next(), seconds(1010));
    }

    #[test]
    fn attempts_end() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = std::iter::from_fn(|| backoff.failed())
            .map(|wait| wait.as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32]);
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_burst_and_the_rate(
            burst in 1..5_u32,
            gaps in proptest::collection::vec(0..40_u64, 1..60),
        ) {
            let (mut pace, mut now, mut spent) = (Pace::new(burst, 6), Duration::ZERO, Vec::new());
            for gap in gaps {
                now += seconds(gap);
                if pace.next() <= now {
                    pace.spend(now);
                    spent.push(now);
                }
            }
            for (index, from) in spent.iter().enumerate() {
                for (count, to) in (1..).zip(&spent[index..]) {
                    let allowed = u64::from(burst) + (*to - *from).as_secs() / 10;
                    prop_assert!(count <= allowed, "{} in {:?}", count, *to - *from);
                }
            }
        }
    }
}
