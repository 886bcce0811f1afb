//! Flows that are ended because an operator says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::FlowFilter;

/// Which flows are ended, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndRequest {
    /// Which.
    pub filter: FlowFilter,
    /// How.
    #[serde(default)]
    pub how: FlowEnding,
    /// Needed where the filter chooses nothing: that all flows are meant.
    #[serde(default)]
    pub all: bool,
}

/// What becomes of flows that are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FlowEnding {
    /// TCP clients get a reset with their next segment. Other flows are forgotten.
    #[default]
    Reset,
    /// Their next packets are scheduled like first ones.
    Forget,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndAnswer {
    /// Flows that were ended.
    pub ended: u64,
}
