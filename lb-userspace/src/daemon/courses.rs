//! How backends come back, and how their weights follow what is known of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::director::Director;
use crate::core::{
    backend::{Course, FULL, Factor, Present, by_latency, effective},
    health::{Verdict, Weights},
    model::{Backend, Config, Service},
};

/// Courses by the name of the service and the address of the backend.
pub(super) type Courses = BTreeMap<String, BTreeMap<IpAddr, Course>>;

/// However slowly it answers, a backend keeps this part of its weight.
const LEAST: Factor = Factor::permille(250);
/// A daemon that has run for so long knows whom it cannot reach.
const SETTLED: Duration = Duration::from_secs(10);

impl Director {
    pub(super) fn course(&self, service: &Service, backend: &Backend) -> Option<&Course> {
        self.courses.get(&service.name)?.get(&backend.address)
    }

    /// How the next slow starts of these go, by service and address.
    pub(super) fn set_next_starts(&mut self, whom: &[(String, IpAddr)], length: Option<Duration>) {
        for (service, address) in whom {
            let course = self
                .courses
                .get_mut(service)
                .and_then(|courses| courses.get_mut(address));
            if let Some(course) = course {
                course.set_next(length);
            }
        }
    }

    /// Slow starts go on, and weights follow; who takes part in what may change by it.
    pub(super) fn pass_time(&mut self) {
        if self.follow_courses() {
            self.converge();
        }
    }

    /// Takes note of how backends are; whether that makes a difference.
    pub(super) fn follow_courses(&mut self) -> bool {
        let (courses, changed) = self.courses_under(&self.config);
        self.courses = courses;
        changed
    }

    /// The courses as they are now, under this configuration, and whether any has changed.
    pub(super) fn courses_under(&self, config: &Config) -> (Courses, bool) {
        let now = self.opened.elapsed();
        let mut changed = false;
        let mut courses = Courses::new();
        let vips = config.vips();
        for service in &config.services {
            let known = self.courses.get(&service.name);
            let parts = self.parts_by_latency(service);
            let mut of_service = BTreeMap::new();
            for (backend, part) in service.backends.iter().zip(parts) {
                let course = known.map(|known| known.get(&backend.address).copied());
                let mut course = match course {
                    Some(Some(course)) => course,
                    Some(None) if self.adopted => Course::added(),
                    Some(None) | None => Course::default(),
                };
                changed |= course.follow(&self.present(service, backend, part, &vips), now);
                of_service.insert(backend.address, course);
            }
            courses.insert(service.name.clone(), of_service);
        }
        (courses, changed)
    }

    fn present(
        &self,
        service: &Service,
        backend: &Backend,
        part: Factor,
        vips: &BTreeSet<IpAddr>,
    ) -> Present {
        let facts = self.facts_at_once(service, backend, &self.orders.book, vips);
        let found = facts.reachable || self.opened.elapsed() > SETTLED;
        let known = found && self.is_known(service, backend);
        Present {
            serves: known.then(|| effective(&facts).serves()),
            wanted: facts.agent.weight.of(part),
            slow_start: service.slow_start,
        }
    }

    /// The part of its weight that each backend of a service should have by how fast it answers.
    fn parts_by_latency(&self, service: &Service) -> Vec<Factor> {
        match service.health.weights {
            Weights::Agent => vec![FULL; service.backends.len()],
            Weights::Latency => {
                let latency = |backend: &Backend| {
                    let reports = (0..service.health.checks.len() as u32)
                        .filter_map(|check| self.health.report(&service.name, backend.address, check));
                    let well = reports.filter(|report| report.finding.verdict == Verdict::Up);
                    well.filter_map(|report| report.took).max()
                };
                let latencies: Vec<_> = service.backends.iter().map(latency).collect();
                by_latency(&latencies, LEAST)
            }
        }
    }
}
