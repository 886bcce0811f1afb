//! When which probe is to be run.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Timing;

/// First probes are spread over this time, or an interval if that is shorter: what is unknown must soon be known.
const FIRST: Duration = Duration::from_secs(1);
/// Part of an interval, in thousandths, by which it may be shorter than set, so that probes do not fall into step.
const JITTER: u64 = 100;

/// Probes by number, and when each is due. Intervals count from the beginning of one to the beginning of the next and are
/// never longer than set, so that bounds on detection hold; one that is still running is not begun again.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    probes: BTreeMap<u32, Entry>,
    due: BTreeSet<(Duration, u32)>,
    /// State of the generator of jitter: SplitMix64.
    random: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    timing: Timing,
    begun: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting(Duration),
    Running,
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            probes: BTreeMap::new(),
            due: BTreeSet::new(),
            random: seed,
        }
    }

    /// Adds a probe, to be run soon for the first time.
    pub(super) fn add(&mut self, probe: u32, timing: Timing, now: Duration) {
        self.remove(probe);
        let at = now + self.part_of(timing.interval.min(FIRST));
        let state = State::Waiting(at);
        self.probes.insert(
            probe,
            Entry {
                timing,
                begun: now,
                state,
            },
        );
        self.due.insert((at, probe));
    }

    /// Runs it by another timing from the next time on.
    pub(super) fn retime(&mut self, probe: u32, timing: Timing) {
        if let Some(entry) = self.probes.get_mut(&probe) {
            entry.timing = timing;
        }
    }

    pub(super) fn remove(&mut self, probe: u32) {
        if let Some(Entry {
            state: State::Waiting(at),
            ..
        }) = self.probes.remove(&probe)
        {
            self.due.remove(&(at, probe));
        }
    }

    /// The next probe that is due, which counts as running from now on.
    pub(super) fn begin(&mut self, now: Duration) -> Option<(u32, Timing)> {
        loop {
            let &(at, probe) = self.due.first()?;
            if at > now {
                return None;
            }
            self.due.pop_first();
            let interval = self.probes.get(&probe)?.timing.interval;
            if now - at > interval {
                // Nobody looked for longer than an interval: the machine slept. All at once would be a storm.
                let at = now + self.part_of(interval.min(FIRST));
                self.wait(probe, at);
                continue;
            }
            let entry = self.probes.get_mut(&probe)?;
            entry.begun = now;
            entry.state = State::Running;
            return Some((probe, entry.timing));
        }
    }

    /// The probe has ended; `changing`: the next outcome matters more than usual.
    pub(super) fn end(&mut self, probe: u32, changing: bool, now: Duration) {
        let Some(&Entry { timing, begun, state }) = self.probes.get(&probe) else {
            return;
        };
        if state != State::Running {
            return;
        }
        let interval = if changing {
            timing.fast_interval
        } else {
            timing.interval
        };
        let shorter = self.part_of(interval * JITTER as u32 / 1000);
        self.wait(probe, (begun + interval - shorter).max(now));
    }

    fn wait(&mut self, probe: u32, at: Duration) {
        if let Some(entry) = self.probes.get_mut(&probe) {
            entry.state = State::Waiting(at);
            self.due.insert((at, probe));
        }
    }

    /// When [`Schedule::begin`] has something next.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A random part of `whole`.
    fn part_of(&mut self, whole: Duration) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = (x ^ (x >> 31)) >> 32;
        Duration::from_nanos(((u128::from(part) * whole.as_nanos()) >> 32) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        interval: Duration::from_secs(2),
        fast_interval: Duration::from_millis(500),
        timeout: Duration::from_secs(1),
    };

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Runs the schedule up to `end`; each probe takes `took`. Beginnings by probe.
    fn run(
        schedule: &mut Schedule,
        from: Duration,
        end: Duration,
        took: Duration,
    ) -> BTreeMap<u32, Vec<Duration>> {
        let mut begun: BTreeMap<u32, Vec<Duration>> = BTreeMap::new();
        let mut running: BTreeSet<(Duration, u32)> = BTreeSet::new();
        let mut now = from;
        loop {
            while let Some((probe, _)) = schedule.begin(now) {
                begun.entry(probe).or_default().push(now);
                running.insert((now + took, probe));
            }
            let next = [schedule.next_deadline(), running.first().map(|(at, _)| *at)];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next <= end) else {
                return begun;
            };
            now = now.max(next);
            while let Some(&(at, probe)) = running.first().filter(|(at, _)| *at <= now) {
                running.remove(&(at, probe));
                schedule.end(probe, false, now);
            }
        }
    }

    #[test]
    fn probes_are_spread_and_intervals_are_never_too_long() {
        let mut schedule = Schedule::new(7);
        for probe in 0..1000 {
            schedule.add(probe, TIMING, ms(5000));
        }
        let begun = run(&mut schedule, ms(5000), ms(65_000), ms(3));
        assert_eq!(begun.len(), 1000);
        let mut per_slice = [0_u32; 60];
        for times in begun.values() {
            assert!(times[0] <= ms(6000), "the first one comes soon");
            for pair in times.windows(2) {
                let interval = pair[1] - pair[0];
                assert!(
                    interval <= TIMING.interval && interval >= ms(1800),
                    "{interval:?}"
                );
            }
            for time in times {
                per_slice[((*time - ms(5000)).as_millis() as usize / 1000).min(59)] += 1;
            }
        }
        // After a while, every second has about as many as any other.
        for (second, count) in (0..).zip(per_slice).skip(30) {
            assert!((250..850).contains(&count), "{count} in second {second}");
        }
    }

    #[test]
    fn one_that_hangs_is_not_begun_again_and_then_at_once() {
        let mut schedule = Schedule::new(1);
        schedule.add(1, TIMING, ms(0));
        let at = schedule.next_deadline().unwrap();
        assert_eq!(schedule.begin(at), Some((1, TIMING)));
        assert_eq!(schedule.begin(ms(100_000)), None);
        assert_eq!(schedule.next_deadline(), None);
        schedule.end(1, false, ms(100_000));
        assert_eq!(schedule.next_deadline(), Some(ms(100_000)));
    }

    #[test]
    fn while_it_changes_it_is_run_more_often() {
        let mut schedule = Schedule::new(1);
        schedule.add(1, TIMING, ms(0));
        let at = schedule.next_deadline().unwrap();
        schedule.begin(at);
        schedule.end(1, true, at + ms(10));
        let next = schedule.next_deadline().unwrap() - at;
        assert!((ms(450)..=ms(500)).contains(&next), "{next:?}");
    }

    #[test]
    fn a_machine_that_slept_does_not_run_all_at_once() {
        let mut schedule = Schedule::new(3);
        for probe in 0..1000 {
            schedule.add(probe, TIMING, ms(0));
        }
        let day = Duration::from_secs(86_400);
        assert_eq!(schedule.begin(day), None);
        let begun = run(&mut schedule, day, day + ms(1000), ms(1));
        assert_eq!(begun.len(), 1000);
        let early = begun.values().filter(|times| times[0] < day + ms(100)).count();
        assert!(
            (50..200).contains(&early),
            "{early} in the first tenth of a second"
        );
    }

    #[test]
    fn what_is_removed_is_not_run() {
        let mut schedule = Schedule::new(1);
        schedule.add(1, TIMING, ms(0));
        schedule.remove(1);
        assert_eq!(
            (schedule.next_deadline(), schedule.begin(ms(99_999))),
            (None, None)
        );
        schedule.add(1, TIMING, ms(0));
        let at = schedule.next_deadline().unwrap();
        schedule.begin(at);
        schedule.remove(1);
        schedule.end(1, false, ms(10));
        assert_eq!(schedule.next_deadline(), None);
    }
}
