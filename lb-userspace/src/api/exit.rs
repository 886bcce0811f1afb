//! The end of balancing, ordered while the daemon runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Has the daemon end, and balancing with it: interfaces are released, VIPs removed, flows forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExitRequest {
    /// Whether to do it even though backends take new flows, or flows are left.
    pub force: bool,
}

/// What comes of it. The daemon ends when it has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExitAnswer {
    /// Flows that are forgotten.
    pub flows: u64,
}
