//! A network, and what it does to messages.

use std::{collections::BTreeSet, time::Duration};

use rand::{Rng, rngs::StdRng};

/// A message is never longer on its way when the network is well.
pub(super) const USUAL_DELAY: Duration = Duration::from_millis(2);

/// What a network does to messages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Noise {
    pub(super) lost: f64,
    pub(super) twice: f64,
    /// More than [`USUAL_DELAY`], and each message its own: they overtake each other.
    pub(super) delay: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Network {
    /// From whom to whom nothing comes.
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) noise: Option<Noise>,
    /// Since when everybody hears everybody; `None` while somebody does not.
    pub(super) whole_since: Option<Duration>,
    /// When the last message that is under way arrives.
    last_arrival: Duration,
}

impl Network {
    pub(super) fn new() -> Self {
        Self {
            whole_since: Some(Duration::ZERO),
            ..Self::default()
        }
    }

    /// After how long each copy of a message arrives.
    pub(super) fn carry(&mut self, from: usize, to: usize, now: Duration, rng: &mut StdRng) -> Vec<Duration> {
        if self.cut.contains(&(from, to)) {
            return Vec::new();
        }
        let noise = self.noise.unwrap_or_default();
        let copies = u32::from(!rng.random_bool(noise.lost)) + u32::from(rng.random_bool(noise.twice));
        let delays =
            (0..copies).map(|_| rng.random_range(Duration::from_micros(1)..=USUAL_DELAY + noise.delay));
        let delays: Vec<_> = delays.collect();
        let last = delays.iter().max().map_or(now, |delay| now + *delay);
        self.last_arrival = self.last_arrival.max(last);
        delays
    }

    /// Takes note that it is another one now.
    pub(super) fn changed(&mut self, now: Duration) {
        // What was sent in bad times still arrives, late.
        let is_whole = self.noise.is_none() && self.cut.is_empty();
        self.whole_since = is_whole.then_some(self.last_arrival.max(now));
    }
}
