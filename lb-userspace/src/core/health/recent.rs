//! What a counter counted lately.

use std::{collections::VecDeque, time::Duration};

/// How far back is looked: as long as connections count as those of late.
const WINDOW: Duration = Duration::from_secs(10);
/// Values that are kept: looks come once a second or less often.
const MOST: usize = 64;

/// A counter that only rises, looked at now and then. `now` is monotonic, counted from any fixed point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recent {
    seen: VecDeque<(Duration, u64)>,
}

impl Recent {
    /// Takes note of the counter; by how much it rose lately.
    pub fn note(&mut self, total: u64, now: Duration) -> u64 {
        if self.seen.back().is_some_and(|(_, last)| *last > total) {
            // It is another's now, and began at zero.
            self.seen.clear();
        }
        self.seen.push_back((now, total));
        // The last value from before the window is what it is compared with.
        while self.seen.len() > MOST || self.seen.get(1).is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.seen.pop_front();
        }
        self.seen.front().map_or(0, |(_, first)| total - first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut recent = Recent::default();
        assert_eq!(recent.note(1000, seconds(0)), 0, "before it was looked at");
        assert_eq!(recent.note(1005, seconds(1)), 5);
        assert_eq!(recent.note(1005, seconds(9)), 5);
        assert_eq!(recent.note(1007, seconds(10)), 7);
        assert_eq!(recent.note(1007, seconds(11)), 2);
        assert_eq!(recent.note(1007, seconds(19)), 2);
        assert_eq!(recent.note(1007, seconds(20)), 0);
        assert_eq!(recent.note(1008, seconds(500)), 1);
        assert_eq!(recent.note(3, seconds(501)), 0, "another's");
        assert_eq!(recent.note(4, seconds(502)), 1);
    }

    #[test]
    fn it_keeps_little() {
        let mut recent = Recent::default();
        for n in 0..10_000 {
            recent.note(n, Duration::from_millis(n));
        }
        assert_eq!(recent.seen.len(), MOST);
    }
}
