//! The other directors, and the ways on which they are heard.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CountView, ha::Role};

/// Another director of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerView {
    /// Its name.
    pub name: String,
    /// What the wire knows it by, in hexadecimal.
    pub node: String,
    /// Whether it is heard, be it by way of others.
    pub alive: bool,
    /// Since how many seconds that is so without a break; `None` if it is not.
    pub since_seconds: Option<u64>,
    /// Whether it has shown that it is no recording: before that it is not obeyed.
    pub proven: bool,
    /// Whether it is in maintenance.
    pub maintenance: bool,
    /// Version of its daemon.
    pub version: String,
    /// Whether its services and instances are the same as here.
    pub same_configuration: bool,
    /// What it is in each group of instances.
    pub groups: Vec<PeerGroupView>,
    /// How it is heard on each path.
    pub paths: Vec<PeerPathView>,
}

/// What another director is in a group of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerGroupView {
    /// Name of the group, or of the instance that is one by itself.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Whether it may hold the VIPs.
    pub fit: bool,
    /// Its priority.
    pub priority: u8,
    /// Its health score, 0 to 100.
    pub health_percent: u8,
}

/// How another director is heard on a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerPathView {
    /// Name of the path.
    pub path: String,
    /// Whether it is heard there.
    pub heard: bool,
    /// How long ago its last heartbeat came; `None` if none ever did.
    pub age_milliseconds: Option<u64>,
    /// Heartbeats that came.
    pub received: u64,
    /// Heartbeats that did not come.
    pub lost: u64,
    /// How long the way there and back takes; `None` if that is not known.
    pub round_trip_microseconds: Option<u64>,
}

/// A heartbeat path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathView {
    /// Its name.
    pub name: String,
    /// Its interface, or the device of the line.
    pub interface: String,
    /// Whether it can carry heartbeats.
    pub up: bool,
    /// Time between two heartbeats.
    pub interval_milliseconds: u64,
    /// How often something could not be sent or received.
    pub errors: u64,
    /// What it was the last time.
    pub last_error: Option<String>,
    /// Datagrams whose seal was good, and that are no heartbeats of this version.
    pub malformed: u64,
    /// What came over a line since it was opened, and was no datagram.
    pub noise: u64,
}

/// What would happen to a group of instances if its Active died now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutlookView {
    /// Name of the group, or of the instance that is one by itself.
    pub group: String,
    /// Name of the Active; `None` if none is known.
    pub active: Option<String>,
    /// Who would take over; `None` if nobody that is heard could.
    pub successor: Option<String>,
    /// Within what time after the death.
    pub within_milliseconds: Option<u64>,
    /// The directors, in the order in which they would.
    pub directors: Vec<CandidateView>,
}

/// A director that may take over, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateView {
    /// Its name.
    pub director: String,
    /// Whether it is Active.
    pub active: bool,
    /// Why it could not, as sentences; empty if it could.
    pub why_not: Vec<String>,
    /// Its priority; `None` if it could not.
    pub priority: Option<u8>,
    /// How many of the backends it reaches, in percent; `None` if it could not.
    pub health_percent: Option<u8>,
    /// How many of the connections it knows, in percent; `None` if it could not.
    pub sync_percent: Option<u8>,
}

/// What is ordered of the pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "order", rename_all = "lowercase", deny_unknown_fields)]
pub enum HaOrder {
    /// Hand VIPs over to another director.
    Handover {
        /// Those of which instance or group; without it, all that this director holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instance: Option<String>,
        /// To whom; without it, to the one that would take over by itself. This director's own name asks whoever is
        /// Active for them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// Neither keep nor take VIPs from now on, or go on as ever.
    Maintenance {
        /// Which.
        on: bool,
        /// Even if nobody else could hold the VIPs.
        #[serde(default)]
        force: bool,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HaAnswer {
    /// What goes to whom.
    pub handed_over: Vec<HandedOver>,
    /// Whether the director is in maintenance now.
    pub maintenance: bool,
    /// How a handover went; `None` if nothing was handed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<HandoverView>,
}

/// How a handover went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandoverView {
    /// Milliseconds in which no director was Active, as seen from here: from the order to the first word of the next Active.
    /// Whatever reached the last one meanwhile was forwarded. `None` if nobody was heard to be Active in time.
    pub blackout_milliseconds: Option<u64>,
    /// Its connections; `None` where they are not synchronised.
    pub connections: Option<HandedConnectionsView>,
}

/// What became of the connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandedConnectionsView {
    /// Milliseconds that the others were waited for before the VIPs moved, to have everything.
    pub barrier_milliseconds: u64,
    /// Directors that did not have everything by then.
    pub behind: Vec<String>,
    /// Connections that both directors know; `None` if the tables could not be compared in time.
    pub kept: Option<u64>,
    /// Connections that the next Active does not know; likewise.
    pub unknown: Option<u64>,
    /// Connections that it was not to know: those of services with `sync = "off"`.
    #[serde(default)]
    pub untold: u64,
}

/// VIPs that go to another director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandedOver {
    /// Name of the group, or of the instance that is one by itself.
    pub group: String,
    /// Name of the director.
    pub to: String,
    /// Whether the instance's hooks are asked first, and may still say no.
    pub waits: bool,
}

/// What is to be told of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ClusterPart {
    /// The other directors.
    pub peers: Vec<PeerView>,
    /// The heartbeat paths, in the order of the configuration.
    pub paths: Vec<PathView>,
    /// Datagrams on them that were refused; reasons that occurred.
    pub heartbeats_refused: Vec<CountView>,
}
