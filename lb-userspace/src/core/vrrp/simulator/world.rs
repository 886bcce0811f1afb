//! Directors on one link, and what befalls them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Display, Write},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use lb_common::wire::vrrp::Interval;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::director::{Clock, Deed, Director, Life};
use crate::core::vrrp::{DOWN_ADVERTS, Event, OWNER, Preempt, Role, Settings, StopCause, Takeover, Vips};

/// A message is never longer on its way when the link is well.
const USUAL_DELAY: Duration = Duration::from_millis(2);
/// Of clocks: how far off a second may be, in millionths.
const CLOCK_ERROR: u32 = 20_000;

/// What the link does to messages.
#[derive(Debug, Clone, Copy, Default)]
struct Noise {
    lost: f64,
    twice: f64,
    damaged: f64,
    /// More than [`USUAL_DELAY`], and each message its own: they overtake each other.
    delay: Duration,
}

#[derive(Debug)]
struct Message {
    to: usize,
    source: Ipv4Addr,
    bytes: Vec<u8>,
}

pub(super) struct World {
    rng: StdRng,
    now: Duration,
    directors: Vec<Director>,
    /// From whom to whom nothing comes.
    cut: BTreeSet<(usize, usize)>,
    noise: Option<Noise>,
    messages: BTreeMap<(Duration, u64), Message>,
    sequence: u64,
    /// Since when nothing befell anybody and everybody hears everybody.
    calm_since: Option<Duration>,
    /// Since when there is more than one Active, or none.
    several_since: Option<Duration>,
    none_since: Option<Duration>,
    last_change: Duration,
    slowest: Duration,
    history: String,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(2..=4_usize);
        let interval = [1, 5, 10, 100][rng.random_range(0..4)];
        let has_owner = rng.random_bool(0.1);
        let preempts = rng.random_bool(0.7);
        let directors: Vec<_> = (0..count)
            .map(|index| {
                let priority = if has_owner && index == 0 {
                    OWNER
                } else {
                    // Few, so that some are equal.
                    [1, 50, 100, 100, 200, 254][rng.random_range(0..6)]
                };
                let factor = if rng.random_bool(0.2) { 3 } else { 1 };
                let settings = Settings {
                    vrid: 9,
                    priority,
                    interval: Interval::from_centiseconds(interval * factor).expect("1..=300"),
                    preempt: if preempts {
                        Preempt::After(Duration::from_millis([0, 0, 700][rng.random_range(0..3)]))
                    } else {
                        Preempt::Never
                    },
                    down_adverts: DOWN_ADVERTS,
                    takeover: Takeover::AtOnce,
                    peers: Vec::new(),
                    primary: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1 + index as u8)),
                    vips: Vips::V4(vec![[10, 0, 0, 100]]),
                };
                let clock = Clock {
                    offset: Duration::from_millis(rng.random_range(0..10_000_000)),
                    per_million: rng.random_range(1_000_000 - CLOCK_ERROR..=1_000_000 + CLOCK_ERROR),
                };
                Director::new(settings, clock)
            })
            .collect();
        let slowest = directors
            .iter()
            .map(|director| director.settings().interval.duration());
        Self {
            rng,
            now: Duration::ZERO,
            cut: BTreeSet::new(),
            noise: None,
            messages: BTreeMap::new(),
            sequence: 0,
            calm_since: Some(Duration::ZERO),
            several_since: None,
            none_since: Some(Duration::ZERO),
            last_change: Duration::ZERO,
            slowest: slowest.max().expect("two directors at least"),
            directors,
            history: String::new(),
        }
    }

    /// Longest time without an Active after something befell one: `Active_Down_Interval` is less than four intervals.
    fn longest_gap(&self) -> Duration {
        4 * self.slowest * (1_000_000 + 2 * CLOCK_ERROR) / 1_000_000 + 2 * USUAL_DELAY
    }

    /// Longest time with more than one: until the greatest has been heard, by one that became Active meanwhile too.
    fn longest_overlap(&self) -> Duration {
        2 * self.slowest * (1_000_000 + 2 * CLOCK_ERROR) / 1_000_000 + 4 * USUAL_DELAY
    }

    /// Starts everybody, lets `faults` things befall them, repairs everything, and looks who is Active in the end.
    pub(super) fn live(mut self, faults: usize) -> Result<String, String> {
        for index in 0..self.directors.len() {
            let wait = self.random(Duration::ZERO, self.longest_gap());
            self.run(wait)?;
            self.event(index, Event::Start);
            self.befell(format_args!("{index} starts"));
        }
        for _ in 0..faults {
            // Sometimes the next comes before the last is over.
            let wait = self.random(Duration::ZERO, 2 * self.longest_gap());
            self.run(wait)?;
            self.fault();
        }
        self.repair();
        let delay = Duration::from_secs(1);
        self.run(delay + 4 * self.longest_gap())?;
        let settled = self.now;
        self.run(4 * self.longest_gap())?;
        if self.last_change > settled {
            return Err(self.complaint("roles change while nothing happens"));
        }
        self.check_winner()?;
        Ok(self.history)
    }

    fn check_winner(&self) -> Result<(), String> {
        let active: Vec<_> = self.actives().collect();
        let [winner] = active[..] else {
            return Err(self.complaint("not one Active in the end"));
        };
        let greatest = self
            .directors
            .iter()
            .map(|director| director.settings().priority)
            .max();
        let winner = self.directors[winner].settings();
        if matches!(winner.preempt, Preempt::After(_)) && Some(winner.priority) != greatest {
            return Err(self.complaint("the greatest did not preempt"));
        }
        Ok(())
    }

    fn actives(&self) -> impl Iterator<Item = usize> {
        (0..self.directors.len()).filter(|index| self.directors[*index].role() == Some(Role::Active))
    }

    /// Lets `span` pass.
    fn run(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now + span;
        loop {
            let message = self.messages.keys().next().map(|(at, _)| *at);
            let wakes = (0..self.directors.len())
                .filter_map(|index| Some((self.directors[index].wakes_at()?, index)))
                .min();
            let next = [message, wakes.map(|(at, _)| at), self.verdict_at()];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return Ok(());
            };
            self.now = self.now.max(next);
            if message.is_some_and(|at| at <= self.now) {
                let ((_, _), Message { to, source, bytes }) =
                    self.messages.pop_first().expect("its time was just read");
                let deeds = self.directors[to].receive(bytes, source, self.now);
                self.did(to, deeds);
            } else if let Some((_, index)) = wakes.filter(|(at, _)| *at <= self.now) {
                self.event(index, Event::Tick);
            } else {
                return Err(self.complaint("too many Actives, or none, for too long"));
            }
        }
    }

    /// When the present state of affairs would break a promise.
    fn verdict_at(&self) -> Option<Duration> {
        let calm = self.calm_since?;
        let late = |since: Option<Duration>, longest| Some(since?.max(calm) + longest);
        let several = late(self.several_since, self.longest_overlap());
        let anybody = self
            .directors
            .iter()
            .any(|director| matches!(director.role(), Some(Role::Backup | Role::Active)));
        let none = late(self.none_since, self.longest_gap()).filter(|_| anybody);
        // What happens at this very time comes first.
        let first = several.into_iter().chain(none).min()?;
        Some(first + Duration::from_nanos(1))
    }

    fn event(&mut self, index: usize, event: Event) {
        let deeds = self.directors[index].handle(event, self.now);
        self.did(index, deeds);
    }

    fn life(&mut self, index: usize, life: Life) {
        let deeds = self.directors[index].live(life, self.now);
        self.did(index, deeds);
    }

    fn did(&mut self, index: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Sent { message, source } => self.send(index, &message, source),
                Deed::Changed(change) => {
                    self.last_change = self.now;
                    self.tell(format_args!(
                        "{index} {} -> {}: {}",
                        change.from, change.to, change.cause
                    ));
                }
            }
        }
        self.count();
    }

    fn send(&mut self, from: usize, message: &[u8], source: Ipv4Addr) {
        for to in 0..self.directors.len() {
            if to == from || self.cut.contains(&(from, to)) {
                continue;
            }
            let noise = self.noise.unwrap_or_default();
            let copies =
                u32::from(!self.rng.random_bool(noise.lost)) + u32::from(self.rng.random_bool(noise.twice));
            for _ in 0..copies {
                let mut bytes = message.to_vec();
                if self.rng.random_bool(noise.damaged) {
                    let bit = self.rng.random_range(0..bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                let delay = self.random(Duration::from_micros(1), USUAL_DELAY + noise.delay);
                self.sequence += 1;
                self.messages
                    .insert((self.now + delay, self.sequence), Message { to, source, bytes });
            }
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let count = self.directors.len();
        (0..count * count).map(move |pair| (pair / count, pair % count))
    }

    fn fault(&mut self) {
        let index = self.rng.random_range(0..self.directors.len());
        match self.rng.random_range(0..12) {
            0 | 1 => {
                self.life(index, Life::Dead);
                self.befell(format_args!("{index} crashes"));
            }
            2 | 3 => {
                self.life(index, Life::Runs);
                self.event(index, Event::Start);
                self.befell(format_args!("{index} comes back"));
            }
            4 => {
                self.life(index, Life::Sleeps);
                self.befell(format_args!("{index} falls asleep"));
            }
            5 => {
                self.event(index, Event::Stop(StopCause::Shutdown));
                self.befell(format_args!("{index} stops"));
            }
            6 => {
                self.event(index, Event::Stop(StopCause::LinkDown));
                self.befell(format_args!("{index} loses its link"));
            }
            7 => {
                let sides: Vec<_> = self.directors.iter().map(|_| self.rng.random_bool(0.5)).collect();
                let pairs = self.pairs().filter(|(from, to)| sides[*from] != sides[*to]);
                self.cut = pairs.collect();
                self.befell(format_args!("the link is in two: {sides:?}"));
            }
            8 => {
                let other = (index + self.rng.random_range(1..self.directors.len())) % self.directors.len();
                self.cut.insert((index, other));
                self.befell(format_args!("{other} does not hear {index}"));
            }
            9 => {
                let noise = Noise {
                    lost: self.rng.random_range(0.0..0.9),
                    twice: self.rng.random_range(0.0..0.5),
                    damaged: self.rng.random_range(0.0..0.3),
                    delay: self.random(Duration::ZERO, 3 * self.slowest),
                };
                self.noise = Some(noise);
                self.befell(format_args!("{noise:?}"));
            }
            _ => {
                self.cut.clear();
                self.noise = None;
                self.befell("the link is well");
            }
        }
    }

    fn repair(&mut self) {
        self.cut.clear();
        self.noise = None;
        for index in 0..self.directors.len() {
            self.life(index, Life::Runs);
            self.event(index, Event::Start);
        }
        self.befell("all is repaired");
    }

    fn befell(&mut self, what: impl Display) {
        self.tell(what);
        let is_whole = self.noise.is_none() && self.cut.is_empty();
        // What was sent in bad times still arrives, late.
        let last_words = self.messages.keys().next_back().map_or(self.now, |(at, _)| *at);
        self.calm_since = is_whole.then(|| last_words.max(self.now));
        self.count();
    }

    fn count(&mut self) {
        let count = self.actives().count();
        let since = |is: bool, since: Option<Duration>| is.then(|| since.unwrap_or(self.now));
        (self.several_since, self.none_since) = (
            since(count > 1, self.several_since),
            since(count == 0, self.none_since),
        );
    }

    fn random(&mut self, least: Duration, most: Duration) -> Duration {
        self.rng.random_range(least..=most)
    }

    fn tell(&mut self, what: impl Display) {
        let now = self.now;
        writeln!(self.history, "{now:?} {what}").expect("a string takes everything");
    }

    fn complaint(&self, what: &str) -> String {
        let (history, now) = (&self.history, self.now);
        let directors = &self.directors;
        format!("{history}{now:?}: {what}\n{directors:#?}")
    }
}
