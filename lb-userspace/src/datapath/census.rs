//! Walking the flow table: counting flows, and removing those that have expired.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::{
    abi::{BackendLoad, LoadCount, TIMEOUT_CLASSES},
    flow_state::{FlowState, Standing, Worth},
    flow_table::{Bucket, Clock, Control, Entry, TranslationEntry, WAYS},
};

use super::{Ages, translations::translation_of};

/// What a walk over both tables found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// IPv4 flows.
    pub v4: TableCensus,
    /// IPv6 flows.
    pub v6: TableCensus,
    /// Whose flows they are.
    pub holders: Holders,
    /// How old those are of the backends that were asked for.
    pub ages: BTreeMap<u32, Ages>,
    /// Some clients of whose translated flows nothing came here yet.
    pub silent: BTreeSet<IpAddr>,
}

/// Living flows of both tables by what they refer to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holders {
    /// By number of the backend; templates are among them.
    pub backends: Vec<u32>,
    /// Connections by number of the backend.
    pub loads: Vec<LoadCount>,
    /// By timeout class.
    pub classes: [u32; TIMEOUT_CLASSES],
}

/// What a walk over one table found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableCensus {
    /// Places of the table.
    pub places: u64,
    /// Living flows by number of the state.
    pub states: [u64; FlowState::LIMIT],
    /// Flows that had expired and were removed.
    pub expired: u64,
}

impl TableCensus {
    /// Living flows.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.states.iter().sum()
    }
}

impl Census {
    /// Flows of one backend; templates are none.
    #[must_use]
    pub fn of_backend(&self, number: u32) -> u32 {
        let load = self.load_of(number);
        load.active + load.inactive
    }

    /// Whether any entry names this backend.
    #[must_use]
    pub fn names_backend(&self, number: u32) -> bool {
        let entries = self.holders.backends.get(number as usize);
        entries.is_some_and(|entries| *entries > 0)
    }

    /// Connections of one backend.
    #[must_use]
    pub fn load_of(&self, number: u32) -> LoadCount {
        self.holders
            .loads
            .get(number as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Flows of one timeout class.
    #[must_use]
    pub fn of_class(&self, class: u8) -> u32 {
        self.holders.classes.get(usize::from(class)).copied().unwrap_or(0)
    }
}

impl Holders {
    /// No flow yet of any of so many backends.
    #[must_use]
    pub fn new(backends: usize) -> Self {
        Self {
            backends: vec![0; backends],
            loads: vec![LoadCount::default(); backends],
            classes: [0; TIMEOUT_CLASSES],
        }
    }

    fn count(&mut self, control: Control, backend: Option<u32>) {
        self.classes[usize::from(control.class())] += 1;
        let Some(backend) = backend.map(|number| number as usize) else {
            return;
        };
        if let (Some(flows), Some(load)) = (self.backends.get_mut(backend), self.loads.get_mut(backend)) {
            *flows += 1;
            match Standing::of_number(control.state_index() as u32) {
                Standing::Active => load.active += 1,
                Standing::Inactive => load.inactive += 1,
                Standing::Apart => {}
            }
        }
    }
}

/// Counts the flows of one table, adds them to those of their `holders`, and removes the expired ones, from the live counts
/// in `loads` too.
///
/// A flow that is translated lives as long as its replies do, too, and its translation goes with it.
///
/// Runs beside the packet path. A flow whose packet arrives at the very moment of its expiry may be removed all the
/// same; its next packet is scheduled like a new one.
pub fn census<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    table: &[Bucket<E>],
    translations: &[Bucket<T>],
    clock: &Clock<'_>,
    loads: &[BackendLoad],
    holders: &mut Holders,
) -> TableCensus {
    let mut found = TableCensus {
        places: (table.len() * WAYS) as u64,
        ..TableCensus::default()
    };
    for entry in table.iter().flat_map(|bucket| &bucket.entries) {
        let control = entry.state();
        if !control.is_live() {
            continue;
        }
        let translation = translation_of(translations, entry, control);
        if let Some(translation) = &translation {
            // Only the packets of the client write to the flow's own entry.
            let seen = translation.entry.last_seen().load();
            if clock.idle(seen) < clock.idle(entry.last_seen().load()) {
                entry.touch(seen);
            }
        }
        let backend = match &translation {
            Some(translation) => translation.control.backend(),
            None => control.backend(),
        };
        if clock.worth(entry, control).0 == Worth::Expired {
            if entry.remove(control) {
                found.expired += 1;
                if let Some(translation) = translation {
                    translation.entry.remove(translation.control);
                }
                let load = backend.and_then(|number| loads.get(number as usize));
                if let Some(load) = load {
                    load.left(control.state_index() as u32);
                }
            }
            continue;
        }
        found.states[control.state_index()] += 1;
        holders.count(control, backend);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_common::{
        abi::{LoadLimits, TimeoutTable},
        flow_table::{Entry4, NewFlow, Target, Translation4, insert},
        packet::FlowKey4,
    };

    #[test]
    fn counts_the_living_and_removes_the_dead() {
        const CLASS: u8 = 3;
        let table: Vec<Bucket<Entry4>> = (0..64).map(|_| Bucket::default()).collect();
        let timeouts = TimeoutTable::default();
        timeouts.set_class(CLASS, &crate::core::timeouts::Timeouts::default().in_jiffies(1));
        let at = |now| Clock {
            now,
            timeouts: &timeouts,
        };
        let states = [FlowState::SynRecv, FlowState::Established, FlowState::Close];
        for (n, state) in (0..).zip(states.into_iter().cycle().take(30)) {
            let flow = NewFlow {
                key: FlowKey4::new(n, 1, n << 16 | 1, 6),
                hash: u64::from(n) << 32 | u64::from(n),
                target: Target::Backend(n % 2),
                state,
                class: CLASS,
            };
            insert(&*table, &flow, &at(1000));
        }
        let loads: [BackendLoad; 2] = Default::default();
        for load in &loads {
            load.set_limits(&LoadLimits {
                counted: true,
                ..LoadLimits::default()
            });
            load.correct(5, 10);
        }
        let translations: [Bucket<Translation4>; 2] = Default::default();
        let mut holders = Holders::new(2);
        let found = census(&table, &translations, &at(1061), &loads, &mut holders);
        assert_eq!((found.flows(), found.expired, found.places), (10, 20, 256));
        assert_eq!(found.states[FlowState::Established as usize], 10);
        assert_eq!(holders.backends, [5, 5]);
        let left = LoadCount {
            active: 5,
            inactive: 0,
        };
        assert_eq!(holders.loads, [left; 2]);
        assert_eq!(holders.classes[usize::from(CLASS)], 10);
        let again = census(&table, &translations, &at(1061), &loads, &mut holders);
        assert_eq!((again.flows(), again.expired), (10, 0));
    }
}
