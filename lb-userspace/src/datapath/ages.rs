//! How old the flows of certain backends are.

use std::{collections::BTreeMap, ops::Range};

use lb_common::{
    flow_state::{FlowState, Worth},
    flow_table::{Bucket, Clock, Entry, TranslationEntry},
};

use super::translations::backend_of;
use crate::core::health::Lately;

/// Upper bounds of the classes of age, in seconds; the last class has none.
pub const AGES: [u64; 4] = [60, 600, 3600, 86_400];

/// Silence, in seconds, after which a flow that is being closed, or never came to be, is over for whoever waits for it. Its
/// entry stays longer, for packets that come late.
const OVER: u64 = 5;

/// Ages, in seconds, of the connections of late: whoever answers at all has answered by then, a lost packet more or less.
const LATELY: Range<u64> = 3..13;

/// Open flows of one backend by their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ages {
    /// Flows by class of age: younger than each of [`AGES`], and the rest.
    pub classes: [u64; AGES.len() + 1],
    /// Age of the oldest, in seconds.
    pub oldest: u64,
    /// How the connections of late went, among those old enough for their handshake to be over.
    pub lately: Lately,
}

impl Ages {
    /// All of them.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.classes.iter().sum()
    }
}

/// Takes note of the ages of the open flows of `watched` backends, whose numbers are its keys. `hz` is jiffies per second.
pub fn ages<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    table: &[Bucket<E>],
    translations: &[Bucket<T>],
    clock: &Clock<'_>,
    hz: u32,
    watched: &mut BTreeMap<u32, Ages>,
) {
    for entry in table.iter().flat_map(|bucket| &bucket.entries) {
        let control = entry.state();
        if !control.is_live() {
            continue;
        }
        let backend = backend_of(translations, &entry.key(), control);
        let Some(ages) = backend.and_then(|backend| watched.get_mut(&backend)) else {
            continue;
        };
        let Some(flow) = entry.snapshot() else { continue };
        if control.state() == FlowState::Template {
            continue;
        }
        let age = clock.now.saturating_sub(u64::from(flow.created) << 8) / u64::from(hz.max(1));
        if LATELY.contains(&age) {
            match control.state() {
                FlowState::Established
                | FlowState::FinWait
                | FlowState::TimeWait
                | FlowState::Close
                | FlowState::CloseWait
                | FlowState::LastAck => ages.lately.answered += 1,
                FlowState::SynRecv => ages.lately.unanswered += 1,
                _ => {}
            }
        }
        let over = match clock.worth(entry, control).0 {
            Worth::Expired => true,
            Worth::HalfOpen | Worth::Closing => u64::from(clock.idle(flow.last_seen)) > OVER * u64::from(hz),
            Worth::IdleDatagram | Worth::Active => false,
        };
        if over {
            continue;
        }
        let class = AGES.iter().position(|bound| age < *bound).unwrap_or(AGES.len());
        ages.classes[class] += 1;
        ages.oldest = ages.oldest.max(age);
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{
        abi::TimeoutTable,
        flow_table::{Entry4, NewFlow, Target, Translation4, insert},
        packet::FlowKey4,
    };

    use super::*;

    #[test]
    fn flows_are_told_apart_by_age_and_backend() {
        let table: Vec<Bucket<Entry4>> = (0..64).map(|_| Bucket::default()).collect();
        let timeouts = TimeoutTable::default();
        timeouts.set_class(0, &[u32::MAX / 2; FlowState::LIMIT]);
        let hz = 100;
        let now: u64 = 10_000_000;
        let at = |now| Clock {
            now,
            timeouts: &timeouts,
        };
        for (n, age) in (0_u32..).zip([4_u64, 30, 300, 7200, 90_000]) {
            for backend in [3, 4] {
                for state in [FlowState::Established, FlowState::FinWait, FlowState::Template] {
                    let port = n << 16 | backend << 4 | u32::from(state as u8);
                    let flow = NewFlow {
                        key: FlowKey4::new(n, 1, port, 6),
                        hash: u64::from(port) << 32 | u64::from(port.wrapping_mul(7)),
                        target: Target::Backend(backend),
                        state,
                        class: 0,
                    };
                    insert(&*table, &flow, &at(now - age * u64::from(hz)));
                }
            }
        }
        let translations: [Bucket<Translation4>; 2] = Default::default();
        let mut watched = BTreeMap::from([(3, Ages::default())]);
        ages(&table, &translations, &at(now), hz, &mut watched);
        assert_eq!(watched[&3].classes, [3, 1, 0, 1, 1]);
        // One that is being closed counts while it is not silent yet.
        assert_eq!(watched[&3].flows(), 6);
        let lately = Lately {
            answered: 2,
            ..Lately::default()
        };
        assert_eq!(watched[&3].lately, lately, "one that was closed was answered");
        // In the units of the entry, in which the beginning of a flow is coarse.
        assert!(watched[&3].oldest.abs_diff(90_000) <= 3, "{watched:?}");
    }
}
