//! What is shown: the difference between two looks at the daemon.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use serde::Serialize;
use tokio::time::Instant;

use super::Sort;
use crate::api::{
    Client, ClientError,
    types::{BackendView, Fate, HaView, ServiceView, StatsView, StatusView},
};

/// What the daemon told at one time.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    at: Instant,
    status: StatusView,
    services: Vec<ServiceView>,
    backends: Vec<BackendView>,
    stats: StatsView,
    ha: HaView,
}

impl Sample {
    pub(super) async fn take(client: &Client) -> Result<Self, ClientError> {
        Ok(Self {
            status: client.status().await?,
            services: client.services().await?,
            backends: client.backends().await?,
            stats: client.stats().await?,
            ha: client.ha().await?,
            at: Instant::now(),
        })
    }
}

/// Events a second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub(super) struct Rate {
    pub(super) new_flows: f64,
    pub(super) packets: f64,
    pub(super) bytes: f64,
}

impl std::iter::Sum for Rate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::default(), |sum, rate| Self {
            new_flows: sum.new_flows + rate.new_flows,
            packets: sum.packets + rate.packets,
            bytes: sum.bytes + rate.bytes,
        })
    }
}

/// Everything on the screen.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Frame {
    /// Length of the interval that rates are over.
    pub(super) seconds: f64,
    pub(super) status: StatusView,
    pub(super) total: Rate,
    /// Packets a second that were dropped, by reason, the most first; without those that were not.
    pub(super) dropped: Vec<Dropped>,
    pub(super) stats: StatsView,
    pub(super) ha: HaView,
    pub(super) services: Vec<Service>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Dropped {
    pub(super) reason: String,
    pub(super) packets: f64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Service {
    #[serde(flatten)]
    pub(super) view: ServiceView,
    pub(super) rate: Rate,
    /// Its backends, those that were removed as well.
    pub(super) members: Vec<Backend>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Backend {
    #[serde(flatten)]
    pub(super) view: BackendView,
    pub(super) rate: Rate,
}

impl Frame {
    /// What happened between two looks.
    pub(super) fn between(before: &Sample, after: &Sample, sort: Sort) -> Self {
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        // A counter that was set back, as that of a new daemon whose tables are new, began at 0.
        let rate = |before: Option<u64>, after: u64| match before {
            Some(before) if seconds > 0.0 => after.saturating_sub(before) as f64 / seconds,
            Some(_) | None => 0.0,
        };
        let known: BTreeMap<Id<'_>, &BackendView> =
            before.backends.iter().map(|view| (id(view), view)).collect();
        let mut members: BTreeMap<&str, Vec<Backend>> = BTreeMap::new();
        for view in &after.backends {
            let old = known.get(&id(view));
            let rate = Rate {
                new_flows: rate(old.map(|old| old.new_flows), view.new_flows),
                packets: rate(old.map(|old| old.packets), view.packets),
                bytes: rate(old.map(|old| old.bytes), view.bytes),
            };
            let view = view.clone();
            members
                .entry(after.service_of(&view.service))
                .or_default()
                .push(Backend { view, rate });
        }
        let services = after.services.iter().map(|view| {
            let mut members = members.remove(view.name.as_str()).unwrap_or_default();
            order(&mut members, sort);
            Service {
                rate: members.iter().map(|member| member.rate).sum(),
                view: view.clone(),
                members,
            }
        });
        let old: BTreeMap<&str, u64> = before
            .stats
            .reasons
            .iter()
            .map(|reason| (reason.slug.as_str(), reason.packets))
            .collect();
        let drops = after
            .stats
            .reasons
            .iter()
            .filter(|reason| reason.fate == Fate::Drop);
        let mut dropped: Vec<_> = drops
            .map(|reason| Dropped {
                reason: reason.slug.clone(),
                packets: rate(old.get(reason.slug.as_str()).copied(), reason.packets),
            })
            .filter(|dropped| dropped.packets > 0.0)
            .collect();
        dropped.sort_by(|one, other| other.packets.total_cmp(&one.packets));
        Self {
            seconds,
            total: Rate {
                new_flows: rate(Some(before.stats.new_flows), after.stats.new_flows),
                packets: rate(Some(before.stats.packets), after.stats.packets),
                bytes: rate(Some(before.stats.bytes), after.stats.bytes),
            },
            dropped,
            services: services.collect(),
            status: after.status.clone(),
            stats: after.stats.clone(),
            ha: after.ha.clone(),
        }
    }

    /// How many rows the list of services and backends has at most.
    pub(super) fn rows(&self) -> usize {
        let members = self.services.iter().map(|service| service.members.len() + 1);
        members.sum()
    }
}

impl Sample {
    /// The service of that name, as long as the sample lives.
    fn service_of(&self, name: &str) -> &str {
        let found = self.services.iter().find(|service| service.name == name);
        found.map_or("", |service| &service.name)
    }
}

type Id<'a> = (&'a str, &'a str, IpAddr);

fn id(view: &BackendView) -> Id<'_> {
    (&view.service, &view.name, view.address)
}

fn order(members: &mut [Backend], sort: Sort) {
    match sort {
        Sort::Config => {}
        Sort::Flows => members.sort_by_key(|member| Reverse(member.view.flows)),
        Sort::New => members.sort_by(|one, other| other.rate.new_flows.total_cmp(&one.rate.new_flows)),
        Sort::Packets => members.sort_by(|one, other| other.rate.packets.total_cmp(&one.rate.packets)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::{super::super::testdata::view, *};

    /// Two looks two seconds apart, at the examples.
    pub(in crate::cli::top) fn samples() -> [Sample; 2] {
        let after = Sample {
            at: Instant::now() + Duration::from_secs(2),
            status: view("status"),
            services: view("services"),
            backends: view("backends"),
            stats: view("stats"),
            ha: view("ha"),
        };
        let mut before = after.clone();
        before.at -= Duration::from_secs(2);
        before.stats.packets -= 20_000;
        before.stats.bytes -= 2_500_000;
        before.stats.new_flows -= 30;
        for backend in &mut before.backends[..2] {
            backend.packets -= 10_000;
            backend.bytes -= 1_250_000;
            backend.new_flows -= 15;
        }
        for reason in &mut before.stats.reasons {
            reason.packets = reason.packets.saturating_sub(10);
        }
        [before, after]
    }

    #[test]
    fn rates_are_differences_over_time() {
        let [before, after] = samples();
        let frame = Frame::between(&before, &after, Sort::Config);
        assert_eq!(
            frame.total,
            Rate {
                new_flows: 15.0,
                packets: 10_000.0,
                bytes: 1_250_000.0
            }
        );
        assert_eq!(frame.services[0].rate.packets, 10_000.0);
        assert_eq!(frame.services[0].members[0].rate.packets, 5000.0);
        assert!(frame.dropped.iter().all(|dropped| dropped.packets <= 5.0));
        assert!(!frame.dropped.is_empty());
    }

    #[test]
    fn a_counter_that_was_set_back_and_one_that_is_new_are_no_rates() {
        let [before, mut after] = samples();
        after.stats.packets = 0;
        after.backends[0].name = "new".to_owned();
        let frame = Frame::between(&before, &after, Sort::Config);
        assert_eq!(frame.total.packets, 0.0);
        assert_eq!(frame.services[0].members[0].rate, Rate::default());
        // The same look twice.
        let frame = Frame::between(&before, &before, Sort::Config);
        assert_eq!(frame.total, Rate::default());
    }

    #[test]
    fn backends_are_sorted_as_asked() {
        let [before, after] = samples();
        let flows = |sort| -> Vec<u64> {
            let frame = Frame::between(&before, &after, sort);
            let members = &frame.services[0].members;
            members.iter().map(|member| member.view.flows).collect()
        };
        let sorted = flows(Sort::Flows);
        assert!(sorted.is_sorted_by(|one, other| one >= other), "{sorted:?}");
        assert_eq!(flows(Sort::Config).len(), sorted.len());
        let mut sort = Sort::Config;
        for _ in 0..4 {
            sort = sort.next();
        }
        assert_eq!(sort, Sort::Config);
    }
}
