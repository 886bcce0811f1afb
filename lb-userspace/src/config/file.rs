//! The tables and keys of the configuration file, as they stand in it: nothing is checked here but names and
//! types.

mod check;
mod events;
mod forward;
pub(super) mod heartbeat;
pub(super) mod instance;
pub(super) mod sync;
mod timeouts;
pub(super) mod track;

use std::fmt::Display;

use crate::config::Spanned;
use lb_common::flow_state::FlowState;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::{
    check::{Check, Checks, Health, Kind as CheckKind, Require},
    events::{Events, Hook, Mail, Webhook},
    forward::{Forward, Pool, Tunnel, TunnelType},
    timeouts::Timeouts,
};
use super::{diagnostic::NOWHERE, duration::Time, size::Size};
use crate::core::{
    model,
    order::AtDeadline,
    schedule::{HashField, Scheduler},
    seal::Authentication,
};

/// The file.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) director: Director,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<Cluster>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sync: Option<sync::Sync>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) events: Events,
    #[serde(default)]
    pub(super) metrics: Metrics,
    #[serde(default, skip_serializing_if = "Api::is_empty")]
    pub(super) api: Api,
    #[serde(default, rename = "instance", skip_serializing_if = "Vec::is_empty")]
    pub(super) instances: Vec<instance::Instance>,
    #[serde(default, rename = "heartbeat", skip_serializing_if = "Vec::is_empty")]
    pub(super) heartbeats: Vec<heartbeat::Heartbeat>,
    #[serde(default, rename = "service", skip_serializing_if = "Vec::is_empty")]
    pub(super) services: Vec<Service>,
}

/// `[director]`
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Director {
    pub(super) name: Option<Spanned<String>>,
    pub(super) interfaces: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) manage_vips: Option<bool>,
    pub(super) pool_share: Option<Spanned<String>>,
    pub(super) track: Option<Spanned<Vec<Spanned<track::Track>>>>,
}

/// `[cluster]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    pub(super) name: Spanned<String>,
    pub(super) key_files: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) authentication: Option<Spanned<Authentication>>,
}

/// `[limits]`
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) flows_v4: Option<Spanned<Size>>,
    pub(super) flows_v6: Option<Spanned<Size>>,
    pub(super) translations_v4: Option<Spanned<Size>>,
    pub(super) translations_v6: Option<Spanned<Size>>,
    pub(super) backends: Option<Spanned<Size>>,
    pub(super) slots: Option<Spanned<Size>>,
}

/// `[metrics]`
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Metrics {
    pub(super) listen: Option<Spanned<Vec<Spanned<String>>>>,
}

/// `[api]`
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    pub(super) read_group: Option<Spanned<String>>,
    pub(super) write_group: Option<Spanned<String>>,
}

impl Api {
    fn is_empty(&self) -> bool {
        self.read_group.is_none() && self.write_group.is_none()
    }
}

/// `[[service]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: Spanned<String>,
    pub(super) listen: Spanned<Vec<Spanned<String>>>,
    pub(super) scheduler: Option<Spanned<Scheduler>>,
    pub(super) forward: Option<Spanned<Forward>>,
    pub(super) tunnel: Option<Spanned<Tunnel>>,
    pub(super) pool: Option<Spanned<Pool>>,
    pub(super) table_size: Option<Spanned<i64>>,
    pub(super) hash_on: Option<Spanned<Vec<HashField>>>,
    pub(super) fallback: Option<Spanned<bool>>,
    pub(super) check: Option<Checks>,
    pub(super) health: Option<Health>,
    pub(super) slow_start: Option<Spanned<Time>>,
    pub(super) drain: Option<Drain>,
    pub(super) timeouts: Option<Timeouts>,
    pub(super) persistence: Option<Persistence>,
    pub(super) one_packet: Option<Spanned<bool>>,
    pub(super) on_unknown: Option<model::OnUnknown>,
    pub(super) on_gone: Option<model::OnGone>,
    pub(super) flood: Option<Flood>,
    pub(super) quic: Option<Spanned<Quic>>,
    pub(super) sync: Option<model::Telling>,
    #[serde(default, rename = "backend", skip_serializing_if = "Vec::is_empty")]
    pub(super) backends: Vec<Backend>,
}

/// `quic = { … }`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quic {
    pub(super) server_id_length: Spanned<i64>,
}

/// `persistence = { … }`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Persistence {
    pub(super) timeout: Option<Spanned<Time>>,
    pub(super) prefix_v4: Option<Spanned<i64>>,
    pub(super) prefix_v6: Option<Spanned<i64>>,
}

/// `flood = { … }`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Flood {
    pub(super) syn_rate: Option<Spanned<i64>>,
    pub(super) source_rate: Option<Spanned<i64>>,
}

/// `drain = { … }`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    pub(super) deadline: Spanned<Time>,
    pub(super) at_deadline: Option<AtDeadline>,
}

/// `[[service.backend]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Backend {
    pub(super) name: Option<Spanned<String>>,
    pub(super) address: Spanned<String>,
    pub(super) port: Option<Spanned<i64>>,
    pub(super) weight: Option<Spanned<i64>>,
    pub(super) upper_threshold: Option<Spanned<i64>>,
    pub(super) lower_threshold: Option<Spanned<i64>>,
    pub(super) backup: Option<bool>,
    pub(super) server_id: Option<Spanned<String>>,
}

/// A value that was not read from any text.
pub(super) fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(NOWHERE, value)
}

fn texts(values: &[impl Display]) -> Spanned<Vec<Spanned<String>>> {
    unplaced(values.iter().map(|value| unplaced(value.to_string())).collect())
}

/// The file that says what `config` says, with every default written out.
impl From<&model::Config> for File {
    fn from(config: &model::Config) -> Self {
        let size = |number: u32| Some(unplaced(Size(number.into())));
        let model::Config {
            director,
            cluster,
            sync,
            limits,
            events,
            metrics,
            api,
            instances,
            heartbeats,
            services,
        } = config;
        Self {
            director: Director {
                name: Some(unplaced(director.name.clone())),
                interfaces: Some(texts(&director.interfaces)),
                manage_vips: Some(director.manage_vips),
                pool_share: (director.pool_share != model::Share::WHOLE)
                    .then(|| unplaced(director.pool_share.to_string())),
                track: track::list(&director.track),
            },
            cluster: cluster.as_ref().map(Cluster::from),
            sync: sync.as_ref().map(sync::Sync::from),
            limits: Limits {
                flows_v4: size(limits.flows_v4),
                flows_v6: size(limits.flows_v6),
                translations_v4: size(limits.translations_v4),
                translations_v6: size(limits.translations_v6),
                backends: size(limits.backends),
                slots: size(limits.slots),
            },
            events: Events::from(events),
            metrics: Metrics {
                listen: Some(texts(&metrics.listen)),
            },
            api: Api {
                read_group: api.read_group.clone().map(unplaced),
                write_group: api.write_group.clone().map(unplaced),
            },
            instances: instances.iter().map(instance::Instance::from).collect(),
            heartbeats: heartbeats.iter().map(heartbeat::Heartbeat::from).collect(),
            services: services.iter().map(Service::from).collect(),
        }
    }
}

impl From<&model::Cluster> for Cluster {
    fn from(cluster: &model::Cluster) -> Self {
        let files: Vec<_> = cluster.key_files.iter().map(|path| path.display()).collect();
        let has_keys = !files.is_empty();
        Self {
            name: unplaced(cluster.name.clone()),
            key_files: has_keys.then(|| texts(&files)),
            authentication: has_keys.then(|| unplaced(cluster.authentication)),
        }
    }
}

impl From<&model::Service> for Service {
    fn from(service: &model::Service) -> Self {
        let scheduler = service.scheduling.scheduler;
        let model::Connections {
            persistence,
            one_packet,
            on_unknown,
            on_gone,
            flood,
            server_id_length,
            sync,
        } = service.connections.clone();
        Self {
            name: unplaced(service.name.clone()),
            listen: {
                let frontends = service.frontends.iter().map(ToString::to_string);
                let areas = service.areas.iter().map(ToString::to_string);
                texts(&frontends.chain(areas).collect::<Vec<_>>())
            },
            scheduler: Some(unplaced(scheduler)),
            table_size: scheduler
                .has_table_size()
                .then(|| unplaced(service.scheduling.table_size.into())),
            hash_on: scheduler
                .hashes()
                .then(|| unplaced(service.scheduling.hash_on.iter().copied().collect())),
            fallback: scheduler.hashes().then(|| unplaced(service.scheduling.fallback)),
            forward: Some(unplaced(service.forward.into())),
            tunnel: Tunnel::of(service.forward).map(unplaced),
            pool: service.pool.as_ref().map(|pool| unplaced(pool.into())),
            check: (!service.health.checks.is_empty())
                .then(|| Checks(service.health.checks.iter().map(Check::from).collect())),
            health: Some((&service.health).into()),
            slow_start: Some(unplaced(Time(service.slow_start))),
            drain: service.drain.map(|drain| Drain {
                deadline: unplaced(Time(drain.deadline)),
                at_deadline: Some(drain.at_deadline),
            }),
            timeouts: Some((&service.timeouts).into()),
            persistence: persistence.map(|persistence| Persistence {
                timeout: Some(unplaced(Time(service.timeouts.get(FlowState::Template)))),
                prefix_v4: Some(unplaced(persistence.prefix_v4.into())),
                prefix_v6: Some(unplaced(persistence.prefix_v6.into())),
            }),
            one_packet: Some(unplaced(one_packet)),
            on_unknown: Some(on_unknown),
            on_gone: Some(on_gone),
            flood: (flood != model::Flood::default()).then(|| Flood {
                syn_rate: flood.syn_rate.map(|rate| unplaced(rate.get().into())),
                source_rate: flood.source_rate.map(|rate| unplaced(rate.get().into())),
            }),
            quic: (server_id_length > 0).then(|| {
                unplaced(Quic {
                    server_id_length: unplaced(server_id_length.into()),
                })
            }),
            sync: Some(sync),
            backends: service
                .backends
                .iter()
                .map(|backend| Backend::of(backend, server_id_length))
                .collect(),
        }
    }
}

impl Backend {
    /// The table of a backend whose server IDs are so many bytes long.
    fn of(backend: &model::Backend, server_id_length: u8) -> Self {
        let digits = 2 * server_id_length;
        let model::Thresholds { upper, lower } = backend.thresholds;
        let threshold = |flows: u32| (flows > 0).then(|| unplaced(flows.into()));
        Self {
            name: Some(unplaced(backend.name.clone())),
            address: unplaced(backend.address.to_string()),
            port: backend.port.map(|port| unplaced(port.into())),
            weight: Some(unplaced(backend.weight.into())),
            upper_threshold: threshold(upper),
            lower_threshold: threshold(lower),
            backup: Some(backend.backup),
            server_id: backend
                .server_id
                .map(|id| unplaced(format!("{id:0width$x}", width = usize::from(digits)))),
        }
    }
}
