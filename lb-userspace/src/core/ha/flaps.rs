//! Damping: who loses the VIPs again and again does not ask for them back at once.

use std::{collections::VecDeque, time::Duration};

/// Losses count for this long.
const MEMORY: Duration = Duration::from_secs(600);
/// From the second loss on: this long, and twice as long for each further one.
const FIRST: Duration = Duration::from_secs(10);
/// At most.
const LONGEST: Duration = Duration::from_secs(300);
/// Losses that are remembered.
const MOST: usize = 8;

/// When the VIPs were lost though nobody wanted that.
#[derive(Debug, Clone, Default)]
pub(super) struct Flaps(VecDeque<Duration>);

impl Flaps {
    /// Takes note of a loss; for how long this director does not ask for the VIPs, if that is so.
    pub(super) fn lost(&mut self, now: Duration) -> Option<Duration> {
        self.0.retain(|at| now < *at + MEMORY);
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.until().map(|until| until.saturating_sub(now))
    }

    fn until(&self) -> Option<Duration> {
        let more = u32::try_from(self.0.len().checked_sub(2)?).unwrap_or(u32::MAX);
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST);
        Some(*self.0.back()? + wait)
    }

    /// For how long it does not ask for them yet, if that is so.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        self.until()
            .filter(|until| now < *until)
            .map(|until| until.saturating_sub(now))
    }

    /// Whether this director does not ask for the VIPs.
    pub(super) fn is_damped(&self, now: Duration) -> bool {
        self.until().is_some_and(|until| now < until)
    }

    /// Whether any loss still counts.
    #[cfg(test)]
    pub(super) fn lost_lately(&self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn one_loss_is_an_accident_and_more_are_damped_ever_longer() {
        let mut flaps = Flaps::default();
        assert_eq!(flaps.lost(S), None);
        assert!(!flaps.is_damped(S));
        let mut now = S;
        for expected in [10, 20, 40, 80, 160, 300] {
            now += S;
            assert_eq!(flaps.lost(now), Some(expected * S));
            assert!(flaps.is_damped(now + (expected - 1) * S) && !flaps.is_damped(now + expected * S));
        }
        // Long after, all is forgotten.
        assert_eq!(flaps.lost(now + MEMORY + S), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut flaps = Flaps::default();
        for n in 0..1000 {
            flaps.lost(S + Duration::from_millis(n));
        }
        assert_eq!(flaps.0.len(), MOST);
    }
}
