//! Updates of one session of another director: which arrived, and which are to be asked for again.

use std::{collections::BTreeMap, time::Duration};

use lb_common::wire::sync::MissingRun;

/// How long an update may come late before it is taken for lost: networks reorder.
const REORDER: Duration = Duration::from_millis(2);
/// How long a repetition may take before it is asked for again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(8);
const LAST_RETRY: Duration = Duration::from_millis(250);
/// Updates between the oldest that is missing and the newest that is known of, at most. What is older is given up.
const MOST_BEHIND: u64 = 1 << 16;
/// Gaps that are asked for at once: what fits the shortest datagram.
const MOST_RUNS: usize = 100;
/// Gaps that are remembered at most.
const MOST_GAPS: usize = 1 << 12;

/// Updates one after the other that did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    /// Number of the first one after it.
    end: u64,
    /// When to ask for it.
    due: Duration,
    tries: u32,
}

/// What an update that arrived is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It continues what was received.
    InOrder,
    /// It was missing.
    Mended,
    /// It was received already, or is from before this director began to listen.
    Known,
}

/// What arrived of one session's updates.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    /// Number of the next update that nothing is known of.
    next: u64,
    /// By the number of the first update in it.
    gaps: BTreeMap<u64, Gap>,
    /// Updates that were given up.
    lost: u64,
    /// Updates that had to be asked for and came.
    mended: u64,
    asked: u64,
}

impl Incoming {
    /// Nothing is wanted before number `next`.
    pub(super) fn from(next: u64) -> Self {
        Self {
            next,
            gaps: BTreeMap::new(),
            lost: 0,
            mended: 0,
            asked: 0,
        }
    }

    /// All updates before this one have arrived or were given up.
    pub(super) fn position(&self) -> u64 {
        self.gaps.first_key_value().map_or(self.next, |(first, _)| *first)
    }

    /// Updates that are known to be missing.
    pub(super) fn missing(&self) -> u64 {
        self.gaps.iter().map(|(first, gap)| gap.end - first).sum()
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    pub(super) fn mended(&self) -> u64 {
        self.mended
    }

    /// Requests for updates that were sent, one for each run.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// Takes note of the update with this number.
    pub(super) fn arrived(&mut self, number: u64, now: Duration) -> Arrival {
        if number >= self.next {
            self.expect(number, now);
            self.next = number.saturating_add(1);
            return Arrival::InOrder;
        }
        let Some((&first, &gap)) = self.gaps.range(..=number).next_back() else {
            return Arrival::Known;
        };
        if number >= gap.end {
            return Arrival::Known;
        }
        self.gaps.remove(&first);
        if first < number {
            self.gaps.insert(first, Gap { end: number, ..gap });
        }
        if number + 1 < gap.end {
            self.gaps.insert(number + 1, gap);
        }
        self.mended += 1;
        Arrival::Mended
    }

    /// The sender says that its next update has the number `next`, and that it can repeat those from `oldest` on.
    pub(super) fn announced(&mut self, next: u64, oldest: u64, now: Duration) {
        self.expect(next, now);
        self.give_up_before(oldest.min(self.next));
    }

    /// All updates before `next` have been sent.
    fn expect(&mut self, next: u64, now: Duration) {
        if next <= self.next {
            return;
        }
        let gap = Gap {
            end: next,
            due: now + REORDER,
            tries: 0,
        };
        self.gaps.insert(self.next, gap);
        self.next = next;
        self.give_up_before(next.saturating_sub(MOST_BEHIND));
        while self.gaps.len() > MOST_GAPS {
            let position = self.position();
            let end = self.gaps.get(&position).map_or(position, |gap| gap.end);
            self.give_up_before(end);
        }
    }

    fn give_up_before(&mut self, number: u64) {
        while let Some((&first, &gap)) = self.gaps.first_key_value() {
            if first >= number {
                break;
            }
            self.gaps.remove(&first);
            self.lost += gap.end.min(number) - first;
            if number < gap.end {
                self.gaps.insert(number, gap);
            }
        }
    }

    /// Another director asks for these too: the answer will reach this one as well.
    pub(super) fn overheard(&mut self, missing: &[MissingRun], now: Duration) {
        for run in missing {
            let end = run.first.saturating_add(run.count.into());
            for (&first, gap) in self.gaps.range_mut(..end) {
                if gap.end > run.first && first >= run.first {
                    gap.due = gap.due.max(now + FIRST_RETRY);
                }
            }
        }
    }

    /// What is to be asked for at `now`.
    pub(super) fn due(&mut self, now: Duration) -> Vec<MissingRun> {
        let mut runs = Vec::new();
        for (&first, gap) in &mut self.gaps {
            if gap.due > now {
                continue;
            }
            if runs.len() == MOST_RUNS {
                break;
            }
            let count = (gap.end - first).min(u16::MAX.into()) as u16;
            runs.push(MissingRun { first, count });
            gap.due = now + (FIRST_RETRY * 2_u32.saturating_pow(gap.tries)).min(LAST_RETRY);
            gap.tries = gap.tries.saturating_add(1).min(16);
        }
        self.asked += runs.len() as u64;
        runs
    }

    /// When [`Self::due`] will have something to say.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.gaps.values().map(|gap| gap.due).min()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn run(first: u64, count: u16) -> MissingRun {
        MissingRun { first, count }
    }

    #[test]
    fn gaps_are_asked_for_after_a_while_and_again_later_and_later() {
        let mut incoming = Incoming::from(5);
        assert_eq!(incoming.arrived(5, at(0)), Arrival::InOrder);
        assert_eq!(incoming.arrived(9, at(0)), Arrival::InOrder);
        assert_eq!((incoming.position(), incoming.missing()), (6, 3));
        assert_eq!(incoming.due(at(1)), []);
        assert_eq!(incoming.next_due(), Some(at(2)));
        assert_eq!(incoming.arrived(7, at(1)), Arrival::Mended);
        assert_eq!(incoming.due(at(2)), [run(6, 1), run(8, 1)]);
        assert_eq!(incoming.due(at(9)), []);
        assert_eq!(incoming.due(at(10)), [run(6, 1), run(8, 1)]);
        assert_eq!(incoming.due(at(25)), []);
        assert_eq!(incoming.arrived(6, at(25)), Arrival::Mended);
        assert_eq!(incoming.arrived(6, at(25)), Arrival::Known);
        assert_eq!(incoming.arrived(4, at(25)), Arrival::Known);
        assert_eq!(incoming.due(at(26)), [run(8, 1)]);
        assert_eq!(incoming.arrived(8, at(26)), Arrival::Mended);
        assert_eq!((incoming.position(), incoming.next_due()), (10, None));
        assert_eq!((incoming.mended(), incoming.lost(), incoming.asked()), (3, 0, 5));
    }

    #[test]
    fn the_last_words_are_missed_too() {
        let mut incoming = Incoming::from(1);
        incoming.announced(4, 1, at(0));
        assert_eq!(incoming.due(at(2)), [run(1, 3)]);
    }

    #[test]
    fn what_nobody_can_repeat_is_given_up() {
        let mut incoming = Incoming::from(1);
        incoming.announced(10, 4, at(0));
        assert_eq!((incoming.position(), incoming.lost()), (4, 3));
        assert_eq!(incoming.arrived(6, at(0)), Arrival::Mended);
        incoming.announced(10, 8, at(0));
        assert_eq!((incoming.position(), incoming.lost()), (8, 6));
        incoming.announced(10 + (1 << 40), 1, at(0));
        assert_eq!(incoming.position(), 10 + (1 << 40) - MOST_BEHIND);
        assert_eq!(incoming.missing(), MOST_BEHIND);
    }

    #[test]
    fn many_gaps_are_bounded() {
        let mut incoming = Incoming::from(1);
        for number in 1..=10_000 {
            incoming.arrived(2 * number, at(0));
        }
        assert_eq!(incoming.gaps.len(), MOST_GAPS);
        assert_eq!(incoming.due(at(9)).len(), MOST_RUNS);
        assert_eq!(incoming.lost() + incoming.missing(), 10_000);
    }

    #[test]
    fn what_another_asks_for_is_waited_for() {
        let mut incoming = Incoming::from(1);
        incoming.arrived(5, at(0));
        incoming.overheard(&[run(1, 9)], at(1));
        assert_eq!(incoming.due(at(8)), []);
        assert_eq!(incoming.due(at(9)), [run(1, 4)]);
    }

    proptest! {
        /// Against a set of what arrived.
        #[test]
        fn it_agrees_with_a_set(numbers in proptest::collection::vec(1..200_u64, 0..300)) {
            let mut incoming = Incoming::from(1);
            let mut seen = BTreeSet::new();
            for number in numbers {
                let expected = match seen.last() {
                    _ if seen.contains(&number) => Arrival::Known,
                    Some(&last) if number < last => Arrival::Mended,
                    _ => Arrival::InOrder,
                };
                prop_assert_eq!(incoming.arrived(number, at(0)), expected);
                seen.insert(number);
                let highest = *seen.last().unwrap();
                let position = (1..).find(|number| !seen.contains(number)).unwrap();
                prop_assert_eq!(incoming.position(), position);
                prop_assert_eq!(incoming.missing(), highest - seen.len() as u64);
            }
            let asked: Vec<u64> = incoming
                .due(at(2))
                .iter()
                .flat_map(|run| run.first..run.first + u64::from(run.count))
                .collect();
            let highest = seen.last().copied().unwrap_or(0);
            let expected: Vec<u64> = (1..highest).filter(|number| !seen.contains(number)).collect();
            prop_assert_eq!(asked, expected);
        }
    }
}
