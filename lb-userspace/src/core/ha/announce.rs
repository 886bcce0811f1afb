//! When to announce which VIP: rounds over all of them, in bursts that switches can bear.

use std::time::Duration;

use crate::core::model::Announce;

/// Frames go out in bursts that far apart at least.
const BURST: Duration = Duration::from_millis(10);

/// The announcements of one virtual router's VIPs.
#[derive(Debug, Clone)]
pub(super) struct Announcements {
    settings: Announce,
    /// The round that is under way, or waits.
    round: Option<Round>,
}

#[derive(Debug, Clone, Copy)]
struct Round {
    /// The next VIP of the round.
    next: usize,
    /// When it is due.
    at: Duration,
    /// Rounds that follow this one.
    left: u8,
}

impl Announcements {
    pub(super) fn new(settings: Announce) -> Self {
        Self {
            settings,
            round: None,
        }
    }

    pub(super) fn reconfigure(&mut self, settings: Announce) {
        self.settings = settings;
    }

    /// The VIPs are here now: all rounds, from the first VIP on.
    pub(super) fn start(&mut self, now: Duration) {
        self.round = Some(Round {
            next: 0,
            at: now,
            left: self.settings.repeat.saturating_sub(1),
        });
    }

    /// Somebody else claimed a VIP: a round more, unless one is under way.
    pub(super) fn again(&mut self, now: Duration) {
        let left = self.round.map_or(0, |round| round.left);
        if self.round.is_none_or(|round| round.next == 0) {
            let at = self.round.map_or(now, |round| round.at.min(now));
            self.round = Some(Round { next: 0, at, left });
        }
    }

    /// The VIPs are no longer here.
    pub(super) fn stop(&mut self) {
        self.round = None;
    }

    /// Numbers of the VIPs, of `count`, that are to be announced now.
    pub(super) fn due(&mut self, count: usize, now: Duration) -> std::ops::Range<usize> {
        let Some(round) = self.round.filter(|round| round.at <= now && count > 0) else {
            return 0..0;
        };
        // Fewer VIPs than when the round began?
        let first = round.next.min(count - 1);
        let end = count.min(first + self.burst());
        self.round = if end < count {
            Some(Round {
                next: end,
                at: now + self.gap(),
                ..round
            })
        } else {
            self.following(round.left, now)
        };
        first..end
    }

    fn following(&self, left: u8, now: Duration) -> Option<Round> {
        let Announce {
            interval, refresh, ..
        } = self.settings;
        let (wait, left) = match left {
            0 => ((!refresh.is_zero()).then_some(refresh)?, 0),
            more => (interval, more - 1),
        };
        Some(Round {
            next: 0,
            at: now + wait.max(self.gap()),
            left,
        })
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.round.map(|round| round.at)
    }

    /// Frames that go out together.
    fn burst(&self) -> usize {
        let frames = u64::from(self.settings.rate) * BURST.as_millis() as u64 / 1000;
        frames.max(1) as usize
    }

    /// Time between two bursts.
    fn gap(&self) -> Duration {
        Duration::from_secs(1) * self.burst() as u32 / self.settings.rate.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn settings(repeat: u8, rate: u32, refresh: Duration) -> Announce {
        Announce {
            repeat,
            interval: 500 * MS,
            rate,
            refresh,
        }
    }

    /// When each VIP is announced, up to `end`, if the caller is never late.
    fn run(announcements: &mut Announcements, count: usize, end: Duration) -> Vec<(Duration, usize)> {
        let mut said = Vec::new();
        while let Some(at) = announcements.next_deadline().filter(|at| *at <= end) {
            let due = announcements.due(count, at);
            assert!(!due.is_empty());
            said.extend(due.map(|vip| (at, vip)));
        }
        said
    }

    #[test]
    fn every_vip_at_once_and_then_again() {
        let mut announcements = Announcements::new(settings(3, 2000, Duration::ZERO));
        announcements.start(7 * MS);
        let said = run(&mut announcements, 2, Duration::from_secs(60));
        let at = |round: u32| 7 * MS + 500 * MS * round;
        assert_eq!(
            said,
            [
                (at(0), 0),
                (at(0), 1),
                (at(1), 0),
                (at(1), 1),
                (at(2), 0),
                (at(2), 1)
            ]
        );
        assert_eq!(announcements.next_deadline(), None);
    }

    #[test]
    fn hundreds_of_vips_keep_the_rate() {
        for (count, rate) in [(300, 2000), (300, 100), (255, 7), (1, 1), (1000, 1_000_000)] {
            let mut announcements = Announcements::new(settings(2, rate, Duration::ZERO));
            announcements.start(Duration::ZERO);
            let said = run(&mut announcements, count, Duration::from_secs(100_000));
            assert_eq!(said.len(), 2 * count);
            for vip in 0..count {
                assert_eq!(said.iter().filter(|(_, said)| *said == vip).count(), 2);
            }
            let last = said.last().expect("two rounds").0;
            let paced = said.len().saturating_sub(announcements.burst());
            let fastest = Duration::from_secs(1) * paced as u32 / rate;
            assert!(last + MS >= fastest, "{count} at {rate}/s within {last:?}");
            // A burst is a hundredth of a second's frames, so the first VIP is not alone in being at once.
            assert!(announcements.burst() <= (rate as usize / 100).max(1));
        }
    }

    #[test]
    fn a_refresh_never_ends_and_a_stop_does() {
        let mut announcements = Announcements::new(settings(1, 2000, Duration::from_secs(10)));
        announcements.start(Duration::ZERO);
        let said = run(&mut announcements, 1, Duration::from_secs(35));
        assert_eq!(said.len(), 4, "{said:?}");
        announcements.stop();
        assert_eq!(announcements.next_deadline(), None);
        assert!(announcements.due(1, Duration::from_secs(99)).is_empty());
    }

    #[test]
    fn a_claim_of_somebody_else_brings_one_round_forward() {
        let mut announcements = Announcements::new(settings(2, 2000, Duration::ZERO));
        announcements.start(Duration::ZERO);
        assert_eq!(announcements.due(1, Duration::ZERO), 0..1);
        announcements.again(20 * MS);
        announcements.again(21 * MS);
        assert_eq!(announcements.due(1, 21 * MS), 0..1);
        assert_eq!(announcements.next_deadline(), None);
        announcements.again(9000 * MS);
        assert_eq!(announcements.due(1, 9000 * MS), 0..1);
        assert_eq!(announcements.next_deadline(), None);
    }

    #[test]
    fn vips_that_went_meanwhile_are_no_trouble() {
        let mut announcements = Announcements::new(settings(1, 100, Duration::ZERO));
        announcements.start(Duration::ZERO);
        for _ in 0..5 {
            let at = announcements.next_deadline().expect("under way");
            announcements.due(10, at);
        }
        let at = announcements.next_deadline().expect("under way");
        assert_eq!(announcements.due(2, at), 1..2);
        assert_eq!(announcements.due(0, at), 0..0);
    }
}
