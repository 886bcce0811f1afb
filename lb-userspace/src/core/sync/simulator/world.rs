//! Directors, a bad network between them, clients, and fate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Display, Write as _},
    time::Duration,
};

use lb_common::{
    flow_state::FlowState,
    hash::Seed,
    packet::{FlowKey4, protocol},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::director::{Clocks, Director, Flow, Flows, Packet};
use crate::core::sync::To;

const USUAL_DELAY: Duration = Duration::from_micros(400);
/// How long all has to be well before everything has to be equal: three surveys, and some.
const QUIET: Duration = Duration::from_secs(14);

/// How bad the network is.
#[derive(Debug, Clone, Copy, Default)]
struct Noise {
    lost: f64,
    twice: f64,
    damaged: f64,
    delay: Duration,
}

/// What the last packet of a flow came to.
#[derive(Debug, Clone, Copy)]
struct Expected {
    flow: Flow,
    at: Duration,
    /// Who saw it.
    seen_by: usize,
    /// Whether it may be forgotten, or settled by rule: its director crashed, or another had a packet of it as well.
    uncertain: bool,
}

pub(super) struct World {
    rng: StdRng,
    now: Duration,
    directors: Vec<Director>,
    messages: BTreeMap<(Duration, u64), (usize, Vec<u8>)>,
    sequence: u64,
    noise: Noise,
    cut: BTreeSet<(usize, usize)>,
    /// Everything that was ever on the wire, as far as it is kept.
    recorded: Vec<Vec<u8>>,
    expected: BTreeMap<[u64; 2], Expected>,
    active: usize,
    history_kept: usize,
    next_flow: u32,
    next_packet: Duration,
    pace: Duration,
    next_sweep: Duration,
    said: u32,
    history: String,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = [2, 2, 2, 3, 4][rng.random_range(0..5)];
        let directors = (0..count)
            .map(|index| {
                let clocks = Clocks {
                    monotonic: Duration::from_millis(rng.random_range(0..1_000_000_000)),
                    // One in three has a clock that is years off.
                    wall_ms: match rng.random_range(0..3) {
                        0 => rng.random_range(0..2_000_000_000_000),
                        _ => 1_790_000_000_000 + rng.random_range(0..100),
                    },
                    jiffies: (1_u64 << 32) - 75_000 + rng.random_range(0..200_000),
                };
                Director::new(index, clocks, Seed::new(rng.random()))
            })
            .collect();
        Self {
            now: Duration::ZERO,
            directors,
            messages: BTreeMap::new(),
            sequence: 0,
            noise: Noise::default(),
            cut: BTreeSet::new(),
            recorded: Vec::new(),
            expected: BTreeMap::new(),
            active: 0,
            // Sometimes so little that much is lost for good.
            history_kept: [4, 64, 4096][rng.random_range(0..3)],
            next_flow: 0,
            next_packet: Duration::ZERO,
            pace: Duration::from_millis([2, 10, 50][rng.random_range(0..3)]),
            next_sweep: Duration::from_secs(1),
            said: 0,
            history: String::new(),
            rng,
        }
    }

    /// Lives through this many strokes of fate, and then quiet.
    ///
    /// # Errors
    /// What is not as it should be, and the whole story.
    pub(super) fn live(mut self, strokes: usize) -> Result<String, String> {
        for index in 0..self.directors.len() {
            if index == 0 || self.rng.random_bool(0.8) {
                self.directors[index].start(self.now, self.history_kept);
            }
        }
        for _ in 0..strokes {
            let wait = Duration::from_millis(self.rng.random_range(10..1_500));
            self.run(wait);
            self.stroke();
        }
        self.repair();
        // While all is well again, traffic goes on for a while, and then stops.
        self.run(Duration::from_secs(2));
        self.next_packet = Duration::MAX;
        self.tell("the clients fall silent");
        self.run(QUIET);
        self.check().map_err(|what| self.complaint(&what))?;
        Ok(self.history)
    }

    fn check(&self) -> Result<(), String> {
        let first = self.directors[0].flows(self.now);
        for director in &self.directors[1..] {
            let flows = director.flows(self.now);
            if flows != first {
                return Err(format!(
                    "{} and {} differ: {}",
                    self.directors[0].name,
                    director.name,
                    self.difference(&first, &flows)
                ));
            }
            if director.store_digest(self.now) != self.directors[0].store_digest(self.now) {
                return Err(format!("the store of {} differs", director.name));
            }
        }
        for (key, expected) in &self.expected {
            let timeout = Duration::from_secs(expected.flow.state.default_timeout().into());
            let lives = self.now - expected.at < timeout - (timeout / 8).max(Duration::from_secs(10));
            match first.get(key) {
                _ if expected.uncertain || !lives => {}
                Some(found) if *found == expected.flow => {}
                found => {
                    let known = self.describe_flow(key);
                    return Err(format!(
                        "{key:x?} is {found:?} and should be {expected:?}\n{known}"
                    ));
                }
            }
        }
        let strangers = first
            .keys()
            .filter(|key| !self.expected.contains_key(*key))
            .count();
        if strangers > 0 {
            return Err(format!("{strangers} flows that nobody ever began"));
        }
        Ok(())
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let message = self.messages.keys().next().map(|(at, _)| *at);
            let wakes = (0..self.directors.len())
                .filter_map(|index| Some((self.directors[index].wakes_at(self.now)?, index)))
                .min();
            let times = [
                message,
                wakes.map(|(at, _)| at),
                Some(self.next_packet),
                Some(self.next_sweep),
            ];
            let next = times.into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            if message.is_some_and(|at| at <= self.now) {
                let ((_, _), (to, mut datagram)) = self.messages.pop_first().expect("its time was just read");
                self.directors[to].hear(&mut datagram, self.now);
                // What it has to answer, it answers at once.
                self.work(to);
            } else if self.next_packet <= self.now {
                self.next_packet = self.now + self.pace;
                self.packet();
            } else if self.next_sweep <= self.now {
                self.next_sweep = self.now + Duration::from_secs(1);
                self.directors
                    .iter()
                    .for_each(|director| director.sweep(self.now));
            } else if let Some((_, index)) = wakes {
                self.work(index);
            }
        }
    }

    fn work(&mut self, index: usize) {
        for (to, datagram) in self.directors[index].work(self.now) {
            if self.recorded.len() < 500 {
                self.recorded.push(datagram.clone());
            }
            self.send(index, to, &datagram);
        }
    }

    fn send(&mut self, from: usize, to: To, datagram: &[u8]) {
        for index in 0..self.directors.len() {
            let is_for_it = match to {
                To::Group => index != from,
                To::Peer(id) => self.directors[index].id() == id,
            };
            if !is_for_it || self.cut.contains(&(from, index)) {
                continue;
            }
            let copies = u32::from(!self.rng.random_bool(self.noise.lost))
                + u32::from(self.rng.random_bool(self.noise.twice));
            for _ in 0..copies {
                let mut bytes = datagram.to_vec();
                if self.rng.random_bool(self.noise.damaged) {
                    let bit = self.rng.random_range(0..bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
                self.deliver(index, bytes);
            }
        }
    }

    fn deliver(&mut self, to: usize, bytes: Vec<u8>) {
        let most = USUAL_DELAY + self.noise.delay;
        let delay = self.rng.random_range(Duration::from_micros(20)..=most);
        self.sequence += 1;
        self.messages
            .insert((self.now + delay, self.sequence), (to, bytes));
    }

    /// A client's packet: of a new flow, or of one that there is.
    fn packet(&mut self) {
        let is_new = self.expected.len() < 20 || (self.expected.len() < 250 && self.rng.random_bool(0.4));
        let key = if is_new {
            self.next_flow += 1;
            if self.rng.random_bool(0.2) {
                // Whom a client keeps, in a service of this number.
                FlowKey4::new(self.next_flow, 0, 0x5EB5_E4B1, protocol::TEMPLATE)
            } else {
                FlowKey4::new(self.next_flow, 0x0A00_0001, self.next_flow << 16 | 80, 6)
            }
        } else {
            let index = self.rng.random_range(0..self.expected.len());
            let words = *self.expected.keys().nth(index).expect("there are so many");
            FlowKey4 { words }
        };
        let before = self.expected.get(&key.words).copied();
        let ended = before.is_some_and(|before| before.flow.state != FlowState::Established);
        let packet = match self.rng.random_range(0..10) {
            _ if is_new => Packet::Open,
            0 if ended => Packet::Open,
            1 | 2 => Packet::Fin,
            _ => Packet::Data,
        };
        // A backend that few have a number for is among them.
        let choice = self.rng.random_range(0..4);
        let at = if self.rng.random_bool(0.02) {
            self.rng.random_range(0..self.directors.len())
        } else {
            self.active
        };
        let flow = self.directors[at].packet(&key, packet, choice, self.now);
        let strayed = before.is_some_and(|before| before.seen_by != at);
        let uncertain = before.is_some_and(|before| before.uncertain) || strayed || self.dispute(&key, flow);
        self.expected.insert(
            key.words,
            Expected {
                flow,
                at: self.now,
                seen_by: at,
                uncertain,
            },
        );
    }

    /// Whether another flow has the same replies, which was not known where this one began: one of both will end.
    fn dispute(&mut self, key: &FlowKey4, flow: Flow) -> bool {
        let mut is_disputed = false;
        for (other, expected) in &mut self.expected {
            let theirs = &expected.flow;
            let is_same =
                flow.reply.is_some() && (theirs.backend, theirs.reply) == (flow.backend, flow.reply);
            if is_same && *other != key.words {
                (is_disputed, expected.uncertain) = (true, true);
            }
        }
        is_disputed
    }

    /// What a director knew alone may be gone with it.
    fn lose(&mut self, index: usize) {
        for expected in self.expected.values_mut() {
            expected.uncertain |= expected.seen_by == index;
        }
    }

    fn stroke(&mut self) {
        let count = self.directors.len();
        let index = self.rng.random_range(0..count);
        match self.rng.random_range(0..16) {
            0 | 1 => {
                self.directors[index].kill();
                self.tell(format_args!("daemon {index} is killed"));
            }
            2 => {
                self.directors[index].forget();
                self.lose(index);
                if self.active == index {
                    self.active = (index + 1) % count;
                }
                let active = self.active;
                self.tell(format_args!("machine {index} crashes; {active} is active"));
            }
            3..=5 => {
                if self.directors[index].daemon.is_none() {
                    self.directors[index].start(self.now, self.history_kept);
                    self.tell(format_args!("daemon {index} starts"));
                }
            }
            6 => {
                self.active = index;
                self.tell(format_args!("{index} is active"));
            }
            7 => {
                let sides: Vec<bool> = (0..count).map(|_| self.rng.random_bool(0.5)).collect();
                self.cut = pairs(count).filter(|(a, b)| sides[*a] != sides[*b]).collect();
                self.tell(format_args!("the network is in two: {sides:?}"));
            }
            8 => {
                let other = (index + 1) % count;
                self.cut.insert((index, other));
                self.tell(format_args!("{other} does not hear {index}"));
            }
            9 | 10 => {
                self.noise = Noise {
                    lost: self.rng.random_range(0.0..0.6),
                    twice: self.rng.random_range(0.0..0.3),
                    damaged: self.rng.random_range(0.0..0.1),
                    delay: Duration::from_micros(self.rng.random_range(0..30_000)),
                };
                let noise = self.noise;
                self.tell(format_args!("{noise:?}"));
            }
            11 => self.replay(index),
            12 => {
                let keys: &[u8] = [&[1][..], &[1, 2], &[2, 1], &[2]][self.rng.random_range(0..4)];
                self.directors[index].set_keys(keys);
                self.tell(format_args!("{index} has the keys {keys:?}"));
            }
            13 => {
                self.said += 1;
                let key = format!("drain/{}", self.rng.random_range(0..5));
                let value = self.rng.random_bool(0.8).then(|| self.said.to_string());
                self.directors[index].say(&key, value.clone(), self.now);
                self.tell(format_args!("{index} says {value:?} of {key}"));
            }
            _ => {
                self.cut.clear();
                self.noise = Noise::default();
                self.tell("the network is well");
            }
        }
    }

    /// Somebody plays what was on the wire.
    fn replay(&mut self, to: usize) {
        for _ in 0..50.min(self.recorded.len()) {
            let index = self.rng.random_range(0..self.recorded.len());
            let datagram = self.recorded[index].clone();
            self.deliver(to, datagram);
        }
        self.tell(format_args!("a recording is played to {to}"));
    }

    fn repair(&mut self) {
        self.cut.clear();
        self.noise = Noise::default();
        for index in 0..self.directors.len() {
            self.directors[index].set_keys(&[1, 2]);
            if self.directors[index].daemon.is_none() {
                self.directors[index].start(self.now, self.history_kept);
            }
        }
        self.tell("all is repaired");
    }

    fn tell(&mut self, what: impl Display) {
        let now = self.now;
        writeln!(self.history, "{now:?} {what}").expect("a string takes everything");
    }

    fn difference(&self, a: &Flows, b: &Flows) -> String {
        let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
        let differing: Vec<_> = keys
            .into_iter()
            .filter(|key| a.get(*key) != b.get(*key))
            .collect();
        let mut text = format!("{} flows\n", differing.len());
        for key in differing.into_iter().take(3) {
            let (expected, known) = (self.expected.get(key), self.describe_flow(key));
            writeln!(text, "{key:x?}: expected {expected:?}\n{known}").expect("a string");
        }
        text
    }

    fn describe_flow(&self, key: &[u64; 2]) -> String {
        let key = FlowKey4 { words: *key };
        let describe = |director: &Director| {
            let known = director.describe_flow(&key, self.now);
            format!("  {}: {known}\n", director.name)
        };
        self.directors.iter().map(describe).collect()
    }

    fn complaint(&self, what: &str) -> String {
        let directors: Vec<_> = self
            .directors
            .iter()
            .map(|director| director.describe(self.now))
            .collect();
        format!("{}{what}\n{}", self.history, directors.join("\n"))
    }
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count * count).map(move |pair| (pair / count, pair % count))
}
