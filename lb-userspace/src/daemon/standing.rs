//! What each backend takes part in, and the desired state that follows from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::director::Director;
use crate::core::{
    backend::{Agent, Effective, FULL, Factor, Facts, State, effective, shares},
    ha::LeaseNumbers,
    health::{Pool, Standing},
    model::{Backend, Config, Service, Share},
    order::Book,
    plan::{Desired, DesiredBackend, DesiredService},
};

/// What the backends of each service take part in, by the service's name.
pub(super) type Standings = BTreeMap<String, Standing>;

impl Director {
    /// Everything that has a say in whether this backend serves, under these orders.
    fn facts(&self, service: &Service, backend: &Backend, book: &Book, vips: &BTreeSet<IpAddr>) -> Facts {
        let known = self.facts_at_once(service, backend, book, vips);
        let Some(course) = self.course(service, backend) else {
            return known;
        };
        let weight = course
            .part()
            .filter(|_| !known.agent.weight.is_zero())
            .unwrap_or(known.agent.weight);
        Facts {
            ramp: course.ramp(),
            agent: Agent {
                weight,
                ..known.agent
            },
            ..known
        }
    }

    /// The same, if nothing took time.
    pub(super) fn facts_at_once(
        &self,
        service: &Service,
        backend: &Backend,
        book: &Book,
        vips: &BTreeSet<IpAddr>,
    ) -> Facts {
        let (health, agent) = self.health_of(service, backend);
        Facts {
            weight: backend.weight,
            order: book
                .order(&service.name, backend.address)
                .map(|order| order.command),
            reachable: self.links.way(service.forward, backend.address, vips).is_ok(),
            health,
            ramp: FULL,
            agent,
        }
    }

    /// What this director has found out of a service's backends by itself, whatever clients' connections say.
    pub(super) fn checked(&self, service: &Service) -> Vec<Facts> {
        let facts = service.backends.iter().map(|backend| Facts {
            health: self.checks_of(service, backend).0,
            ..self.facts_at_once(service, backend, &self.orders.book, &self.addresses)
        });
        facts.collect()
    }

    /// What a backend takes part in.
    pub(super) fn effective(&self, service: &Service, backend: &Backend) -> Effective {
        // All are asked for one after the other, so that looking for each would take long.
        let index = service.backends.element_offset(backend);
        let standing = self.standing.get(&service.name);
        let known = standing.and_then(|standing| standing.backends.get(index?).copied());
        known.unwrap_or_else(|| effective(&self.facts(service, backend, &self.orders.book, &self.addresses)))
    }

    /// What the backends of a service take part in under these orders, with these VIPs, and the memory of its quorum.
    pub(super) fn stand(&self, service: &Service, book: &Book, vips: &BTreeSet<IpAddr>) -> (Pool, Standing) {
        let facts: Vec<Facts> = service
            .backends
            .iter()
            .map(|backend| self.facts(service, backend, book, vips))
            .collect();
        let mut pool = self.pools.get(&service.name).copied().unwrap_or_default();
        let backups: Vec<bool> = service.backends.iter().map(|backend| backend.backup).collect();
        let standing = pool.stand(&facts, &backups, &service.health);
        (pool, standing)
    }

    /// What all of a configuration take part in.
    pub(super) fn stand_all(&self, config: &Config) -> BTreeMap<String, (Pool, Standing)> {
        let vips = config.vips();
        let stand = |service: &Service| {
            let standing = self.stand(service, &self.orders.book, &vips);
            (service.name.clone(), standing)
        };
        config.services.iter().map(stand).collect()
    }

    /// Remembers it.
    pub(super) fn keep_standing(&mut self, all: BTreeMap<String, (Pool, Standing)>) {
        self.pools = all
            .iter()
            .map(|(name, (pool, _))| (name.clone(), *pool))
            .collect();
        self.standing = all
            .into_iter()
            .map(|(name, (_, standing))| (name, standing))
            .collect();
    }

    /// What should be in the maps, where the groups of instances have these numbers.
    pub(super) fn desired(
        &self,
        config: &Config,
        all: &BTreeMap<String, (Pool, Standing)>,
        leases: &LeaseNumbers,
    ) -> Desired {
        let services = config.services.iter().filter_map(|service| {
            let (_, standing) = all.get(&service.name)?;
            Some(desired_service(service, standing, config.director.pool_share))
        });
        Desired {
            services: services.collect(),
            egress: self.links.all().clone(),
            leases: leases.by_vip(&config.instances),
        }
    }
}

fn desired_service(service: &Service, standing: &Standing, share: Share) -> DesiredService {
    let there: Vec<(&Backend, &Effective)> = service
        .backends
        .iter()
        .zip(&standing.backends)
        .filter(|(_, effective)| effective.state != State::Removed)
        .collect();
    let weights: Vec<_> = there
        .iter()
        .map(|(_, effective)| (effective.weight, effective.factor))
        .collect();
    let weights = if service.scheduling.scheduler.counts_by_weight() {
        let part = |&(weight, factor): &(u32, Factor)| factor.of_weight(weight);
        weights.iter().map(part).collect()
    } else {
        shares(&weights)
    };
    let desired = |((backend, _), weight): ((&Backend, &Effective), u32)| DesiredBackend {
        address: backend.address,
        weight,
        port: backend.port,
        thresholds: backend.thresholds,
        backup: backend.backup,
        server_id: backend.server_id,
    };
    DesiredService {
        name: service.name.clone(),
        frontends: service.frontends.clone(),
        areas: service.areas.clone(),
        scheduling: service.scheduling.clone(),
        timeouts: service.timeouts.clone(),
        forward: service.forward,
        pool: service.pool.as_ref().map(|pool| pool.share(share)),
        connections: service.connections.clone(),
        backends: there.into_iter().zip(weights).map(desired).collect(),
    }
}
