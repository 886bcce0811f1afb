//! From the outcomes of one check to its verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Judge;

/// Weight of the memory of falls above which a rise is not believed, and below which it is again.
const SUPPRESS: f64 = 3.0;
const REUSE: f64 = 1.0;
/// Heaviest memory: however often it falls, it is believed again a little more than three half-lives later.
const HEAVIEST: f64 = 8.0;

/// What a check has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There was no outcome yet.
    Unknown,
    /// Good.
    Up,
    /// Bad.
    Down,
}

/// Counts outcomes. It takes `rise` or `fall` of them in a row to change the verdict; the first one of all decides alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracker {
    judge: Judge,
    verdict: Verdict,
    /// Outcomes in a row that speak against the verdict.
    against: u32,
    /// Memory of falls, and as of when.
    falls: f64,
    remembered: Duration,
    suppressed: bool,
}

impl Tracker {
    /// Before the first outcome. `assumed` is what counts meanwhile, and what the first outcome is set against if it is
    /// known from before.
    #[must_use]
    pub const fn new(judge: Judge, assumed: Verdict) -> Self {
        Self {
            judge,
            verdict: assumed,
            against: 0,
            falls: 0.0,
            remembered: Duration::ZERO,
            suppressed: false,
        }
    }

    /// What it has come to.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the next outcomes matter more than usual.
    #[must_use]
    pub const fn is_changing(&self) -> bool {
        self.against > 0 || matches!(self.verdict, Verdict::Unknown)
    }

    /// Whether successes are not believed, since it has fallen too often.
    #[must_use]
    pub const fn is_suppressed(&self) -> bool {
        self.suppressed
    }

    /// Takes note of an outcome; whether the verdict is another one now.
    pub fn note(&mut self, success: bool, now: Duration) -> bool {
        self.fade(now);
        let speaks_for = if success { Verdict::Up } else { Verdict::Down };
        if speaks_for == self.verdict {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let needed = match (self.verdict, speaks_for) {
            (Verdict::Unknown, _) => 1,
            (Verdict::Down, _) => self.judge.rise,
            (Verdict::Up, _) => self.judge.fall,
        };
        if self.against < needed || (success && self.suppressed) {
            self.against = self.against.min(needed);
            return false;
        }
        if self.verdict == Verdict::Up && !self.judge.damping.is_zero() {
            self.falls = (self.falls + 1.0).min(HEAVIEST);
            self.suppressed |= self.falls >= SUPPRESS;
        }
        self.verdict = speaks_for;
        self.against = 0;
        true
    }

    fn fade(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.remembered).as_secs_f64();
        self.remembered = self.remembered.max(now);
        if self.falls > 0.0 && !self.judge.damping.is_zero() {
            self.falls *= 0.5_f64.powf(passed / self.judge.damping.as_secs_f64());
            self.suppressed &= self.falls >= REUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const JUDGE: Judge = Judge {
        rise: 2,
        fall: 3,
        damping: Duration::ZERO,
    };

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Outcomes as `+` and `-`, and the verdict after each.
    fn run(tracker: &mut Tracker, outcomes: &str) -> String {
        let outcomes = outcomes.chars().zip(0..);
        let after = outcomes.map(|(outcome, at)| {
            tracker.note(outcome == '+', seconds(at));
            match tracker.verdict() {
                Verdict::Unknown => '?',
                Verdict::Up => 'U',
                Verdict::Down => 'D',
            }
        });
        after.collect()
    }

    #[test]
    fn it_takes_some_in_a_row() {
        for (assumed, outcomes, expected) in [
            (Verdict::Unknown, "+", "U"),
            (Verdict::Unknown, "-", "D"),
            (Verdict::Unknown, "+--+---", "UUUUUUD"),
            (Verdict::Unknown, "-+-++-", "DDDDUU"),
            (Verdict::Up, "--+---", "UUUUUD"),
            (Verdict::Down, "+-++", "DDDU"),
        ] {
            assert_eq!(
                run(&mut Tracker::new(JUDGE, assumed), outcomes),
                expected,
                "{assumed:?} {outcomes}"
            );
        }
    }

    #[test]
    fn it_says_when_the_next_outcome_matters() {
        let mut tracker = Tracker::new(JUDGE, Verdict::Unknown);
        assert!(tracker.is_changing());
        tracker.note(true, seconds(0));
        assert!(!tracker.is_changing());
        tracker.note(false, seconds(1));
        assert!(tracker.is_changing());
        tracker.note(true, seconds(2));
        assert!(!tracker.is_changing());
    }

    #[test]
    fn who_falls_again_and_again_is_not_believed_until_the_memory_has_faded() {
        let judge = Judge {
            rise: 1,
            fall: 1,
            damping: seconds(60),
        };
        let mut tracker = Tracker::new(judge, Verdict::Up);
        for n in 0..3 {
            assert!(!tracker.is_suppressed());
            assert!(tracker.note(false, seconds(2 * n)));
            if n < 2 {
                assert!(tracker.note(true, seconds(2 * n + 1)));
            }
        }
        // The third fall within some seconds: two and something are remembered, so it takes a fourth.
        assert!(!tracker.is_suppressed());
        assert!(tracker.note(true, seconds(7)) && tracker.note(false, seconds(8)));
        assert!(tracker.is_suppressed());
        let believed = (9..).find(|&second| tracker.note(true, seconds(second)));
        assert!(
            believed.is_some_and(|second| (100..140).contains(&second)),
            "{believed:?}"
        );
        assert_eq!(tracker.verdict(), Verdict::Up);
    }

    proptest! {
        /// Whatever happens: a verdict falls only after `fall` failures in a row, and rises only after `rise` successes.
        #[test]
        fn no_verdict_changes_before_its_time(
            rise in 1..5_u32,
            fall in 1..5_u32,
            damping in prop_oneof![Just(0), 1..100_u64],
            outcomes in proptest::collection::vec(any::<bool>(), 1..200),
        ) {
            let judge = Judge { rise, fall, damping: seconds(damping) };
            let mut tracker = Tracker::new(judge, Verdict::Unknown);
            let mut row = 0;
            let mut last = None;
            for (at, success) in (0..).zip(outcomes) {
                row = if last == Some(success) { row + 1 } else { 1 };
                last = Some(success);
                let before = tracker.verdict();
                let changed = tracker.note(success, seconds(at));
                prop_assert_eq!(changed, tracker.verdict() != before);
                if changed && before != Verdict::Unknown {
                    prop_assert_eq!(tracker.verdict() == Verdict::Up, success);
                    let needed = if success { rise } else { fall };
                    prop_assert!(row >= needed);
                }
                if !success && row >= fall {
                    prop_assert_eq!(tracker.verdict(), Verdict::Down, "damping never keeps up what is bad");
                }
            }
        }
    }
}
