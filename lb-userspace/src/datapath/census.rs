//! Walking the flow table: counting flows, and removing those that have expired.

use std::collections::BTreeMap;

use lb_common::{
    flow_table::{Bucket, Clock, Entry, WAYS},
    tcp_state::{FlowState, Worth},
};

use super::Ages;

/// What a walk over both tables found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// IPv4 flows.
    pub v4: TableCensus,
    /// IPv6 flows.
    pub v6: TableCensus,
    /// Living flows of both by number of the backend.
    pub backends: Vec<u32>,
    /// How old those are of the backends that were asked for.
    pub ages: BTreeMap<u32, Ages>,
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
    /// Flows of one backend.
    #[must_use]
    pub fn of_backend(&self, number: u32) -> u32 {
        self.backends.get(number as usize).copied().unwrap_or(0)
    }
}

/// Counts the flows of one table, adds them to those of their `backends`, and removes the expired ones.
///
/// Runs beside the packet path. A flow whose packet arrives at the very moment of its expiry may be removed all the
/// same; its next packet is scheduled like a new one.
pub fn census<E: Entry>(table: &[Bucket<E>], clock: &Clock<'_>, backends: &mut [u32]) -> TableCensus {
    let mut found = TableCensus {
        places: (table.len() * WAYS) as u64,
        ..TableCensus::default()
    };
    for entry in table.iter().flat_map(|bucket| &bucket.entries) {
        let control = entry.state();
        if !control.is_live() {
            continue;
        }
        if clock.worth(entry, control).0 == Worth::Expired {
            found.expired += u64::from(entry.remove(control));
            continue;
        }
        found.states[control.state_index()] += 1;
        if let Some(count) = backends.get_mut(control.backend() as usize) {
            *count += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_common::{
        flow_table::{Entry4, NewFlow, insert},
        packet::FlowKey4,
    };

    #[test]
    fn counts_the_living_and_removes_the_dead() {
        let table: Vec<Bucket<Entry4>> = (0..64).map(|_| Bucket::default()).collect();
        let timeouts = [0, 60, 900, 120, 10, 300, 0, 0];
        let states = [FlowState::SynReceived, FlowState::Established, FlowState::Close];
        for (n, state) in (0..).zip(states.into_iter().cycle().take(30)) {
            let key = FlowKey4::new(n, 1, n << 16 | 1, 6);
            let hash = u64::from(n) << 32 | u64::from(n);
            insert(
                &*table,
                &NewFlow {
                    key,
                    hash,
                    backend: n % 2,
                    state,
                },
                &Clock {
                    now: 1000,
                    timeouts: &timeouts,
                },
            );
        }
        let mut backends = [0; 2];
        let found = census(
            &table,
            &Clock {
                now: 1061,
                timeouts: &timeouts,
            },
            &mut backends,
        );
        assert_eq!((found.flows(), found.expired, found.places), (10, 20, 256));
        assert_eq!(found.states[FlowState::Established as usize], 10);
        assert_eq!(backends, [5, 5]);
        let again = census(
            &table,
            &Clock {
                now: 1061,
                timeouts: &timeouts,
            },
            &mut backends,
        );
        assert_eq!((again.flows(), again.expired), (10, 0));
    }
}
