//! Connections of the other directors.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CountView, Protocol};

/// How the synchronisation of connections stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SyncView {
    /// Name of this director.
    pub director: String,
    /// How it goes; `None` where no `[sync]` is configured.
    pub sync: Option<SyncState>,
}

/// What a director knows of the connections of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncState {
    /// Interface by which the others are reached.
    pub interface: String,
    /// Where what is for all goes: a group, or peers.
    pub to: Vec<String>,
    /// UDP port.
    pub port: u16,
    /// How far this director is.
    pub phase: SyncPhase,
    /// Of what it has to fetch, how much it has, in thousandths.
    pub joined_permille: u16,
    /// Number of its next update.
    pub position: u64,
    /// Connections that the others know or are to know, roughly.
    pub flows: u64,
    /// Connections of services with `sync = "off"`, roughly: they are known to this director alone.
    #[serde(default)]
    pub untold: u64,
    /// The other directors.
    pub peers: Vec<SyncPeerView>,
    /// What was sent.
    pub sent: SentView,
    /// Messages that came in good order.
    pub received: u64,
    /// Connections in updates of others.
    pub updates: AppliedView,
    /// Connections in what was fetched from others.
    pub repairs: AppliedView,
    /// Comparisons that this director took part in.
    pub surveys: u64,
    /// Connections that packets noted faster than they could be told; found by comparison.
    pub overrun: u64,
    /// Messages that were not sent, because too many waited.
    pub crowded_out: u64,
    /// Datagrams and messages that were refused; reasons that occurred.
    pub refused: Vec<CountView>,
    /// How often something could not be sent or received.
    pub errors: u64,
    /// What it was the last time.
    pub last_error: Option<String>,
}

/// How far a director is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncPhase {
    /// It looks for others.
    Starting,
    /// It fetches what they have.
    Joining,
    /// It has what they have.
    InSync,
}

impl SyncPhase {
    /// The words for it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Joining => "joining",
            Self::InSync => "in sync",
        }
    }
}

/// Another director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncPeerView {
    /// Its name.
    pub name: String,
    /// Its number on the wire, in hexadecimal.
    pub node: String,
    /// How far it says that it is.
    pub phase: SyncPhase,
    /// Of what it has to fetch, how much it says that it has, in thousandths.
    #[serde(default)]
    pub joined_permille: u16,
    /// How long ago it was heard.
    pub age_milliseconds: u64,
    /// Whether it is waited for and compared with: it was heard lately, and speaks our language.
    pub with_us: bool,
    /// Version of the protocol that both speak; `None` if there is none.
    pub version: Option<u8>,
    /// Whether its configuration is the same.
    pub same_configuration: bool,
    /// Whether the same is ordered there.
    pub same_orders: bool,
    /// Connections in its tables, as it says.
    pub flows: u64,
    /// Number of its next update that is expected here.
    pub position: u64,
    /// Connections that it told in a second, of late.
    pub rate: u64,
    /// How late its updates come, in microseconds beyond the fastest.
    pub lag_microseconds: u64,
    /// Updates of this director that it has not got; `None` while it has not said.
    pub behind: Option<u64>,
    /// Updates that came of it, and connections in them.
    pub updates: u64,
    /// As above.
    pub connections: u64,
    /// Updates of it that are missing, and asked for.
    pub missing: u64,
    /// Updates of it that were missing, and came when they were asked for.
    pub repaired: u64,
    /// Updates of it that are lost for good; what they said is found by comparison.
    pub lost: u64,
    /// Connections that differed at the last comparison with it, and were mended here.
    pub differed: u64,
    /// Connections that were sent to it because it asked for them.
    pub served: u64,
    /// How the tables differed at the last comparison, before they were mended.
    pub divergence: DivergenceView,
}

/// How the tables of two directors differ. Connections that changed in the last second are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DivergenceView {
    /// Connections of this director that were compared.
    pub compared: u64,
    /// Connections that only this director had.
    pub only_here: u64,
    /// Connections that only the other one had.
    pub only_there: u64,
    /// Connections that both had, and not with the same state or backend; at least.
    pub otherwise: u64,
}

impl DivergenceView {
    /// How many differed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.only_here + self.only_there + self.otherwise
    }

    /// Of all connections, how many are the same, in percent; 100 only if all are.
    #[must_use]
    pub fn equal_percent(&self) -> f64 {
        let all = self.compared + self.only_there;
        let equal = all.saturating_sub(self.total());
        if all == equal {
            return 100.0;
        }
        (equal as f64 / all as f64 * 100.0).min(99.99)
    }
}

/// What is to be told of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    /// How many of the connections that differ are listed: 64, if nothing is said, and 1048576 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl VerifyRequest {
    const USUAL: u64 = 64;
    const MOST: u64 = 1 << 20;

    /// How many are listed.
    #[must_use]
    pub fn most(self) -> usize {
        self.limit.unwrap_or(Self::USUAL).min(Self::MOST) as usize
    }
}

/// How the tables of this director compare with those of the others at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VerifyView {
    /// Name of this director.
    pub director: String,
    /// The others; none where no `[sync]` is configured, or nobody is heard.
    pub peers: Vec<ComparisonView>,
    /// Connections that were missing here or known otherwise, and were mended: the first of them, as many as were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<MendedView>,
    /// How many there were in all.
    #[serde(default)]
    pub all_mended: u64,
}

/// A connection that differed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MendedView {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Address and port of the client.
    pub client: SocketAddr,
    /// Address and port that the client knows.
    pub vip: SocketAddr,
    /// Whether it was known here, with another state or backend; else it was not.
    pub was_known: bool,
}

/// How the tables compare with those of one other director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComparisonView {
    /// Its name.
    pub name: String,
    /// What was found; `None` if it did not answer in time.
    pub divergence: Option<DivergenceView>,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SentView {
    /// Datagrams.
    pub datagrams: u64,
    /// Bytes of these, without the headers of IP and UDP.
    pub bytes: u64,
    /// Updates, each a datagram.
    pub updates: u64,
    /// Connections in these.
    pub connections: u64,
    /// Updates that were repeated.
    pub repeated: u64,
    /// Connections that others asked for.
    pub bulk_connections: u64,
}

/// What became of connections that others told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct AppliedView {
    /// They were not known.
    pub new: u64,
    /// They had another backend or state.
    pub changed: u64,
    /// They were known as they are.
    pub known: u64,
    /// A later word on them was known.
    pub overruled: u64,
    /// They were removed.
    pub removed: u64,
    /// Nobody here serves their service.
    pub unknown_service: u64,
    /// They waited until their backend had a number.
    pub waited: u64,
    /// There was no room for them.
    pub no_room: u64,
    /// They had expired.
    pub expired: u64,
}
