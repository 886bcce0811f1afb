//! What is done with a service's connections, beyond choosing their backends.

use std::num::NonZeroU32;

use lb_common::abi::{FloodLimits, Unknown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a service treats its connections; the default is what most want.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Connections {
    /// Which clients are one, where a client keeps its backend for connections to come; `None` where it does not. For how
    /// long is the timeout of its template.
    pub persistence: Option<Persistence>,
    /// Whether each datagram is scheduled by itself.
    pub one_packet: bool,
    /// What becomes of a segment in the middle of a connection that nobody knows.
    pub on_unknown: OnUnknown,
    /// What becomes of the connections of a backend that left the configuration.
    pub on_gone: OnGone,
    /// How many there may begin in a second.
    pub flood: Flood,
    /// Bytes of the server IDs in QUIC's connection IDs, by which datagrams of connections find their backends whatever
    /// address they come from; 0: they are not looked at.
    pub server_id_length: u8,
    /// When the other directors are told of them.
    pub sync: Telling,
}

/// When the other directors are told of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Telling {
    /// At its first packet, half-open as it is.
    FirstPacket,
    /// When its handshake is complete; at its first packet, where there is no handshake.
    #[default]
    Established,
    /// Never.
    Off,
}

/// How many connections may begin in a second; `None` for any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flood {
    /// SYNs that leave an entry; those beyond are forwarded without.
    pub syn_rate: Option<NonZeroU32>,
    /// Connections of one client; those beyond are dropped.
    pub source_rate: Option<NonZeroU32>,
}

impl Flood {
    /// As the packet path has it; `None` where nothing is limited.
    #[must_use]
    pub fn limits(self) -> Option<FloodLimits> {
        let limits = FloodLimits {
            syns: self.syn_rate.map_or(0, NonZeroU32::get),
            of_source: self.source_rate.map_or(0, NonZeroU32::get),
        };
        (limits != FloodLimits::default()).then_some(limits)
    }
}

/// Clients that are alike in so many bits of their address are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// IPv4, 0..=32.
    pub prefix_v4: u8,
    /// IPv6, 0..=128.
    pub prefix_v6: u8,
}

impl Default for Persistence {
    /// Each client by itself.
    fn default() -> Self {
        Self {
            prefix_v4: 32,
            prefix_v6: 128,
        }
    }
}

/// What becomes of a TCP segment in the middle of a connection that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnknown {
    /// It goes where its connection would be scheduled, and the connection is known from then on.
    #[default]
    Schedule,
    /// It is answered with a reset.
    Reset,
    /// It is dropped.
    Drop,
}

impl From<OnUnknown> for Unknown {
    fn from(policy: OnUnknown) -> Self {
        match policy {
            OnUnknown::Schedule => Self::Schedule,
            OnUnknown::Reset => Self::Reset,
            OnUnknown::Drop => Self::Drop,
        }
    }
}

/// What becomes of the connections of a backend that left the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnGone {
    /// They go on as long as the backend serves them.
    #[default]
    Keep,
    /// Each is reset when its client sends something; other protocols are rescheduled.
    Reset,
    /// They are forgotten: the next packet of each is scheduled like a first one.
    Reschedule,
}
