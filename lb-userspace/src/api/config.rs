//! The configuration as it is shown, and what became of a reload.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigView {
    /// The file that it came from and that a reload reads; `None` if it came from the command line.
    pub path: Option<PathBuf>,
    /// All of it as TOML, with every default written out.
    pub toml: String,
    /// The one that was in force before it, likewise; what a rollback brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// What is to be put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// The configuration that was in force before the present one, instead of the file.
    #[serde(default)]
    pub rollback: bool,
}

/// A configuration was adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadAnswer {
    /// How many services there are now.
    pub services: usize,
    /// What may be unwise about it, as text; may be empty.
    pub warnings: String,
}
