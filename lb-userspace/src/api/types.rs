//! The JSON of the API: one view per object, the same for the server and the command line.
//!
//! Fields are only ever added; a name once given keeps its meaning and unit. Counters run since the datapath was first
//! started: a restart of the daemon does not set them back.

mod ha;
mod peers;
mod sync;

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    str::FromStr,
};

use lb_common::{
    abi::Event,
    flow_state::FlowState,
    reason::{self, Reason},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::{
    ha::{CountView, HaView, HeardView, InstanceView, PortView, ReachView, Role, RouterView},
    peers::{
        CandidateView, ClusterPart, HaAnswer, HaOrder, HandedConnectionsView, HandedOver, HandoverView,
        OutlookView, PathView, PeerGroupView, PeerPathView, PeerView,
    },
    sync::{
        AppliedView, ComparisonView, DivergenceView, MendedView, SentView, SyncPeerView, SyncPhase,
        SyncState, SyncView, VerifyRequest, VerifyView,
    },
};
use super::{
    health::HealthView,
    orders::{DrainView, OrderView},
};
use crate::core::{
    model::{Encapsulation, Forward, Protocol},
    schedule::Scheduler,
    seal::Authentication,
};

/// The director as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusView {
    /// Name of the director.
    pub name: String,
    /// Version of the daemon.
    pub version: String,
    /// Process ID of the daemon.
    pub pid: u32,
    /// Seconds since the daemon was started.
    pub uptime_seconds: u64,
    /// Interfaces whose packets are to be balanced.
    pub interfaces: Vec<InterfaceView>,
    /// Where the configuration came from: a path, or "command line".
    pub config: String,
    /// The cluster that it belongs to; `None` for one that works alone.
    #[serde(default)]
    pub cluster: Option<ClusterView>,
}

/// A cluster, as one of its directors knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// How datagrams that are not sealed are treated; `None` where the cluster has no key.
    pub authentication: Option<Authentication>,
    /// Its keys; the first seals.
    pub keys: Vec<KeyView>,
}

/// A key of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyView {
    /// Its number.
    pub id: NonZeroU8,
    /// Tells it from others: as `tandem key show` says it.
    pub fingerprint: String,
}

/// An interface whose packets are to be balanced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceView {
    /// Its name.
    pub name: String,
    /// Its index; `None` while there is no such interface.
    pub ifindex: Option<u32>,
    /// How the program runs there; `None` while it is not attached.
    pub mode: Option<XdpMode>,
}

/// Where in the receive path the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack, after the driver has built a socket buffer: slow.
    Generic,
    /// In the device.
    Offloaded,
}

/// A service and the sums over its backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// Where clients come in, as `192.0.2.10:80/tcp` or `[2001:db8::10]:80/tcp`.
    pub frontends: Vec<String>,
    /// How a backend is chosen.
    pub scheduler: Scheduler,
    /// For how long clients keep their backend; absent where they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<PersistenceView>,
    /// Whether each datagram is scheduled by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_packet: bool,
    /// How packets get there.
    pub forward: Method,
    /// The form of the tunnel's packets, where they get there by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Encapsulation>,
    /// Slots of the schedule in force.
    pub table_size: u32,
    /// Configured backends.
    pub backends: u32,
    /// Backends that take new flows.
    pub backends_ready: u32,
    /// Whether enough of them serve.
    pub has_quorum: bool,
    /// Living flows, at the last census.
    pub flows: u64,
    /// Flows that were given to its present backends.
    pub new_flows: u64,
    /// Packets forwarded.
    pub packets: u64,
    /// Bytes of those packets, from the link header on.
    pub bytes: u64,
}

/// Clients that keep their backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PersistenceView {
    /// For how long, after a connection of theirs began or ended.
    pub timeout_seconds: u64,
    /// IPv4 clients that are alike in so many bits are one.
    pub prefix_v4: u8,
    /// The same for IPv6.
    pub prefix_v6: u8,
}

/// How packets get to the backends of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Direct routing.
    Dr,
    /// A tunnel.
    Tunnel,
    /// Network address translation.
    Nat,
    /// Network address translation of the source, too.
    FullNat,
}

impl From<Forward> for Method {
    fn from(forward: Forward) -> Self {
        match forward {
            Forward::Dr => Self::Dr,
            Forward::Tunnel(_) => Self::Tunnel,
            Forward::Nat => Self::Nat,
            Forward::FullNat => Self::FullNat,
        }
    }
}

impl ServiceView {
    /// The word for how packets get to the backends: of a tunnel, its kind.
    #[must_use]
    pub fn method(&self) -> String {
        match (self.forward, self.tunnel) {
            (Method::Dr, _) => "dr".to_owned(),
            (Method::Tunnel, Some(tunnel)) => tunnel.to_string(),
            (Method::Tunnel, None) => "tunnel".to_owned(),
            (Method::Nat, _) => "nat".to_owned(),
            (Method::FullNat, _) => "full-nat".to_owned(),
        }
    }
}

/// A backend of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackendView {
    /// Name of the service.
    pub service: String,
    /// Its name; of a removed backend whose name is no longer known, the address.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Port that its server listens at; `None`: that of the VIP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Weight in the configuration; 0 for a removed backend.
    pub weight: u32,
    /// Weight that is in force.
    pub effective_weight: u32,
    /// Whether it takes flows. In JSON the fields `state` and, where there is one, `reason`.
    #[serde(flatten)]
    pub state: BackendState,
    /// Whether it takes new flows only where no other backend can.
    #[serde(default)]
    pub backup: bool,
    /// Whether it has as many flows as its upper threshold allows.
    #[serde(default)]
    pub full: bool,
    /// The order that counts for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderView>,
    /// How its drain goes, if it takes no new flows because of an order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainView>,
    /// What its checks have found, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthView>,
    /// The share of new flows that it is to get, 0..=1; `None` where the scheduler goes by the load of the moment.
    pub share: Option<f64>,
    /// Its MAC address; `None` while it is not known.
    pub mac: Option<String>,
    /// Interface by which it is reached; `None` while it is not known.
    pub interface: Option<String>,
    /// Living flows, at the last census.
    pub flows: u64,
    /// Those of them that are being opened or have traffic.
    #[serde(default)]
    pub active_flows: u64,
    /// Those of them that are over, but not forgotten.
    #[serde(default)]
    pub inactive_flows: u64,
    /// The counts by which the scheduler goes; `None` where it goes by none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveView>,
    /// Flows that were given to it.
    pub new_flows: u64,
    /// Connections that it refused with a reset in answer to a SYN; 0 where its replies do not come through the director.
    #[serde(default)]
    pub refused: u64,
    /// Packets forwarded to it.
    pub packets: u64,
    /// Bytes of those packets, from the link header on.
    pub bytes: u64,
}

/// Flows of a backend at this moment, as the packet path counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveView {
    /// Flows that are being opened or have traffic.
    pub active: u32,
    /// Flows that are over, but not forgotten.
    pub inactive: u32,
}

/// Whether a backend takes flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum BackendState {
    /// It can be reached.
    Ready,
    /// It has just come back, and takes fewer flows than its weight says.
    Warming,
    /// It takes no new flows and keeps those it has.
    Draining,
    /// An operator took it out of service.
    Offline,
    /// Its checks say that it does not serve.
    Down {
        /// Why, as a sentence.
        reason: String,
    },
    /// Nobody knows how to reach it, so it is out of the schedule, and packets of its flows are dropped.
    Unresolved {
        /// Why, as a sentence.
        reason: String,
    },
    /// It is no longer configured, or was removed by an order, but its flows still go to it.
    Removed,
}

impl BackendState {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Warming => "warming",
            Self::Draining => "draining",
            Self::Offline => "offline",
            Self::Down { .. } => "down",
            Self::Unresolved { .. } => "unresolved",
            Self::Removed => "removed",
        }
    }
}

/// A living flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowView {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Address and port of the client.
    pub client: SocketAddr,
    /// Address and port that the client knows.
    pub vip: SocketAddr,
    /// Name of the service; `None` if the backend is no longer known.
    pub service: Option<String>,
    /// Name of the backend; `None` if it is no longer known.
    pub backend: Option<String>,
    /// Address of the backend; `None` if it is no longer known.
    pub backend_address: Option<IpAddr>,
    /// State.
    pub state: StateName,
    /// Seconds since its first packet.
    pub age_seconds: u64,
    /// Seconds since its latest packet.
    pub idle_seconds: u64,
    /// Seconds until it expires if no further packet comes.
    pub timeout_seconds: u64,
}

/// How many flows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowCount {
    /// Living flows that were asked for.
    pub flows: u64,
}

/// A state of a flow that is written as its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateName(pub FlowState);

/// The text is not the name of a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of a flow: expected {names}", names = FlowState::ALL.map(FlowState::name).join(", "))]
pub struct UnknownState(String);

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

impl FromStr for StateName {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let state = FlowState::ALL.into_iter().find(|state| state.name() == text);
        state.map(Self).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

impl Serialize for StateName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl JsonSchema for StateName {
    fn schema_name() -> Cow<'static, str> {
        "StateName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": FlowState::ALL.map(FlowState::name) })
    }
}

impl<'de> Deserialize<'de> for StateName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(de::Error::custom)
    }
}

/// What happened to packets, and how full the tables are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatsView {
    /// Packets forwarded.
    pub packets: u64,
    /// Bytes of those packets, from the link header on.
    pub bytes: u64,
    /// Flows that were given to a backend.
    pub new_flows: u64,
    /// Packets that were not forwarded, by reason; every reason, in the order of its number.
    pub reasons: Vec<ReasonView>,
    /// Other things worth counting; every event, in the order of its number.
    pub events: Vec<EventView>,
    /// The flow tables, at the last census.
    pub tables: Vec<TableView>,
    /// Seconds since the last census; `None` before the first.
    pub census_age_seconds: Option<u64>,
    /// How fast the packet path follows checks.
    #[serde(default)]
    pub reaction: ReactionView,
    /// Probes of health checks, since the daemon began.
    #[serde(default)]
    pub probes: ProbesView,
}

/// Probes of health checks: connections, requests, runs of scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ProbesView {
    /// That have ended, by themselves or because their time was over.
    pub ended: u64,
    /// That failed, those whose time was over and scripts that were killed among them.
    pub failed: u64,
}

/// How fast the packet path follows checks: from the moment at which one found something else than before to the moment
/// at which packets go by it, since the daemon began.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ReactionView {
    /// How often; what many checks find at the same time counts once.
    pub changes: u64,
    /// How long all of them took, in milliseconds.
    pub total_ms: f64,
    /// How long the longest took, in milliseconds.
    pub longest_ms: f64,
}

impl ReactionView {
    /// Takes note of one.
    pub fn note(&mut self, took: std::time::Duration) {
        let milliseconds = took.as_secs_f64() * 1000.0;
        self.changes += 1;
        self.total_ms += milliseconds;
        self.longest_ms = self.longest_ms.max(milliseconds);
    }
}

/// Packets that were not forwarded for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReasonView {
    /// Short name.
    pub slug: String,
    /// What became of them.
    pub fate: Fate,
    /// What it means.
    pub sentence: String,
    /// How many.
    pub packets: u64,
}

impl ReasonView {
    /// So many packets for this reason.
    #[must_use]
    pub fn new(reason: Reason, packets: u64) -> Self {
        Self {
            slug: reason.slug().to_owned(),
            fate: reason.fate().into(),
            sentence: reason.sentence().to_owned(),
            packets,
        }
    }
}

/// What becomes of a packet that is not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Handed to the kernel untouched.
    Pass,
    /// Dropped.
    Drop,
    /// Answered by the director itself.
    Answer,
}

impl From<reason::Fate> for Fate {
    fn from(fate: reason::Fate) -> Self {
        match fate {
            reason::Fate::Pass => Self::Pass,
            reason::Fate::Drop => Self::Drop,
            reason::Fate::Answer => Self::Answer,
        }
    }
}

/// How often something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Short name.
    pub slug: String,
    /// What it means.
    pub sentence: String,
    /// How often.
    pub count: u64,
}

impl EventView {
    /// So many of this event.
    #[must_use]
    pub fn new(event: Event, count: u64) -> Self {
        Self {
            slug: event.slug().to_owned(),
            sentence: event.sentence().to_owned(),
            count,
        }
    }
}

/// A flow table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableView {
    /// Whose flows it holds.
    pub family: Family,
    /// Flows that it has room for.
    pub places: u64,
    /// Living flows.
    pub flows: u64,
    /// Living flows by state; every state, in the order of its number.
    pub by_state: Vec<StateCount>,
}

/// IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Flows in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateCount {
    /// The state.
    pub state: StateName,
    /// How many.
    pub flows: u64,
}

/// Why a request failed; the body of every answer whose status is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorView {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}
