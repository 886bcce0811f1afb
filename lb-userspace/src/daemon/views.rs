//! What the director tells of itself.

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::{
    abi::{BackendLoad, Event, LoadCount, Schedule, ServiceEntry},
    flow_state::FlowState,
    reason::Reason,
};
use tokio::sync::oneshot;
use tracing::warn;

use super::{
    director::Director,
    flows::{BackendName, Names},
    sync::{Sync, divergence, mended},
};
use crate::{
    api::orders::{AgeCount, DrainView, OrderView},
    api::query::Query,
    api::types::{
        BackendState, BackendView, ClusterView, ComparisonView, EventView, Family, InterfaceView, KeyView,
        LiveView, PersistenceView, ReasonView, ServiceView, StateCount, StateName, StatsView, StatusView,
        SyncView, TableView, VerifyRequest, VerifyView, XdpMode,
    },
    core::{
        backend::State,
        model::{Backend, Forward, Service},
        neighbour::Mac,
        seal::Keyring,
        sync::{Compared, Comparison},
        way::{link_of, method_of},
    },
    datapath::{AGES, BackendTotals, DatapathError, TableCensus},
    net::link,
};

fn cluster(keyring: &Keyring) -> ClusterView {
    ClusterView {
        name: keyring.cluster().to_owned(),
        authentication: keyring.authentication(),
        keys: keyring
            .keys()
            .iter()
            .map(|key| KeyView {
                id: key.id().0,
                fingerprint: key.fingerprint().to_string(),
            })
            .collect(),
    }
}

impl Director {
    /// Answers; who asked may have gone meanwhile.
    pub(super) async fn answer(&mut self, query: Query) {
        let outcome = match query {
            Query::Status(to) => {
                let _ = to.send(self.status().await);
                Ok(())
            }
            Query::Services(to) => self.services().map(|view| drop(to.send(view))),
            Query::Backends(to) => self.backends().map(|view| drop(to.send(view))),
            Query::Stats(to) => self.stats().map(|view| drop(to.send(view))),
            Query::Orders(to) => {
                let _ = to.send(self.orders.book.iter().map(OrderView::from).collect());
                Ok(())
            }
            Query::Order(request, who, to) => {
                self.order(&request, who, to);
                Ok(())
            }
            Query::EndFlows(request, who, to) => {
                self.cut(request, who, to);
                Ok(())
            }
            // The daemon answers them itself.
            Query::Config(_) | Query::Reload(..) | Query::Exit(..) | Query::Trace(..) | Query::Watch(..) => {
                Ok(())
            }
            Query::Ha(to) => {
                // Who gets no answer is told to ask again.
                if let Some(view) = self.pair().await {
                    let _ = to.send(view);
                }
                Ok(())
            }
            Query::Sync(to) => {
                if let Some(view) = self.synchronisation().await {
                    let _ = to.send(view);
                }
                Ok(())
            }
            Query::Verify(request, to) => {
                self.verify(request, to);
                Ok(())
            }
            Query::HaOrder(order, who, to) => {
                self.order_pair(order, who, to).await;
                Ok(())
            }
        };
        if let Err(error) = outcome {
            warn!(%error, "cannot answer a query");
        }
    }

    /// Services in the order of the configuration.
    pub(super) fn services(&self) -> Result<Vec<ServiceView>, DatapathError> {
        self.config
            .services
            .iter()
            .map(|service| self.service(service))
            .collect()
    }

    fn service(&self, service: &Service) -> Result<ServiceView, DatapathError> {
        let backends: Vec<BackendView> = service
            .backends
            .iter()
            .map(|backend| self.backend(service, backend))
            .collect::<Result<_, _>>()?;
        let sum = |field: fn(&BackendView) -> u64| backends.iter().map(field).sum();
        let ready = service
            .backends
            .iter()
            .filter(|backend| self.slots(service, backend) > 0);
        let ready = ready.count() as u32;
        Ok(ServiceView {
            name: service.name.clone(),
            frontends: {
                let frontends = service.frontends.iter().map(ToString::to_string);
                frontends
                    .chain(service.areas.iter().map(ToString::to_string))
                    .collect()
            },
            scheduler: service.scheduling.scheduler,
            persistence: service.connections.persistence.map(|clients| PersistenceView {
                timeout_seconds: service.timeouts.get(FlowState::Template).as_secs(),
                prefix_v4: clients.prefix_v4,
                prefix_v6: clients.prefix_v6,
            }),
            one_packet: service.connections.one_packet,
            forward: service.forward.into(),
            tunnel: match service.forward {
                Forward::Dr | Forward::Nat | Forward::FullNat => None,
                Forward::Tunnel(encapsulation) => Some(encapsulation),
            },
            table_size: self.schedule(service).length,
            backends: backends.len() as u32,
            has_quorum: self
                .standing
                .get(&service.name)
                .is_none_or(|standing| standing.has_quorum),
            backends_ready: ready,
            flows: sum(|backend| backend.flows),
            new_flows: sum(|backend| backend.new_flows),
            packets: sum(|backend| backend.packets),
            bytes: sum(|backend| backend.bytes),
        })
    }

    /// Backends by service in the order of the configuration, then those that were removed.
    pub(super) fn backends(&self) -> Result<Vec<BackendView>, DatapathError> {
        let configured = self.config.services.iter().flat_map(|service| {
            service
                .backends
                .iter()
                .map(move |backend| self.backend(service, backend))
        });
        let removed = self
            .planner
            .retired()
            .map(|(number, address)| self.removed(number, address));
        configured.chain(removed).collect()
    }

    fn backend(&self, service: &Service, backend: &Backend) -> Result<BackendView, DatapathError> {
        let number = self
            .planner
            .service_number(&service.name)
            .and_then(|service| self.planner.backend_number(service, backend.address));
        let mut view = self.reach(number, service.forward, backend.address)?;
        view.service.clone_from(&service.name);
        view.name.clone_from(&backend.name);
        view.weight = backend.weight;
        let effective = self.effective(service, backend);
        view.effective_weight = effective.factor.of_weight(effective.weight);
        view.state = match effective.state {
            State::Ready => BackendState::Ready,
            State::Warming => BackendState::Warming,
            State::Draining => BackendState::Draining,
            State::Offline => BackendState::Offline,
            State::Removed => BackendState::Removed,
            State::Down => BackendState::Down {
                reason: self.why_down(service, backend),
            },
            // With the reason that is there already.
            State::Unresolved => view.state,
        };
        view.order = self
            .orders
            .book
            .order(&service.name, backend.address)
            .map(OrderView::from);
        view.drain = self.drain_view(service, backend);
        view.health = self.health_view(service, backend);
        view.backup = backend.backup;
        view.port = backend.port;
        let slots = self.slots(service, backend);
        // A backup that stands by has no share of what the others get, nor none.
        if service.scheduling.scheduler.has_shares() && (slots > 0 || !backend.backup) {
            let of = self.schedule(service).length.max(1);
            view.share = Some(f64::from(slots) / f64::from(of));
        }
        Ok(view)
    }

    /// The service's schedule in force.
    fn schedule(&self, service: &Service) -> Schedule {
        self.planner
            .service_number(&service.name)
            .and_then(|number| self.kernel.tables.services.get(number as usize))
            .map(ServiceEntry::schedule)
            .unwrap_or_default()
    }

    /// Slots that the backend has in it.
    fn slots(&self, service: &Service, backend: &Backend) -> u32 {
        let Some(number) = self.planner.service_number(&service.name) else {
            return 0;
        };
        self.planner
            .backend_number(number, backend.address)
            .and_then(|backend| self.slots.get(&number)?.get(&backend).copied())
            .unwrap_or(0)
    }

    fn drain_view(&self, service: &Service, backend: &Backend) -> Option<DrainView> {
        let drain = self.orders.drain(&service.name, backend.address)?;
        let order = self.orders.book.order(&service.name, backend.address)?;
        let bounds = AGES.into_iter().map(Some).chain([None]);
        let class = |(younger_than_seconds, flows)| AgeCount {
            younger_than_seconds,
            flows,
        };
        let flows = drain.progress.flows();
        Some(DrainView {
            flows_at_start: drain.progress.at_start(),
            flows,
            new_flows: drain.progress.new_since_start(),
            new_flows_per_second: drain.progress.new_per_second(),
            oldest_seconds: (flows > 0).then_some(drain.ages.oldest),
            by_age: bounds.zip(drain.ages.classes).map(class).collect(),
            remaining_seconds: drain.progress.remaining().map(|left| left.as_secs()),
            deadline_seconds: order
                .deadline
                .filter(|deadline| !deadline.done)
                .map(|deadline| deadline.at.since(self.orders.now()).as_secs()),
            drained: drain.drained,
        })
    }

    fn removed(&self, number: u32, address: IpAddr) -> Result<BackendView, DatapathError> {
        let entry = self.kernel.tables.backends.get(number as usize);
        let way = entry.and_then(|entry| entry.way());
        let forward = way.as_ref().and_then(method_of).unwrap_or(Forward::Dr);
        let mut view = self.reach(Some(number), forward, address)?;
        view.service = self.service_of(number).unwrap_or_default();
        view.state = BackendState::Removed;
        Ok(view)
    }

    /// What is the same for every backend: the way to it, and its counters.
    fn reach(
        &self,
        number: Option<u32>,
        forward: Forward,
        address: IpAddr,
    ) -> Result<BackendView, DatapathError> {
        let totals = match number {
            Some(number) => self.kernel.backend_totals(number)?,
            None => BackendTotals::default(),
        };
        let load = number.and_then(|number| self.kernel.tables.loads.get(number as usize));
        let count = number.map_or_else(LoadCount::default, |number| self.census.load_of(number));
        let way = self.links.way(forward, address, &self.addresses);
        let link = way.as_ref().ok().and_then(|(way, _)| link_of(way));
        Ok(BackendView {
            service: String::new(),
            name: address.to_string(),
            address,
            port: None,
            weight: 0,
            effective_weight: 0,
            backup: false,
            full: load.is_some_and(BackendLoad::is_full),
            share: None,
            mac: link.map(|link| Mac(link.destination).to_string()),
            interface: way.as_ref().ok().map(|(_, interface)| (*interface).to_owned()),
            order: None,
            drain: None,
            health: None,
            state: match way {
                Ok(_) => BackendState::Ready,
                Err(reason) => BackendState::Unresolved {
                    reason: reason.to_string(),
                },
            },
            flows: number.map_or(0, |number| self.census.of_backend(number).into()),
            active_flows: count.active.into(),
            inactive_flows: count.inactive.into(),
            live: load.filter(|load| load.limits().counted).map(live),
            new_flows: totals.flows,
            refused: totals.refused,
            packets: totals.packets,
            bytes: totals.bytes,
        })
    }

    fn service_of(&self, backend: u32) -> Option<String> {
        let service = self.kernel.tables.backends.get(backend as usize)?.service();
        self.kernel.tables.service_names.get(service as usize)?.get()
    }

    /// Counters and tables.
    fn stats(&self) -> Result<StatsView, DatapathError> {
        let totals = self.kernel.totals()?;
        let mut forwarded = BackendTotals::default();
        for &number in self.kernel.tables.inventory().backends.keys() {
            let backend = self.kernel.backend_totals(number)?;
            forwarded.packets += backend.packets;
            forwarded.bytes += backend.bytes;
            forwarded.flows += backend.flows;
        }
        Ok(StatsView {
            packets: forwarded.packets,
            bytes: forwarded.bytes,
            new_flows: forwarded.flows,
            reasons: Reason::ALL
                .iter()
                .map(|&reason| ReasonView::new(reason, totals.reason(reason)))
                .collect(),
            events: Event::ALL
                .iter()
                .map(|&event| EventView::new(event, totals.event(event)))
                .collect(),
            tables: vec![
                table(Family::Ipv4, &self.census.v4),
                table(Family::Ipv6, &self.census.v6),
            ],
            census_age_seconds: self.census_at.map(|at| at.elapsed().as_secs()),
            reaction: self.reaction,
            probes: self.probes,
        })
    }

    /// How the synchronisation of connections stands; `None` when the sync thread does not answer.
    async fn synchronisation(&self) -> Option<SyncView> {
        let Some(sync) = &self.sync else {
            return Some(SyncView {
                director: self.config.director.name.clone(),
                sync: None,
            });
        };
        match sync.view().await {
            Ok(view) => Some(view),
            Err(error) => {
                warn!(%error, "cannot answer a query");
                None
            }
        }
    }

    /// Has the tables compared, and the answer sent.
    fn verify(&self, request: VerifyRequest, to: oneshot::Sender<VerifyView>) {
        let director = self.config.director.name.clone();
        let line = self.sync.as_ref().map(Sync::line);
        tokio::spawn(async move {
            let found = match line {
                Some(line) => line.compare(request.most()).await,
                None => Ok(Compared::default()),
            };
            let peer = |one: Comparison| ComparisonView {
                name: one.director,
                divergence: one.found.as_ref().map(divergence),
            };
            match found {
                Ok(found) => drop(to.send(VerifyView {
                    director,
                    peers: found.directors.into_iter().map(peer).collect(),
                    mended: found.mended.iter().filter_map(mended).collect(),
                    all_mended: found.all_mended,
                })),
                Err(error) => warn!(%error, "cannot answer a query"),
            }
        });
    }

    /// The director as a whole.
    async fn status(&self) -> StatusView {
        let mut interfaces = Vec::new();
        for name in &self.config.director.interfaces {
            // An interface that is gone for the moment has neither index nor mode.
            let facts = self.vips.holder.netlink.link_facts(name).await.ok();
            interfaces.push(InterfaceView {
                name: name.clone(),
                ifindex: facts.as_ref().map(|facts| facts.ifindex),
                mode: facts.and_then(|facts| facts.xdp.first().map(|program| mode(program.mode))),
            });
        }
        StatusView {
            name: self.config.director.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: self.opened.elapsed().as_secs(),
            interfaces,
            config: self.source.clone(),
            cluster: self.identity.as_ref().map(|identity| cluster(&identity.keyring)),
        }
    }

    /// Who the numbers of backends stand for.
    pub(super) fn names(&self) -> Names {
        let configured: BTreeMap<(&str, IpAddr), &str> = self
            .config
            .services
            .iter()
            .flat_map(|service| {
                service
                    .backends
                    .iter()
                    .map(|backend| (service.name.as_str(), backend))
            })
            .map(|(service, backend)| ((service, backend.address), backend.name.as_str()))
            .collect();
        let inventory = self.kernel.tables.inventory();
        let named = inventory.backends.into_iter().filter_map(|(number, backend)| {
            let service = inventory.services.get(&backend.service)?.clone();
            let name = match configured.get(&(service.as_str(), backend.address)) {
                Some(&name) => name.to_owned(),
                None => backend.address.to_string(),
            };
            Some((
                number,
                BackendName {
                    service,
                    name,
                    address: backend.address,
                },
            ))
        });
        named.collect()
    }
}

fn live(load: &BackendLoad) -> LiveView {
    let LoadCount { active, inactive } = load.counts();
    LiveView { active, inactive }
}

fn mode(mode: link::XdpMode) -> XdpMode {
    match mode {
        link::XdpMode::Native => XdpMode::Native,
        link::XdpMode::Generic => XdpMode::Generic,
        link::XdpMode::Offloaded => XdpMode::Offloaded,
    }
}

fn table(family: Family, census: &TableCensus) -> TableView {
    let count = |state: FlowState| StateCount {
        state: StateName(state),
        flows: census.states[state as usize],
    };
    TableView {
        family,
        places: census.places,
        flows: census.flows(),
        by_state: FlowState::ALL.map(count).to_vec(),
    }
}
