//! Updates that were sent, kept for those who did not get them.

use std::{collections::VecDeque, time::Duration};

use lb_common::wire::sync::MissingRun;

/// An update is not repeated more often than this, whoever asks: others are still to hear the first repetition.
const RESEND_GUARD: Duration = Duration::from_millis(4);

/// A numbered update.
#[derive(Debug)]
struct Sent {
    payload: Vec<u8>,
    /// When it was last put on the wire.
    at: Duration,
    /// Whether it waits to be repeated.
    queued: bool,
}

/// The last updates of one director, by number.
#[derive(Debug)]
pub(super) struct Outgoing {
    sent: VecDeque<Sent>,
    /// Number of the oldest of them.
    oldest: u64,
    capacity: usize,
    /// Numbers to be repeated, in the order in which they were asked for.
    wanted: VecDeque<u64>,
}

impl Outgoing {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            sent: VecDeque::new(),
            oldest: 1,
            capacity: capacity.max(1),
            wanted: VecDeque::new(),
        }
    }

    /// Number of the next update.
    pub(super) fn next(&self) -> u64 {
        self.oldest + self.sent.len() as u64
    }

    /// Number of the oldest update that can be repeated; [`Self::next`] if there is none.
    pub(super) fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Keeps the update with the number [`Self::next`].
    pub(super) fn push(&mut self, payload: &[u8], now: Duration) {
        // The oldest one's memory serves the newest.
        let mut reused = if self.sent.len() == self.capacity {
            self.oldest += 1;
            self.sent.pop_front().map(|sent| sent.payload)
        } else {
            None
        }
        .unwrap_or_default();
        reused.clear();
        reused.extend_from_slice(payload);
        self.sent.push_back(Sent {
            payload: reused,
            at: now,
            queued: false,
        });
    }

    /// Nothing that was sent can be repeated any more.
    pub(super) fn forget(&mut self) {
        self.oldest = self.next();
        self.sent.clear();
    }

    /// Somebody did not get these. Those that are too old are found by digests.
    pub(super) fn want(&mut self, missing: &[MissingRun], now: Duration) {
        for run in missing {
            let end = run.first.saturating_add(run.count.into()).min(self.next());
            for number in run.first.max(self.oldest)..end {
                let Some(sent) = self.sent.get_mut((number - self.oldest) as usize) else {
                    break;
                };
                if !sent.queued && now.saturating_sub(sent.at) >= RESEND_GUARD {
                    sent.queued = true;
                    self.wanted.push_back(number);
                }
            }
        }
    }

    /// The next update to be repeated.
    pub(super) fn repeat(&mut self, now: Duration) -> Option<&[u8]> {
        loop {
            let number = self.wanted.pop_front()?;
            let Some(index) = number.checked_sub(self.oldest) else {
                continue;
            };
            let sent = self.sent.get_mut(index as usize)?;
            sent.queued = false;
            sent.at = now;
            return Some(&self.sent[index as usize].payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn repeated(outgoing: &mut Outgoing, now: Duration) -> Vec<u8> {
        std::iter::from_fn(|| outgoing.repeat(now).map(|payload| payload[0])).collect()
    }

    fn run(first: u64, count: u16) -> MissingRun {
        MissingRun { first, count }
    }

    #[test]
    fn what_was_sent_is_repeated_once_for_all_who_ask() {
        let mut outgoing = Outgoing::new(100);
        for number in 1..=9 {
            assert_eq!(outgoing.next(), u64::from(number));
            outgoing.push(&[number], at(0));
        }
        outgoing.want(&[run(2, 1)], at(1));
        assert!(
            repeated(&mut outgoing, at(1)).is_empty(),
            "it may still be under way"
        );
        outgoing.want(&[run(2, 2), run(8, 900)], at(10));
        outgoing.want(&[run(3, 1)], at(10));
        assert_eq!(repeated(&mut outgoing, at(10)), [2, 3, 8, 9]);
        outgoing.want(&[run(3, 1)], at(11));
        assert!(repeated(&mut outgoing, at(11)).is_empty());
        outgoing.want(&[run(3, 1)], at(20));
        assert_eq!(repeated(&mut outgoing, at(20)), [3]);
    }

    #[test]
    fn it_forgets_the_oldest() {
        let mut outgoing = Outgoing::new(3);
        outgoing.push(&[1], at(0));
        outgoing.push(&[2], at(0));
        outgoing.want(&[run(1, 1)], at(10));
        outgoing.push(&[3], at(0));
        outgoing.push(&[4], at(0));
        assert_eq!((outgoing.oldest(), outgoing.next()), (2, 5));
        outgoing.want(&[run(0, 3), run(u64::MAX, 9)], at(10));
        assert_eq!(
            repeated(&mut outgoing, at(10)),
            [2],
            "1 was asked for, and is gone"
        );
    }
}
