//! The daemon's command line.

use std::path::PathBuf;

use clap::Parser;

use crate::{
    config::{self, ConfigError, Loaded},
    datapath::DEFAULT_DIRECTORY,
};

/// Tandem's daemon: balances TCP and UDP connections over backends in XDP.
///
/// The program, its tables and its connections stay in the kernel when the daemon stops or dies, and packets flow on;
/// the next daemon takes them up. `tandemd --detach` ends balancing.
#[derive(Debug, Clone, Parser)]
#[command(name = "tandemd", version, max_term_width = 100)]
pub struct Args {
    /// Configuration file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["interface", "vip", "backend"])]
    pub config: Option<PathBuf>,
    /// Without a file: interface whose packets are balanced; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub interface: Vec<String>,
    /// Without a file: VIP and port, as `192.0.2.10:80` or `[2001:db8::10]:53/udp`; may be repeated.
    #[arg(long, value_name = "VIP:PORT[/PROTOCOL]")]
    pub vip: Vec<String>,
    /// Without a file: backend, and its weight if not 100; may be repeated.
    #[arg(long, value_name = "ADDRESS[=WEIGHT]")]
    pub backend: Vec<String>,
    /// Directory on a bpf file system in which maps and links outlive the daemon.
    #[arg(long, value_name = "DIRECTORY", default_value = DEFAULT_DIRECTORY)]
    pub bpffs: PathBuf,
    /// Socket on which `tandem` asks.
    #[arg(long, value_name = "PATH", default_value = crate::api::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// End balancing: release the interfaces, remove the VIPs, forget the connections, and exit.
    #[arg(long, conflicts_with_all = ["config", "interface", "vip", "backend"])]
    pub detach: bool,
}

impl Args {
    /// The configuration that the arguments name.
    ///
    /// # Errors
    /// [`ConfigError`], ready to be shown.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        match &self.config {
            Some(path) => config::load(path),
            None => config::from_args(&self.interface, &self.vip, &self.backend),
        }
    }
}
