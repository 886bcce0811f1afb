//! Where a packet would go, and why.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::StateName;
use crate::core::{
    frame::{Headers, Shape, TcpFlags},
    model::Protocol,
};

/// A packet that is asked about. It is sent nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// Address and port of the client.
    pub source: SocketAddr,
    /// Address and port that it wants.
    pub destination: SocketAddr,
    /// Transport protocol; TCP if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Flags of a TCP segment; `syn` if none are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flags: Option<TcpFlags>,
    /// What it looks like; a whole packet if nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// Interface that it comes in by; the first one that is configured if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// What the program would do with a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceView {
    /// Interface that it comes in by.
    pub interface: String,
    /// The packet.
    pub packet: Headers,
    /// How it was decided, in the order of the packet's way.
    pub steps: Vec<TraceStep>,
    /// Name of the service.
    pub service: Option<String>,
    /// Name of the backend.
    pub backend: Option<String>,
    /// Address of the backend.
    pub backend_address: Option<IpAddr>,
    /// The flow that the packet belongs to; `None` if there is none yet.
    pub flow: Option<TracedFlow>,
    /// What becomes of it.
    pub action: Action,
    /// Why it is not forwarded, by its short name; `None` if it is.
    pub reason: Option<String>,
    /// What else would be counted, by short names.
    pub events: Vec<String>,
    /// The packet as it leaves the program.
    pub result: Headers,
    /// All bytes of that, in hexadecimal.
    pub bytes: String,
}

/// A step on the way to a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceStep {
    /// What it is about: `vip`, `part`, `error`, `service`, `flow`, `flood`, `client`, `backend`, `forward` or `verdict`.
    pub step: String,
    /// What was found or done, as a sentence.
    pub says: String,
}

/// A flow that was there before the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TracedFlow {
    /// State.
    pub state: StateName,
    /// Seconds since its first packet.
    pub age_seconds: u64,
    /// Seconds since its latest packet.
    pub idle_seconds: u64,
}

/// What an XDP program says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// `XDP_ABORTED`: never on purpose.
    Aborted,
    /// `XDP_DROP`: it is gone.
    Drop,
    /// `XDP_PASS`: the kernel has it.
    Pass,
    /// `XDP_TX`: out of the interface that it came in by.
    Tx,
    /// `XDP_REDIRECT`: out of another interface.
    Redirect,
}

impl Action {
    /// By its number in `enum xdp_action` (linux/bpf.h).
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Drop,
            2 => Self::Pass,
            3 => Self::Tx,
            4 => Self::Redirect,
            _ => Self::Aborted,
        }
    }
}

/// As the kernel calls it.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "XDP_ABORTED",
            Self::Drop => "XDP_DROP",
            Self::Pass => "XDP_PASS",
            Self::Tx => "XDP_TX",
            Self::Redirect => "XDP_REDIRECT",
        })
    }
}
