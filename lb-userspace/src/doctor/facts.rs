//! What was seen of a machine, without judgement.

use std::path::PathBuf;

use crate::{
    api::types::{BackendView, ServiceView, StatsView, StatusView},
    net::link::LinkFacts,
};

/// A machine as it was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Release of the kernel, as `uname -r` says it.
    pub kernel: String,
    /// Whether the kernel tells its types (`/sys/kernel/btf/vmlinux`).
    pub btf: bool,
    /// The directory for pins.
    pub bpffs: BpfFs,
    /// Effective capabilities of this process, a bit each; `None` if the kernel did not say.
    pub capabilities: Option<u64>,
    /// `net.core.bpf_jit_enable`; `None` where it cannot be seen, as in a network namespace.
    pub jit: Option<u32>,
    /// Bytes of memory that are free to be used; `None` if the kernel did not say.
    pub memory: Option<u64>,
    /// Bytes that the tables are still to take; 0 when they are there already.
    pub tables: u64,
    /// How the kernel took the XDP program, with tables of the smallest size; `None` if it was not tried.
    pub trial: Option<Result<(), String>>,
    /// Why the configuration could not be read, in one line.
    pub config_error: Option<String>,
    /// Interfaces that are, or are to be, balanced.
    pub interfaces: Vec<Interface>,
    /// The daemon.
    pub daemon: Daemon,
}

/// The directory for pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BpfFs {
    /// It is on a bpf file system, or will be when it is made.
    Mounted(PathBuf),
    /// It is on a file system of another kind.
    Other(PathBuf),
    /// This user may not look.
    Unknown(PathBuf, String),
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// What it is like, or why that is not known.
    pub link: Result<LinkFacts, String>,
    /// The other end of a veth pair, if it is in this network namespace.
    pub peer: Option<LinkFacts>,
}

/// The daemon.
#[derive(Debug, Clone, PartialEq)]
pub enum Daemon {
    /// It answers.
    Running(Box<Running>),
    /// It does not run.
    NotRunning,
    /// Whether and how it runs is not known.
    Unknown(String),
}

/// What a daemon says.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The director as a whole.
    pub status: StatusView,
    /// Its services.
    pub services: Vec<ServiceView>,
    /// Its backends.
    pub backends: Vec<BackendView>,
    /// Its counters.
    pub stats: StatsView,
}

impl Daemon {
    /// What it says, if it answers.
    pub(super) fn running(&self) -> Option<&Running> {
        match self {
            Self::Running(running) => Some(running),
            Self::NotRunning | Self::Unknown(_) => None,
        }
    }
}
