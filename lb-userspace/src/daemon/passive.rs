//! Backends that leave connections unanswered, or refuse them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::director::Director;
use crate::core::{
    health::{Lately, Outliers, Recent},
    model::{Backend, Service},
};

/// What is known of each service's backends, by its name.
pub(super) type OutlierBook = BTreeMap<String, Outliers>;

/// How many connections backends refuse, by their numbers.
pub(super) type RefusalBook = BTreeMap<u32, Recent>;

impl Director {
    /// Numbers of the backends whose connections are to be looked at.
    pub(super) fn observed(&self) -> BTreeSet<u32> {
        let services = self
            .config
            .services
            .iter()
            .filter(|service| service.health.eject > 0);
        let numbers = services.flat_map(|service| {
            let number = self.planner.service_number(&service.name);
            let of = move |backend: &Backend| self.planner.backend_number(number?, backend.address);
            service.backends.iter().filter_map(of)
        });
        numbers.collect()
    }

    /// Takes note of how connections went; whether others are ejected now.
    pub(super) fn note_outliers(&mut self) -> bool {
        let now = self.opened.elapsed();
        let refused = self.refused(now);
        let mut book = std::mem::take(&mut self.outliers);
        let mut changed = false;
        let mut kept = OutlierBook::new();
        for service in self
            .config
            .services
            .iter()
            .filter(|service| service.health.eject > 0)
        {
            let lately: BTreeMap<IpAddr, Lately> = service
                .backends
                .iter()
                .filter_map(|backend| Some((backend.address, self.lately(service, backend, &refused)?)))
                .collect();
            let mut outliers = book.remove(&service.name).unwrap_or_default();
            changed |= outliers.look(&lately, service.health.eject, now);
            kept.insert(service.name.clone(), outliers);
        }
        // Those that were ejected are not any more, if that is no longer looked at.
        changed |= !book.is_empty();
        self.outliers = kept;
        changed
    }

    /// Connections that backends refused lately, by their numbers.
    fn refused(&mut self, now: Duration) -> BTreeMap<u32, u64> {
        let observed = self.observed();
        self.refusals.retain(|number, _| observed.contains(number));
        let totals = observed.into_iter().filter_map(|number| {
            // Without a count nothing is held against the backend; whoever asks for its counters hears why.
            let total = self.kernel.backend_totals(number).ok()?.refused;
            Some((number, self.refusals.entry(number).or_default().note(total, now)))
        });
        totals.collect()
    }

    fn lately(&self, service: &Service, backend: &Backend, refused: &BTreeMap<u32, u64>) -> Option<Lately> {
        let service = self.planner.service_number(&service.name)?;
        let number = self.planner.backend_number(service, backend.address)?;
        let lately = self.census.ages.get(&number)?.lately;
        let refused = refused.get(&number).copied().unwrap_or(0);
        // A connection that was refused is closed in the table, as others are that went well before.
        Some(Lately {
            answered: lately.answered.saturating_sub(refused),
            refused,
            ..lately
        })
    }

    /// What a backend is ejected for, if it is.
    pub(super) fn ejected(&self, service: &Service, backend: &Backend) -> Option<Lately> {
        self.outliers.get(&service.name)?.ejected(backend.address)
    }
}
