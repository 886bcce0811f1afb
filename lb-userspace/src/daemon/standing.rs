//! What each backend takes part in, and the desired state that follows from it.

use std::{collections::BTreeSet, net::IpAddr};

use super::director::Director;
use crate::core::{
    backend::{Agent, Effective, FULL, Factor, Facts, Health, State, effective, shares},
    ha::LeaseNumbers,
    model::{Backend, Config, Service},
    order::Book,
    plan::{Desired, DesiredBackend, DesiredService},
};

impl Director {
    /// Everything that has a say in whether this backend serves, under these orders.
    fn facts(&self, service: &Service, backend: &Backend, book: &Book, vips: &BTreeSet<IpAddr>) -> Facts {
        Facts {
            weight: backend.weight,
            order: book
                .order(&service.name, backend.address)
                .map(|order| order.command),
            reachable: self.links.way(service.forward, backend.address, vips).is_ok(),
            health: Health::Unchecked,
            ramp: FULL,
            agent: Agent::SILENT,
        }
    }

    /// What a backend takes part in.
    pub(super) fn effective(&self, service: &Service, backend: &Backend) -> Effective {
        self.effective_under(service, backend, &self.orders.book, &self.addresses)
    }

    /// What a backend would take part in under these orders, with these VIPs.
    pub(super) fn effective_under(
        &self,
        service: &Service,
        backend: &Backend,
        book: &Book,
        vips: &BTreeSet<IpAddr>,
    ) -> Effective {
        effective(&self.facts(service, backend, book, vips))
    }

    /// What should be in the maps, where the groups of instances have these numbers.
    pub(super) fn desired(&self, config: &Config, leases: &LeaseNumbers) -> Desired {
        let vips = config.vips();
        Desired {
            services: config
                .services
                .iter()
                .map(|service| self.desired_service(service, &vips))
                .collect(),
            egress: self.links.all().clone(),
            leases: leases.by_vip(&config.instances),
        }
    }

    fn desired_service(&self, service: &Service, vips: &BTreeSet<IpAddr>) -> DesiredService {
        let standing: Vec<(&Backend, Effective)> = service
            .backends
            .iter()
            .map(|backend| {
                let effective = self.effective_under(service, backend, &self.orders.book, vips);
                (backend, effective)
            })
            .filter(|(_, effective)| effective.state != State::Removed)
            .collect();
        let weights: Vec<_> = standing
            .iter()
            .map(|(_, effective)| (effective.weight, effective.factor))
            .collect();
        let weights = if service.scheduling.scheduler.counts_by_weight() {
            let part = |&(weight, factor): &(u32, Factor)| factor.of_weight(weight);
            weights.iter().map(part).collect()
        } else {
            shares(&weights)
        };
        let desired = |((backend, _), weight): ((&Backend, Effective), u32)| DesiredBackend {
            address: backend.address,
            weight,
            thresholds: backend.thresholds,
            backup: backend.backup,
        };
        DesiredService {
            name: service.name.clone(),
            frontends: service.frontends.clone(),
            scheduling: service.scheduling.clone(),
            timeouts: service.timeouts.clone(),
            forward: service.forward,
            backends: standing.into_iter().zip(weights).map(desired).collect(),
        }
    }
}
