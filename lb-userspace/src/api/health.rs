//! What is known of the health of a backend.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the checks of a backend have found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthView {
    /// `up` or `down`.
    pub state: String,
    /// Each check, in the order of the configuration.
    pub checks: Vec<CheckView>,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckView {
    /// Its type.
    pub check: String,
    /// `up`, `down` or `unknown`.
    pub state: String,
    /// Why the latest outcome was bad; empty if it was not.
    pub reason: String,
    /// The other director that found it, as long as this one has not found out by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_by: Option<String>,
    /// What is to be said of it although it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Milliseconds that the success took after which this was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Percent of its weight that the backend wants.
    pub weight_percent: f64,
}
