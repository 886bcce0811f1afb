//! What is done with a service's connections, beyond choosing their backends.

use lb_common::abi::Unknown;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
