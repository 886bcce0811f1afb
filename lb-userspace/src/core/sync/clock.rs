//! The time that all directors of a cluster share.

use std::time::Duration;

/// Clocks beyond this are out of all bounds: some nine thousand years.
const MOST: u64 = 1 << 48;
/// A step forward of this many milliseconds is too large for stamps to be compared across it: a hundred days.
const STRIDE: u64 = 100 * 86_400_000;
/// The same for a clock that was nobody else's so far: what it stamped, it stamped by a wall clock that was wrong.
const FIRST_STRIDE: u64 = 1_000;

/// Milliseconds that begin at the wall clock and never go back. Whoever hears a later time than its own takes it over, so
/// all follow the fastest clock, and what one director did after it had heard of another's deed is later than that.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClusterClock {
    /// What it shows at the zero of the monotonic clock.
    offset: u64,
    /// Whether it shows what others' clocks show. Who has heard one other may have heard one that is as far behind.
    is_shared: bool,
}

/// How far a clock was behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Not so far that it matters.
    Close,
    /// So far that stamps of before cannot be compared with those of now.
    FarBehind,
    /// The other shows nonsense.
    OutOfBounds,
}

/// Where a moment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    /// Stamps of then and of now can be compared.
    Near,
    /// The clock has made a leap since.
    LongBefore,
    /// Another's clock has made a leap that this one has not followed yet.
    LongAfter,
}

impl ClusterClock {
    /// A clock that shows `wall_ms` (milliseconds since 1970) at `now`.
    #[must_use]
    pub(super) fn new(wall_ms: u64, now: Duration) -> Self {
        Self {
            offset: wall_ms.min(MOST / 2).saturating_sub(ms(now)),
            is_shared: false,
        }
    }

    /// What it shows at `now`, in milliseconds.
    #[must_use]
    pub(super) fn at(&self, now: Duration) -> u64 {
        self.offset + ms(now)
    }

    /// Whether another moment can be compared with those of now.
    pub(super) fn compare(&self, other_ms: u64, now: Duration) -> Compared {
        let own = self.at(now);
        if own.saturating_sub(other_ms) > STRIDE {
            Compared::LongBefore
        } else if other_ms.saturating_sub(own) > STRIDE {
            Compared::LongAfter
        } else {
            Compared::Near
        }
    }

    /// The others' clocks are known, and followed: from now on it shows what theirs show.
    pub(super) fn share(&mut self) {
        self.is_shared = true;
    }

    /// Takes note of another's clock.
    pub(super) fn hear(&mut self, other_ms: u64, now: Duration) -> Heard {
        if other_ms > MOST {
            return Heard::OutOfBounds;
        }
        let behind = other_ms.saturating_sub(self.at(now));
        self.offset += behind;
        if behind > if self.is_shared { STRIDE } else { FIRST_STRIDE } {
            Heard::FarBehind
        } else {
            Heard::Close
        }
    }
}

fn ms(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_fastest_and_never_goes_back() {
        let at = Duration::from_millis;
        let mut clock = ClusterClock::new(1_000_000, at(500));
        assert_eq!(clock.at(at(500)), 1_000_000);
        assert_eq!(clock.at(at(700)), 1_000_200);
        assert_eq!(clock.hear(900_000, at(700)), Heard::Close);
        assert_eq!(clock.at(at(700)), 1_000_200);
        assert_eq!(clock.hear(1_000_300, at(700)), Heard::Close);
        assert_eq!(clock.at(at(710)), 1_000_310);
        assert_eq!(clock.hear(u64::MAX, at(710)), Heard::OutOfBounds);
        assert_eq!(clock.at(at(710)), 1_000_310);
        clock.share();
        assert_eq!(clock.hear(50 * 365 * 86_400_000, at(710)), Heard::FarBehind);
        assert_eq!(clock.at(at(711)), 50 * 365 * 86_400_000 + 1);
    }

    #[test]
    fn what_it_stamped_by_a_wrong_wall_clock_is_worth_nothing_to_others() {
        let mut clock = ClusterClock::new(1_000_000, Duration::ZERO);
        // The first one that it hears has just started, too.
        assert_eq!(clock.hear(1_000_100, Duration::ZERO), Heard::Close);
        assert_eq!(clock.hear(1_002_000, Duration::ZERO), Heard::FarBehind);
        clock.share();
        assert_eq!(
            clock.hear(1_004_000, Duration::ZERO),
            Heard::Close,
            "it stood still for a while"
        );
        let mut clock = ClusterClock::new(1_000_000, Duration::ZERO);
        assert_eq!(clock.hear(1_000_900, Duration::ZERO), Heard::Close);
    }

    #[test]
    fn a_wall_clock_out_of_bounds_does_not_matter() {
        let clock = ClusterClock::new(u64::MAX, Duration::from_secs(u64::from(u32::MAX)));
        assert!(clock.at(Duration::from_secs(u64::from(u32::MAX))) <= MOST);
    }
}
