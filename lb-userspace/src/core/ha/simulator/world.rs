//! Directors on their networks, and what befalls them.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    super::tests::instance,
    director::{Clock, Deed, Director, Life, Message},
    network::{Network, Noise, USUAL_DELAY},
};
use crate::core::{
    model::{self, Failback, Instance, Medium},
    vrrp::Role,
};

/// Of clocks: how far off a second may be, in millionths.
const CLOCK_ERROR: u32 = 10_000;

pub(super) struct World {
    rng: StdRng,
    now: Duration,
    directors: Vec<Director>,
    /// When each next does something by itself.
    wakes: Vec<Option<Duration>>,
    networks: Vec<Network>,
    messages: BTreeMap<(Duration, u64), (usize, Message)>,
    sequence: u64,
    /// Since when nothing befell any director.
    undisturbed_since: Duration,
    /// Since when there is more than one Active, or none.
    several_since: Option<Duration>,
    none_since: Option<Duration>,
    last_change: Duration,
    interval: Duration,
    history: String,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = [2, 2, 2, 2, 3, 3, 3, 4, 5, 8][rng.random_range(0..10)];
        let interval = Duration::from_millis([20, 50, 100][rng.random_range(0..3)]);
        let failback = if rng.random_bool(0.7) {
            Failback::Immediate
        } else {
            Failback::Never
        };
        let paths: Vec<_> = (0..rng.random_range(1..=2))
            .map(|number| model::Heartbeat {
                name: format!("p{number}"),
                interval,
                medium: Medium::multicast(&format!("eth{}", number + 1)),
            })
            .collect();
        let networks = (0..=paths.len()).map(|_| Network::new()).collect();
        let directors: Vec<_> = (0..count)
            .map(|number| {
                let instance = Instance {
                    // Few, so that some are equal.
                    priority: [1, 50, 100, 100, 200, 254][rng.random_range(0..6)],
                    advert_interval: interval,
                    failback,
                    failback_delay: Duration::from_millis([0, 0, 700][rng.random_range(0..3)]),
                    ..instance("front", 9, &["10.0.0.100"])
                };
                let clock = Clock {
                    offset: Duration::from_millis(rng.random_range(0..10_000_000)),
                    per_million: rng.random_range(1_000_000 - CLOCK_ERROR..=1_000_000 + CLOCK_ERROR),
                };
                Director::new(number, instance, paths.clone(), clock)
            })
            .collect();
        Self {
            rng,
            now: Duration::ZERO,
            wakes: vec![None; directors.len()],
            directors,
            networks,
            messages: BTreeMap::new(),
            sequence: 0,
            undisturbed_since: Duration::ZERO,
            several_since: None,
            none_since: Some(Duration::ZERO),
            last_change: Duration::ZERO,
            interval,
            history: String::new(),
        }
    }

    /// Longest time without an Active after something befell one: until its silence is sure on all networks.
    fn longest_gap(&self) -> Duration {
        self.by_clock(9 * self.interval / 2) + 4 * USUAL_DELAY
    }

    /// Longest time with more than one, once they hear each other: until they have.
    fn longest_overlap(&self) -> Duration {
        self.by_clock(2 * self.interval) + 4 * USUAL_DELAY
    }

    /// Longest time with more than one while they hear each other all the time.
    fn shortest_overlap() -> Duration {
        3 * USUAL_DELAY
    }

    fn by_clock(&self, time: Duration) -> Duration {
        time * (1_000_000 + 2 * CLOCK_ERROR) / 1_000_000
    }

    /// Starts everybody, lets `faults` things befall them, repairs everything, and looks who is Active in the end.
    pub(super) fn live(mut self, faults: usize) -> Result<String, String> {
        for index in 0..self.directors.len() {
            let wait = self.random(Duration::ZERO, self.longest_gap());
            self.run(wait)?;
            self.life(index, Life::Runs);
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
        self.run(delay + 2 * self.longest_gap())?;
        let settled = self.now;
        self.run(2 * self.longest_gap())?;
        self.check_end(settled)?;
        Ok(self.history)
    }

    fn check_end(&self, settled: Duration) -> Result<(), String> {
        let active: Vec<_> = self.actives().collect();
        let [winner] = active[..] else {
            return Err(self.complaint("not one Active in the end"));
        };
        // Who lost the VIPs several times, or gave them up as ordered, does not ask for them.
        let modest = |director: &Director| {
            let group = &director.member.groups[0];
            group.candidacy.stands_back || group.flaps.lost_lately()
        };
        if self.directors.iter().any(modest) {
            return Ok(());
        }
        if self.last_change > settled {
            return Err(self.complaint("roles change while nothing happens"));
        }
        let priority = |director: &Director| director.instance().priority;
        let greatest = self.directors.iter().map(priority).max();
        let winner = &self.directors[winner];
        if winner.instance().failback == Failback::Immediate && Some(priority(winner)) != greatest {
            return Err(self.complaint("the greatest did not get the VIPs"));
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
            let wakes = self.wakes.iter().enumerate();
            let wakes = wakes.filter_map(|(index, at)| Some(((*at)?, index))).min();
            let next = [message, wakes.map(|(at, _)| at), self.verdict_at()];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return Ok(());
            };
            self.now = self.now.max(next);
            if message.is_some_and(|at| at <= self.now) {
                let (_, (to, message)) = self.messages.pop_first().expect("its time was just read");
                let deeds = self.directors[to].receive(message, self.now);
                self.did(to, deeds);
            } else if let Some((_, index)) = wakes.filter(|(at, _)| *at <= self.now) {
                let deeds = self.directors[index].tick(self.now);
                self.did(index, deeds);
            } else {
                return Err(self.complaint("too many Actives, or none, for too long"));
            }
        }
    }

    /// When the present state of affairs would break a promise.
    fn verdict_at(&self) -> Option<Duration> {
        // The clients' network joins nobody whose link is down.
        let links = self.directors.iter().all(|director| director.link);
        let joins =
            |(number, network): (usize, &Network)| network.whole_since.filter(|_| number > 0 || links);
        let whole: Vec<_> = self.networks.iter().enumerate().map(joins).collect();
        let joined = whole.iter().flatten().min().copied();
        let several = self.several_since.zip(joined).map(|(several, joined)| {
            // Who was in another part, or is new, needs a heartbeat to know better.
            let known = joined.max(self.undisturbed_since) + self.longest_gap();
            if several > known {
                several + Self::shortest_overlap()
            } else {
                several.max(joined).max(self.undisturbed_since) + self.longest_overlap() + self.longest_gap()
            }
        });
        let calm = whole
            .iter()
            .copied()
            .try_fold(self.undisturbed_since, |calm, since| Some(calm.max(since?)));
        let anybody = self
            .directors
            .iter()
            .any(|director| matches!(director.role(), Some(Role::Backup | Role::Active)));
        let none = self.none_since.zip(calm).filter(|_| anybody);
        let none = none.map(|(none, calm)| none.max(calm) + self.longest_gap());
        let both = self.several_since.zip(calm);
        let both = both.map(|(several, calm)| several.max(calm) + self.longest_overlap());
        // What happens at this very time comes first.
        let first = several.into_iter().chain(none).chain(both).min()?;
        Some(first + Duration::from_nanos(1))
    }

    fn life(&mut self, index: usize, life: Life) {
        let deeds = self.directors[index].live(life, self.now);
        self.did(index, deeds);
    }

    fn did(&mut self, index: usize, deeds: Vec<Deed>) {
        for deed in deeds {
            match deed {
                Deed::Sent(message) => self.send(index, &message),
                Deed::Changed(change) => {
                    self.last_change = self.now;
                    self.tell(format_args!(
                        "{index} {} -> {}: {}",
                        change.from, change.to, change.why
                    ));
                }
            }
        }
        self.wakes[index] = self.directors[index].wakes_at(self.now);
        self.count();
    }

    fn send(&mut self, from: usize, message: &Message) {
        for to in (0..self.directors.len()).filter(|to| *to != from) {
            for delay in self.networks[message.network].carry(from, to, self.now, &mut self.rng) {
                self.sequence += 1;
                self.messages
                    .insert((self.now + delay, self.sequence), (to, message.clone()));
            }
        }
    }

    fn fault(&mut self) {
        let index = self.rng.random_range(0..self.directors.len());
        match self.rng.random_range(0..16) {
            0 | 1 => {
                self.life(index, Life::Dead);
                self.befell(format_args!("{index} crashes"));
            }
            2 | 3 => {
                self.life(index, Life::Runs);
                self.befell(format_args!("{index} comes back"));
            }
            4 => {
                self.life(index, Life::Sleeps);
                self.befell(format_args!("{index} falls asleep"));
            }
            5 | 6 => {
                let is_up = !self.directors[index].link;
                let deeds = self.directors[index].set_link(is_up, self.now);
                self.did(index, deeds);
                self.befell(format_args!("{index}: link up: {is_up}"));
            }
            7 => {
                let is_on = self.rng.random_bool(0.5);
                self.order(index, |member, now| {
                    // Refused where nobody else can.
                    let _ = member.set_maintenance(is_on, false, now);
                });
                self.befell(format_args!("{index} in maintenance: {is_on}"));
            }
            8 => {
                let to = self.directors[self.rng.random_range(0..self.directors.len())]
                    .name
                    .clone();
                self.order(index, |member, now| {
                    // Refused where it makes no sense.
                    let _ = member.hand_over(None, Some(&to), now);
                });
                self.befell(format_args!("{index} is to hand over to {to}"));
            }
            9..=13 => self.network_fault(),
            _ => {
                for network in &mut self.networks {
                    network.cut.clear();
                    network.noise = None;
                    network.changed(self.now);
                }
                self.tell("all networks are well");
            }
        }
    }

    fn network_fault(&mut self) {
        let number = self.rng.random_range(0..self.networks.len());
        let count = self.directors.len();
        let what = match self.rng.random_range(0..3) {
            0 => {
                let sides: Vec<_> = (0..count).map(|_| self.rng.random_bool(0.5)).collect();
                let pairs = (0..count * count).map(|pair| (pair / count, pair % count));
                self.networks[number].cut = pairs.filter(|(from, to)| sides[*from] != sides[*to]).collect();
                format!("is in two: {sides:?}")
            }
            1 => {
                let from = self.rng.random_range(0..count);
                let to = (from + self.rng.random_range(1..count)) % count;
                self.networks[number].cut.insert((from, to));
                format!("does not carry from {from} to {to}")
            }
            _ => {
                let noise = Noise {
                    lost: self.rng.random_range(0.0..0.9),
                    twice: self.rng.random_range(0.0..0.5),
                    delay: self.random(Duration::ZERO, 3 * self.interval),
                };
                self.networks[number].noise = Some(noise);
                format!("{noise:?}")
            }
        };
        self.networks[number].changed(self.now);
        self.tell(format_args!("network {number} {what}"));
    }

    fn order(&mut self, index: usize, order: impl FnOnce(&mut super::super::Member, Duration)) {
        let deeds = self.directors[index].order(self.now, order);
        self.did(index, deeds);
    }

    fn repair(&mut self) {
        for network in &mut self.networks {
            network.cut.clear();
            network.noise = None;
            network.changed(self.now);
        }
        for index in 0..self.directors.len() {
            self.life(index, Life::Runs);
            let deeds = self.directors[index].set_link(true, self.now);
            self.did(index, deeds);
            self.order(index, |member, now| {
                member
                    .set_maintenance(false, false, now)
                    .expect("it can always end");
            });
        }
        self.befell("all is repaired");
    }

    /// Something befell a director.
    fn befell(&mut self, what: impl Display) {
        self.tell(what);
        self.undisturbed_since = self.now;
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
        let roles: Vec<_> = self
            .directors
            .iter()
            .map(|director| {
                (
                    &director.name,
                    director.instance().priority,
                    director.role(),
                    director.life,
                )
            })
            .collect();
        format!(
            "{history}{now:?}: {what} (interval {:?})\n{roles:?}",
            self.interval
        )
    }
}
