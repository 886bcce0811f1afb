//! The latest events, in bounded memory, for any number of readers that each go at a pace of their own.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{Event, Filter, Record, Timestamp, What};

/// The latest events.
#[derive(Debug, Clone)]
pub struct Log {
    capacity: usize,
    events: VecDeque<Arc<Record>>,
    /// Number of the next event.
    next: u64,
    /// How often each kind happened, also of events that are forgotten.
    counts: BTreeMap<&'static str, u64>,
}

/// What a reader gets at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Events that match, the oldest first.
    pub events: Vec<Arc<Record>>,
    /// How many events were forgotten before the reader came to them, whether they would have matched or not.
    pub lost: u64,
    /// Where the reader goes on.
    pub next: u64,
}

impl Log {
    /// A log that keeps the latest `capacity` events (at least one).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            events: VecDeque::new(),
            next: 1,
            counts: BTreeMap::new(),
        }
    }

    /// Enters what happened.
    pub fn enter(&mut self, what: What, time: Timestamp) -> Arc<Record> {
        *self.counts.entry(what.kind().name).or_default() += 1;
        let event = Event {
            number: self.next,
            time,
            what,
        };
        self.next += 1;
        let record = Arc::new(Record::from(&event));
        self.events.push_back(Arc::clone(&record));
        self.shorten();
        record
    }

    /// Keeps so many from now on (at least one).
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
        self.shorten();
    }

    fn shorten(&mut self) {
        while self.events.len() > self.capacity {
            self.events.pop_front();
        }
    }

    /// Number that the next event will have: where a reader begins that wants to hear of news alone.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.next
    }

    /// How often each kind happened; those that never did are not there.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts.iter().map(|(&kind, &count)| (kind, count))
    }

    /// At most `most` events from number `from` on that match. A reader that has fallen behind goes on with the oldest
    /// there is, and learns how many it missed. One from the future (of a log before this one) begins at the front.
    #[must_use]
    pub fn read(&self, from: u64, filter: &Filter, most: usize) -> Batch {
        let oldest = self.next - self.events.len() as u64;
        let (start, lost) = if from > self.next {
            (oldest, 0)
        } else {
            (from.max(oldest), oldest.saturating_sub(from.max(1)))
        };
        let mut batch = Batch {
            events: Vec::new(),
            lost,
            next: start,
        };
        for event in self.events.range((start - oldest) as usize..) {
            if batch.events.len() == most {
                break;
            }
            if filter.matches(event) {
                batch.events.push(Arc::clone(event));
            }
            batch.next += 1;
        }
        batch
    }

    /// The latest `most` events that match, the oldest first.
    #[must_use]
    pub fn tail(&self, filter: &Filter, most: usize) -> Vec<Arc<Record>> {
        let latest = self.events.iter().rev().filter(|event| filter.matches(event));
        let mut latest: Vec<_> = latest.take(most).map(Arc::clone).collect();
        latest.reverse();
        latest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::event::Director;

    fn numbers(batch: &Batch) -> Vec<u64> {
        batch.events.iter().map(|event| event.number).collect()
    }

    fn filled(capacity: usize, events: usize) -> Log {
        let mut log = Log::new(capacity);
        for n in 0..events {
            let what = if n % 2 == 0 {
                Director::CaughtUp
            } else {
                Director::Stopping
            };
            log.enter(what.into(), Timestamp(n as u64));
        }
        log
    }

    #[test]
    fn a_reader_gets_everything_once_and_learns_what_it_missed() {
        let mut log = filled(3, 5);
        let all = Filter::default();
        let first = log.read(1, &all, 2);
        assert_eq!((numbers(&first), first.lost, first.next), (vec![3, 4], 2, 5));
        let second = log.read(first.next, &all, 2);
        assert_eq!((numbers(&second), second.lost, second.next), (vec![5], 0, 6));
        assert_eq!(
            log.read(second.next, &all, 2),
            Batch {
                next: 6,
                ..Batch::default()
            }
        );
        log.enter(Director::Stopping.into(), Timestamp(9));
        assert_eq!(numbers(&log.read(6, &all, 9)), [6]);
        assert_eq!(log.end(), 7);
    }

    #[test]
    fn the_tail_is_the_latest_that_match() {
        let log = filled(10, 9);
        let filter = Filter {
            kinds: vec!["director.stopping".parse().unwrap()],
            ..Filter::default()
        };
        let found: Vec<u64> = log.tail(&filter, 3).iter().map(|event| event.number).collect();
        assert_eq!(found, [4, 6, 8]);
        assert!(log.tail(&filter, 0).is_empty());
    }

    #[test]
    fn a_smaller_log_forgets_the_oldest() {
        let mut log = filled(10, 9);
        log.resize(2);
        assert_eq!(numbers(&log.read(1, &Filter::default(), 9)), [8, 9]);
        log.resize(0);
        assert_eq!(numbers(&log.read(1, &Filter::default(), 9)), [9]);
        let counts: Vec<_> = log.counts().collect();
        assert_eq!(counts, [("director.caught_up", 5), ("director.stopping", 4)]);
    }

    proptest! {
        /// Whatever a reader asks for: what it gets and what it lost together are all there was.
        #[test]
        fn nothing_goes_missing_silently(
            capacity in 1..20_usize,
            events in 0..60_usize,
            from in 0..70_u64,
            most in 1..10_usize,
        ) {
            let log = filled(capacity, events);
            let mut at = from;
            let (mut seen, mut lost) = (0, 0);
            loop {
                let batch = log.read(at, &Filter::default(), most);
                prop_assert!(batch.events.len() <= most);
                if batch.events.is_empty() {
                    break;
                }
                seen += batch.events.len() as u64;
                lost += batch.lost;
                at = batch.next;
            }
            prop_assert_eq!(log.read(at, &Filter::default(), most).next, log.end());
            if from <= log.end() {
                prop_assert_eq!(seen + lost, (events as u64 + 1).saturating_sub(from.max(1)));
            }
        }
    }
}
