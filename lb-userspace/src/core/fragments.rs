//! Fragments that came before the first one of their packet: held for a moment, and never many.

use std::{collections::VecDeque, time::Duration};

/// Frames that are held at the same time. Of those that come then, the oldest gives way.
const MOST: usize = 512;

/// How long a frame is held. The first fragment was sent before it, so it is close behind, if it comes at all.
const PATIENCE: Duration = Duration::from_millis(500);

/// A frame that is held no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaving {
    /// The first fragment has come: it may follow.
    Follows(Vec<u8>),
    /// The first fragment has not come in time.
    GivenUp(Vec<u8>),
}

/// The frames that are held, by what names their packets.
#[derive(Debug)]
pub struct Hold<K> {
    frames: VecDeque<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    since: Duration,
    key: K,
    frame: Vec<u8>,
}

impl<K> Default for Hold<K> {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
        }
    }
}

impl<K> Hold<K> {
    /// Holds a frame; returns the one that gives way to it, if any has to.
    pub fn take_in(&mut self, key: K, frame: Vec<u8>, now: Duration) -> Option<Leaving> {
        let oldest = if self.frames.len() < MOST {
            None
        } else {
            self.frames.pop_front()
        };
        self.frames.push_back(Held {
            since: now,
            key,
            frame,
        });
        oldest.map(|oldest| Leaving::GivenUp(oldest.frame))
    }

    /// Lets go of frames whose packets are known by now, and of those that have been held long enough, in the order in which
    /// they came.
    pub fn let_go(&mut self, now: Duration, is_known: impl Fn(&K) -> bool) -> Vec<Leaving> {
        let mut leaving = Vec::new();
        let mut kept = VecDeque::with_capacity(self.frames.len());
        for held in self.frames.drain(..) {
            if is_known(&held.key) {
                leaving.push(Leaving::Follows(held.frame));
            } else if now.saturating_sub(held.since) >= PATIENCE {
                leaving.push(Leaving::GivenUp(held.frame));
            } else {
                kept.push_back(held);
            }
        }
        self.frames = kept;
        leaving
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn frames_leave_when_their_packet_is_known_or_their_time_is_over() {
        let mut hold = Hold::default();
        for (n, key) in (0..).zip(["a", "b", "a", "c"]) {
            assert_eq!(hold.take_in(key, vec![n], at(u64::from(n))), None);
        }
        assert_eq!(hold.let_go(at(10), |_| false), []);
        let follows = [Leaving::Follows(vec![0]), Leaving::Follows(vec![2])];
        assert_eq!(hold.let_go(at(11), |key| *key == "a"), follows);
        assert_eq!(
            hold.let_go(at(501), |key| *key == "a"),
            [Leaving::GivenUp(vec![1])]
        );
        assert!(!hold.is_empty());
        assert_eq!(hold.let_go(at(503), |_| true), [Leaving::Follows(vec![3])]);
        assert!(hold.is_empty());
    }

    #[test]
    fn there_are_never_many() {
        let mut hold = Hold::default();
        for n in 0..MOST {
            assert_eq!(hold.take_in(n, vec![n as u8], at(0)), None);
        }
        assert_eq!(
            hold.take_in(MOST, vec![], at(0)),
            Some(Leaving::GivenUp(vec![0])),
            "the oldest gives way"
        );
        assert_eq!(hold.let_go(at(0), |_| true).len(), MOST);
    }
}
