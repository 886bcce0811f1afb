//! The validated configuration: what the operator wants, with every rule already checked.
//!
//! Values of these types are made by `config` only after validation, so that the rest of the house need not ask
//! again: names are unique, frontends do not overlap, weights are in range.

mod area;
mod connections;
mod heartbeat;
mod hooks;
mod instance;
mod pool;
mod sync;
mod track;

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    area::{Area, bits, masked},
    connections::{Connections, Flood, OnGone, OnUnknown, Persistence, Telling},
    heartbeat::{
        DEFAULT_BAUD, DEFAULT_HEARTBEAT_GROUP, DEFAULT_HEARTBEAT_PORT, Heartbeat, HeartbeatNetwork, Medium,
    },
    hooks::{DEFAULT_HOOK_TIMEOUT, Hooks, Step},
    instance::{Announce, DEFAULT_ADVERT_INTERVAL, DEFAULT_PRIORITY, Failback, Instance, OnDuplicate},
    pool::{FIRST_POOL_PORT, Pool, Share},
    sync::{Audience, DEFAULT_BULK_RATE, DEFAULT_SYNC_GROUP, DEFAULT_SYNC_PORT, SyncPath},
    track::{Effect, Track, Tracked},
};
use super::{
    event, health::Health, order::AtDeadline, schedule::Scheduling, seal::Authentication, timeouts::Timeouts,
};

/// Default length of a service's Maglev table, in slots: a prime, large against any sane number of backends.
pub const DEFAULT_TABLE_SIZE: u32 = 65_537;

/// Weight of a backend that has none of its own.
pub const DEFAULT_WEIGHT: u32 = 100;

/// Largest weight of a backend (as in IPVS, where a weight is 0..=65535).
pub const MAX_WEIGHT: u32 = 65_535;

/// Everything the daemon was asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// This director.
    pub director: Director,
    /// Whom it works with; `None` for one that works alone.
    pub cluster: Option<Cluster>,
    /// How the cluster's directors tell each other of connections; `None` if they do not.
    pub sync: Option<SyncPath>,
    /// Sizes of the tables that are fixed when the datapath starts.
    pub limits: Limits,
    /// Virtual routers in the order of the file; names are unique, and no VIP is in two of them. Where there is none, the
    /// director is the only one.
    pub instances: Vec<Instance>,
    /// On which ways directors hear each other besides VRRP; names are unique. Without a cluster there is none.
    pub heartbeats: Vec<Heartbeat>,
    /// Who is told of events.
    pub events: event::Settings,
    /// Where metrics are to be had.
    pub metrics: Metrics,
    /// Who may ask the daemon, and who may order.
    pub api: Api,
    /// Services in the order of the file; names are unique.
    pub services: Vec<Service>,
}

/// The machine that runs the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Director {
    /// Name by which peers and logs know it.
    pub name: String,
    /// Interfaces whose packets are balanced; at least one.
    pub interfaces: Vec<String>,
    /// Whether the daemon adds the VIPs itself (as keepalived does) or somebody else does: those of an instance to its
    /// interface while this director is Active; where there are no instances, those of the services to the first
    /// interface.
    pub manage_vips: bool,
    /// Which ports of pools it gives out.
    pub pool_share: Share,
    /// What it depends on in all instances.
    pub track: Vec<Track>,
}

impl Config {
    /// The virtual addresses of all services.
    #[must_use]
    pub fn vips(&self) -> BTreeSet<IpAddr> {
        let frontends = self.services.iter().flat_map(|service| &service.frontends);
        frontends.map(|frontend| frontend.vip).collect()
    }

    /// The instances, with what the director itself depends on: it is the first of each group that has it, since what
    /// one of a group depends on counts for all.
    #[must_use]
    pub fn members(&self) -> Vec<Instance> {
        let mut groups = BTreeSet::new();
        let mut instances = self.instances.clone();
        for instance in &mut instances {
            if groups.insert(instance.group_name().to_owned()) {
                instance.track.extend(self.director.track.iter().cloned());
            }
        }
        instances
    }
}

/// Directors that stand in for each other, and what they share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The same on all of its directors; tells clusters on one network apart.
    pub name: String,
    /// Absolute paths of the files with its keys. The first seals, all open; none at all means that nothing is sealed.
    pub key_files: Vec<PathBuf>,
    /// How what is not sealed is treated.
    pub authentication: Authentication,
}

/// Where metrics are to be had over TCP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Addresses and ports of HTTP; may be none.
    pub listen: Vec<SocketAddr>,
}

impl Metrics {
    /// The port unless the operator says otherwise.
    pub const DEFAULT_PORT: u16 = 8849;
}

/// For this machine alone.
impl Default for Metrics {
    fn default() -> Self {
        Self {
            listen: vec![(Ipv4Addr::LOCALHOST, Self::DEFAULT_PORT).into()],
        }
    }
}

/// Who may use the daemon's socket. Root and the daemon's own user always may.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Api {
    /// Group of those who may ask; `None`: whoever the socket's owner and group let in.
    pub read_group: Option<String>,
    /// Group of those who may ask and order; `None`: whoever may ask.
    pub write_group: Option<String>,
}

/// Capacities, fixed for the life of the maps; a change takes a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// IPv4 flows; rounded up to a power of two. 32 bytes each.
    pub flows_v4: u32,
    /// IPv6 flows; rounded up to a power of two. 64 bytes each.
    pub flows_v6: u32,
    /// IPv4 flows that can be translated at the same time; rounded up to a power of two. 64 bytes each.
    pub translations_v4: u32,
    /// IPv6 flows that can be translated at the same time; rounded up to a power of two. 128 bytes each.
    pub translations_v6: u32,
    /// Backends over all services together (a host in two services counts twice), living and retired.
    pub backends: u32,
    /// Schedule slots over all services together; a service needs its table size once, and once more while it changes.
    pub slots: u32,
}

impl Default for Limits {
    /// A million IPv4 and a quarter of a million IPv6 flows, in 32 + 16 MiB, of which a sixteenth can be translated; slots for 62 services of the default
    /// table size, in 16 MiB.
    fn default() -> Self {
        Self {
            flows_v4: 1 << 20,
            flows_v6: 1 << 18,
            translations_v4: 1 << 16,
            translations_v6: 1 << 14,
            backends: 1 << 14,
            slots: 1 << 22,
        }
    }
}

/// Frontends that share backends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Unique name.
    pub name: String,
    /// Where clients come in; no two services share one.
    pub frontends: Vec<Frontend>,
    /// And where they come in that is more than one address and port; no two services share one.
    pub areas: Vec<Area>,
    /// How a backend is chosen for a new flow.
    pub scheduling: Scheduling,
    /// How packets get to the backend.
    pub forward: Forward,
    /// Where its packets come from; of a service with full NAT.
    pub pool: Option<Pool>,
    /// How long its flows live without a packet.
    pub timeouts: Timeouts,
    /// How its connections are treated.
    pub connections: Connections,
    /// How its backends are checked.
    pub health: Health,
    /// How long a backend that has come back takes until it has its whole weight; zero: it has it at once.
    pub slow_start: Duration,
    /// How its backends are drained unless the order says otherwise; `None`: for as long as it takes.
    pub drain: Option<Drain>,
    /// Backends in the order of the file; names and addresses are unique within the service.
    pub backends: Vec<Backend>,
}

/// One VIP:port/protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Frontend {
    /// The virtual IP.
    pub vip: IpAddr,
    /// Port, never 0.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vip {
            IpAddr::V4(vip) => write!(f, "{vip}:{}/{}", self.port, self.protocol),
            IpAddr::V6(vip) => write!(f, "[{vip}]:{}/{}", self.port, self.protocol),
        }
    }
}

/// Transport protocol of a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    /// IANA protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// How packets get to the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forward {
    /// Direct routing: the frame's destination MAC becomes the backend's, nothing else changes.
    Dr,
    /// The packet is put into another, to the backend's own address.
    Tunnel(Encapsulation),
    /// The packet gets the backend's address and port; replies come back through the director.
    Nat,
    /// That, and the packet comes from an address of the director's.
    FullNat,
}

/// The form of a tunnel's packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Encapsulation {
    /// IP in IP (RFC 2003, RFC 2473).
    Ipip,
    /// UDP and Generic UDP Encapsulation.
    Gue {
        /// Port that the backend listens on.
        port: u16,
        /// Whether the UDP header has a checksum.
        checksum: bool,
    },
    /// Generic Routing Encapsulation (RFC 2784).
    Gre {
        /// Whether the GRE header has a checksum.
        checksum: bool,
    },
}

/// Port for GUE that IANA assigned.
pub const GUE_PORT: u16 = 6080;

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipip => f.write_str("ipip"),
            Self::Gue { port: GUE_PORT, .. } => f.write_str("gue"),
            Self::Gue { port, .. } => write!(f, "gue:{port}"),
            Self::Gre { .. } => f.write_str("gre"),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dr => f.write_str("dr"),
            Self::Tunnel(encapsulation) => encapsulation.fmt(f),
            Self::Nat => f.write_str("nat"),
            Self::FullNat => f.write_str("full-nat"),
        }
    }
}

/// How backends are drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// When the flows that are left are ended.
    pub deadline: Duration,
    /// How they are ended.
    pub at_deadline: AtDeadline,
}

/// A real server of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Name, unique within the service.
    pub name: String,
    /// Address of the machine itself (not the VIP that it also holds).
    pub address: IpAddr,
    /// Port that its server listens at, where packets are translated; `None`: that of the VIP.
    pub port: Option<u16>,
    /// Share of new flows relative to the other backends, 0..=[`MAX_WEIGHT`]; 0 takes none but keeps its flows.
    pub weight: u32,
    /// How many flows it may have.
    pub thresholds: Thresholds,
    /// Whether it takes new flows only where no other backend can.
    pub backup: bool,
    /// What its QUIC servers put into connection IDs.
    pub server_id: Option<u32>,
}

/// How many flows a backend may have: active ones, and those that are over but not forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Thresholds {
    /// With so many it takes no new ones; 0: it always does.
    pub upper: u32,
    /// It takes new ones again with fewer than these; 0: than three quarters of `upper`.
    pub lower: u32,
}
