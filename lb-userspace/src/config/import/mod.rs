//! From the configuration of LVS to one of ours.
//!
//! An importer reads every statement of the old configuration and says what became of it: a [`Note`] each, so that
//! nothing is lost without a word. What it writes is valid, and says in comments where it is not quite the same.

mod connections;
mod document;
mod forward;
pub mod ipvsadm;
pub mod keepalived;
mod lvs;
mod report;
mod scheduling;
#[cfg(test)]
mod tests;

use std::{io, path::PathBuf};

pub use self::report::{Fate, Note, Place, Report};

/// What came of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Our configuration, ready to be checked.
    pub toml: String,
    /// What became of each statement.
    pub report: Report,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is none of the old program's, or is broken.
    #[error("{place}: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong there.
        problem: String,
    },
    /// Nothing in it is for a load balancer.
    #[error("{what}: is it the right file?")]
    Nothing {
        /// What was looked for in vain.
        what: String,
    },
}
