//! Which probe is to be run when, and what its outcome means for everybody who watches its target.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use super::{Finding, Judge, Outcome, ProbeTarget, Share, Timing, Tracker, Verdict, schedule::Schedule};
use crate::core::backend::Says;

/// Differences of latency that are not worth being told.
const NOISE: Duration = Duration::from_millis(2);

/// Names a check of a backend of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchKey {
    /// Name of the service.
    pub service: Arc<str>,
    /// Address of the backend.
    pub backend: IpAddr,
    /// Number of the check within the service.
    pub check: u32,
}

/// A check of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// What is asked.
    pub target: Arc<ProbeTarget>,
    /// When; of several who watch one target, the shortest times count.
    pub timing: Timing,
    /// How outcomes are judged.
    pub judge: Judge,
    /// What it counts as until its first outcome.
    pub assumed: Verdict,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// These are to be watched from now on, and nothing else. What is watched already goes on as it was.
    Watch(BTreeMap<WatchKey, Watch>),
    /// A probe has ended.
    Ended {
        /// Its number.
        probe: u32,
        /// How.
        outcome: Outcome,
    },
    /// [`Monitor::next_deadline`] may have passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Run a probe, and hand in [`Input::Ended`]; it must not take longer than `timeout`.
    Run {
        /// Its number.
        probe: u32,
        /// What is asked.
        target: Arc<ProbeTarget>,
        /// How long it may take.
        timeout: Duration,
    },
    /// Nobody wants to know any more how this probe ends.
    Cancel {
        /// Its number.
        probe: u32,
    },
    /// Something is known of a check that was not known before: its verdict, what the backend says, or a warning.
    News {
        /// Which check.
        watch: WatchKey,
        /// What is known.
        report: Report,
    },
}

/// What is known of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it has come to, and what the backend says of itself.
    pub finding: Finding,
    /// Why, as a sentence: of the failure, or of why success is not believed. Empty if all is well.
    pub reason: String,
    /// What is to be said of it although it succeeds.
    pub warning: Option<String>,
    /// How long successes take: smoothed, and told anew only when it has changed by a quarter.
    pub took: Option<Duration>,
}

/// A target, and its probe.
#[derive(Debug, Clone)]
struct Running {
    number: u32,
    timing: Timing,
    watchers: Vec<WatchKey>,
    active: bool,
}

#[derive(Debug, Clone)]
struct Watched {
    watch: Watch,
    tracker: Tracker,
    report: Report,
    /// How long successes take, smoothed.
    latency: Option<Duration>,
    /// Whether there was an outcome.
    is_judged: bool,
}

impl Watched {
    /// Whether what is known of it holds for this, too. What is assumed matters until there is an outcome.
    fn goes_on_as(&self, watch: &Watch) -> bool {
        self.watch.target == watch.target
            && self.watch.judge == watch.judge
            && (self.is_judged || self.watch.assumed == watch.assumed)
    }
}

/// Runs probes and judges their outcomes.
#[derive(Debug, Clone)]
pub struct Monitor {
    schedule: Schedule,
    targets: BTreeMap<Arc<ProbeTarget>, Running>,
    numbers: BTreeMap<u32, Arc<ProbeTarget>>,
    next_number: u32,
    watches: BTreeMap<WatchKey, Watched>,
    outputs: VecDeque<Output>,
}

impl Monitor {
    /// Watches nothing yet. `seed` decides how probes are spread.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            schedule: Schedule::new(seed),
            targets: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            watches: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input, now: Duration) {
        match input {
            Input::Watch(wanted) => self.watch(wanted, now),
            Input::Ended { probe, outcome } => self.ended(probe, &outcome, now),
            Input::Tick => {}
        }
        while let Some((probe, timing)) = self.schedule.begin(now) {
            let Some(target) = self.numbers.get(&probe) else {
                continue;
            };
            if let Some(running) = self.targets.get_mut(target) {
                running.active = true;
            }
            self.outputs.push_back(Output::Run {
                probe,
                target: Arc::clone(target),
                timeout: timing.timeout,
            });
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in [`Input::Tick`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        self.schedule.next_deadline()
    }

    /// How many targets are probed.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.targets.len()
    }

    fn watch(&mut self, wanted: BTreeMap<WatchKey, Watch>, now: Duration) {
        let mut old = std::mem::take(&mut self.watches);
        let mut watchers: BTreeMap<Arc<ProbeTarget>, (Timing, Vec<WatchKey>)> = BTreeMap::new();
        for (key, watch) in wanted {
            let (timing, of) = watchers
                .entry(Arc::clone(&watch.target))
                .or_insert_with(|| (watch.timing, Vec::new()));
            *timing = shortest(*timing, watch.timing);
            of.push(key.clone());
            let watched = match old.remove(&key) {
                Some(known) if known.goes_on_as(&watch) => Watched { watch, ..known },
                Some(_) | None => Watched {
                    tracker: Tracker::new(watch.judge, watch.assumed),
                    report: Report {
                        finding: Finding {
                            verdict: watch.assumed,
                            ..Finding::NONE
                        },
                        reason: String::new(),
                        warning: None,
                        took: None,
                    },
                    latency: None,
                    is_judged: false,
                    watch,
                },
            };
            self.watches.insert(key, watched);
        }
        for (target, running) in self
            .targets
            .extract_if(.., |target, _| !watchers.contains_key(target))
        {
            debug_assert_eq!(self.numbers.get(&running.number), Some(&target));
            self.numbers.remove(&running.number);
            self.schedule.remove(running.number);
            if running.active {
                self.outputs.push_back(Output::Cancel {
                    probe: running.number,
                });
            }
        }
        for (target, (timing, watchers)) in watchers {
            if let Some(running) = self.targets.get_mut(&target) {
                running.watchers = watchers;
                if running.timing != timing {
                    running.timing = timing;
                    self.schedule.retime(running.number, timing);
                }
                continue;
            }
            let number = self.next_number;
            self.next_number = self.next_number.wrapping_add(1);
            self.schedule.add(number, timing, now);
            self.numbers.insert(number, Arc::clone(&target));
            let running = Running {
                number,
                timing,
                watchers,
                active: false,
            };
            self.targets.insert(target, running);
        }
    }

    fn ended(&mut self, probe: u32, outcome: &Outcome, now: Duration) {
        let Some(target) = self.numbers.get(&probe) else {
            return;
        };
        let Some(running) = self.targets.get_mut(target) else {
            return;
        };
        running.active = false;
        let mut changing = false;
        for key in &running.watchers {
            let Some(watched) = self.watches.get_mut(key) else {
                continue;
            };
            let changed = watched.tracker.note(outcome.is_success(), now);
            changing |= watched.tracker.is_changing();
            let latency = match outcome {
                Outcome::Success(success) => Some(smooth(watched.latency, success.took)),
                Outcome::Failure(_) => watched.latency,
            };
            watched.latency = latency;
            let report = Report {
                took: told(watched.report.took, latency),
                ..report(&watched.report, &watched.tracker, outcome)
            };
            let news = changed
                || !watched.is_judged
                || report.took != watched.report.took
                || report.finding != watched.report.finding
                || report.warning != watched.report.warning
                || (report.reason != watched.report.reason && report.finding.verdict == Verdict::Down);
            watched.report = report;
            watched.is_judged = true;
            if news {
                self.outputs.push_back(Output::News {
                    watch: key.clone(),
                    report: watched.report.clone(),
                });
            }
        }
        self.schedule.end(probe, changing, now);
    }
}

/// What is known after an outcome.
fn report(before: &Report, tracker: &Tracker, outcome: &Outcome) -> Report {
    let verdict = tracker.verdict();
    match outcome {
        Outcome::Success(success) => Report {
            finding: Finding {
                verdict,
                says: success.says,
                weight: success.weight,
            },
            reason: if tracker.is_suppressed() && verdict == Verdict::Down {
                "it answers, but has failed so often of late that it is not believed yet".to_owned()
            } else {
                String::new()
            },
            warning: success.warning.clone(),
            took: before.took,
        },
        Outcome::Failure(reason) => Report {
            finding: match verdict {
                // What it said while it was well counts no more when it comes back.
                Verdict::Down => Finding {
                    verdict,
                    says: Says::Up,
                    weight: Share::WHOLE,
                },
                Verdict::Up | Verdict::Unknown => Finding {
                    verdict,
                    ..before.finding
                },
            },
            reason: reason.clone(),
            warning: before.warning.clone(),
            took: before.took,
        },
    }
}

/// A new average, in which the latest one counts for a quarter.
fn smooth(before: Option<Duration>, took: Duration) -> Duration {
    before.map_or(took, |before| (before * 3 + took) / 4)
}

/// The average that is told: the same as before unless it differs by more than a quarter, and by more than noise.
fn told(before: Option<Duration>, now: Option<Duration>) -> Option<Duration> {
    match (before, now) {
        (Some(before), Some(now)) if before.abs_diff(now) <= NOISE.max(before / 4) => Some(before),
        (_, now) => now.or(before),
    }
}

fn shortest(a: Timing, b: Timing) -> Timing {
    Timing {
        interval: a.interval.min(b.interval),
        fast_interval: a.fast_interval.min(b.fast_interval),
        timeout: a.timeout.min(b.timeout),
    }
}

#[cfg(test)]
mod tests {
    use Verdict::{Down, Unknown, Up};

    use super::*;
    use crate::core::health::{Probe, Success};

    /// What is assumed may change until there is an outcome, and the first outcome is set against it.
    #[test]
    fn what_is_assumed_later_counts_as_well() {
        let key = WatchKey {
            service: "web".into(),
            backend: [10, 0, 0, 1].into(),
            check: 0,
        };
        let watch = |assumed| Watch {
            target: Arc::new(ProbeTarget {
                address: key.backend,
                port: 80,
                route: None,
                probe: Probe::Tcp,
            }),
            timing: Timing {
                interval: Duration::from_secs(2),
                fast_interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
            },
            judge: Judge {
                rise: 2,
                fall: 3,
                damping: Duration::ZERO,
            },
            assumed,
        };
        let verdict = |assumed: &[Verdict], outcomes: &[bool]| {
            let mut monitor = Monitor::new(1);
            let mut verdict = None;
            let mut now = Duration::ZERO;
            for assumed in assumed {
                monitor.handle(
                    Input::Watch(BTreeMap::from([(key.clone(), watch(*assumed))])),
                    now,
                );
            }
            for &is_good in outcomes {
                now += Duration::from_secs(5);
                monitor.handle(Input::Tick, now);
                let outcome = if is_good {
                    Outcome::Success(Success {
                        took: Duration::from_millis(1),
                        says: Says::Up,
                        weight: Share::WHOLE,
                        warning: None,
                    })
                } else {
                    Outcome::Failure("refused".into())
                };
                monitor.handle(Input::Ended { probe: 0, outcome }, now);
                while let Some(output) = monitor.poll_output() {
                    if let Output::News { report, .. } = output {
                        verdict = Some(report.finding.verdict);
                    }
                }
            }
            verdict
        };
        assert_eq!(verdict(&[Unknown], &[false]), Some(Down));
        assert_eq!(
            verdict(&[Unknown, Up], &[false, false]),
            Some(Up),
            "it takes three"
        );
        assert_eq!(verdict(&[Unknown, Up], &[false, false, false]), Some(Down));
        assert_eq!(verdict(&[Up, Down], &[true]), Some(Down), "it takes two");
    }
}
