//! Backends that leave connections unanswered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::director::Director;
use crate::core::{
    health::{Lately, Outliers},
    model::{Backend, Service},
};

/// What is known of each service's backends, by its name.
pub(super) type OutlierBook = BTreeMap<String, Outliers>;

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
                .filter_map(|backend| Some((backend.address, self.lately(service, backend)?)))
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

    fn lately(&self, service: &Service, backend: &Backend) -> Option<Lately> {
        let service = self.planner.service_number(&service.name)?;
        let number = self.planner.backend_number(service, backend.address)?;
        Some(self.census.ages.get(&number)?.lately)
    }

    /// What a backend is ejected for, if it is.
    pub(super) fn ejected(&self, service: &Service, backend: &Backend) -> Option<Lately> {
        self.outliers.get(&service.name)?.ejected(backend.address)
    }
}
