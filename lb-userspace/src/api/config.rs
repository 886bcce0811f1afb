//! The configuration as it is shown, and what became of a reload.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigView {
    /// The file that it came from and that a reload reads; `None` if it came from the command line.
    pub path: Option<PathBuf>,
    /// All of it as TOML, with every default written out.
    pub toml: String,
}

/// A configuration was adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadAnswer {
    /// How many services there are now.
    pub services: usize,
    /// What may be unwise about it, as text; may be empty.
    pub warnings: String,
}
