//! The daemon's command line.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

use crate::{
    config::{self, ConfigError, Loaded, Time},
    datapath::DEFAULT_DIRECTORY,
};

/// Where the configuration is unless the operator says otherwise.
const DEFAULT_CONFIG: &str = "/etc/tandem/tandem.toml";

/// Tandem's daemon: balances TCP and UDP connections over backends in XDP.
///
/// The program, its tables and its connections stay in the kernel when the daemon stops or dies, and packets flow on;
/// the next daemon takes them up. `tandemd --detach` ends balancing.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "tandemd",
    version,
    args_conflicts_with_subcommands = true,
    max_term_width = 100,
    after_help = "SIGHUP has the configuration file read again; SIGTERM and SIGINT end the daemon, not the balancing.\n\n\
                  It runs as root, or as a user with the capabilities CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_NET_RAW who \
                  may write to the directories of --bpffs and --socket; for a pair of directors CAP_SYS_NICE and CAP_IPC_LOCK \
                  (or limits) give the heartbeat real-time priority and locked memory.\n\n\
                  Exit codes: 0 ended as asked, 1 failure, 2 wrong command line or configuration, 4 no permission; \
                  with --drain-and-exit also 3 no daemon is running, 5 it did not answer in time."
)]
pub struct Args {
    /// Something else than balancing.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Configuration file [default: /etc/tandem/tandem.toml, unless the options below say what to do]
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
    /// Directory on a bpf file system in which maps and links outlive the daemon; one daemon at a time works with it.
    #[arg(long, value_name = "DIRECTORY", default_value = DEFAULT_DIRECTORY)]
    pub bpffs: PathBuf,
    /// Directory for the little that outlives a reboot.
    #[arg(long, value_name = "DIRECTORY", env = "STATE_DIRECTORY", default_value = super::state::DEFAULT_DIRECTORY)]
    pub state: PathBuf,
    /// Socket on which `tandem` asks.
    #[arg(long, value_name = "PATH", default_value = crate::api::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// End balancing: release the interfaces, remove the VIPs, forget the connections, and exit.
    #[arg(long, conflicts_with_all = ["config", "interface", "vip", "backend"])]
    pub detach: bool,
    /// Have the running daemon hand its VIPs over, or else take no new connections and wait until those it has have ended (for
    /// this time at most, such as 10m); then it ends balancing, and itself. The same as `tandem director drain --exit`.
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
          conflicts_with_all = ["config", "interface", "vip", "backend", "detach"])]
    pub drain_and_exit: Option<Option<Time>>,
}

/// What `tandemd` does beside balancing.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// On a backend: take packets out of a director's tunnels.
    Decap(super::decap::Args),
}

impl Args {
    /// The configuration that the arguments name.
    ///
    /// # Errors
    /// [`ConfigError`], ready to be shown.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        match self.config_path() {
            Some(path) => config::load(path),
            None => config::from_args(&self.interface, &self.vip, &self.backend),
        }
    }

    /// The file that the configuration comes from, unless it comes from the arguments.
    #[must_use]
    pub fn config_path(&self) -> Option<&Path> {
        let from_arguments = !(self.interface.is_empty() && self.vip.is_empty() && self.backend.is_empty());
        match &self.config {
            Some(path) => Some(path),
            None if from_arguments => None,
            None => Some(Path::new(DEFAULT_CONFIG)),
        }
    }
}
