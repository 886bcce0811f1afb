//! Slow start: a backend that has just come back takes more and more, in steps.

use std::time::Duration;

use super::{FULL, Factor};

/// Steps from nothing to the whole: each makes a schedule anew, and no more often than once a second.
const STEPS: u32 = 20;
const SHORTEST_STEP: Duration = Duration::from_secs(1);

/// A slow start that goes on. `now` is monotonic, counted from any fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ramp {
    began: Duration,
    length: Duration,
}

impl Ramp {
    /// One that begins now; `None` if it has no length.
    pub(super) fn begin(length: Duration, now: Duration) -> Option<Self> {
        (!length.is_zero()).then_some(Self { began: now, length })
    }

    /// How much of its weight the backend takes: in equal steps, the first at once.
    pub(super) fn factor(&self, now: Duration) -> Factor {
        let steps = (self.length.as_millis() / SHORTEST_STEP.as_millis()).clamp(1, STEPS.into()) as u32;
        let passed = now.saturating_sub(self.began);
        if passed >= self.length {
            return FULL;
        }
        let step = (passed.as_nanos() * u128::from(steps) / self.length.as_nanos()) as u32 + 1;
        // The last step is the end.
        Factor::permille(1000 * step / (steps + 1))
    }

    /// Whether it is over.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) >= self.length
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_rises_in_equal_steps_from_the_first_moment_on() {
        let ramp = Ramp::begin(Duration::from_secs(40), Duration::from_secs(100)).unwrap();
        let at = |seconds| ramp.factor(Duration::from_secs(seconds)).as_permille();
        assert_eq!(
            [100, 101, 102, 120, 138, 139, 140, 999].map(at),
            [47, 47, 95, 523, 952, 952, 1000, 1000]
        );
        assert_eq!(Ramp::begin(Duration::ZERO, Duration::ZERO), None);
        // A short one has few steps.
        let ramp = Ramp::begin(Duration::from_millis(1500), Duration::ZERO).unwrap();
        assert_eq!(ramp.factor(Duration::ZERO).as_permille(), 500);
        assert!(!ramp.is_over(Duration::from_millis(1499)) && ramp.is_over(Duration::from_millis(1500)));
    }

    proptest! {
        #[test]
        fn it_never_falls_and_has_few_steps(milliseconds in 1..600_000_u64, mut times in proptest::collection::vec(0..700_000_u64, 1..200)) {
            let ramp = Ramp::begin(Duration::from_millis(milliseconds), Duration::ZERO).expect("a length");
            times.sort_unstable();
            let mut factors: Vec<_> = times.iter().map(|time| ramp.factor(Duration::from_millis(*time))).collect();
            prop_assert!(factors.is_sorted() && !factors[0].is_zero());
            factors.dedup();
            prop_assert!(factors.len() as u32 <= STEPS + 1);
        }
    }
}
