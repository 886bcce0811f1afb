//! A real keepalived on a host: another implementation of VRRP.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::{Host, Process};

/// It reads its configuration and starts its children within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running keepalived; killed when dropped, which leaves its VIPs on the interface.
#[derive(Debug)]
pub struct Keepalived {
    host: Host,
    process: Process,
}

impl Keepalived {
    /// Starts it with this configuration, VRRP alone.
    ///
    /// # Errors
    /// When it cannot be started, or ends at once.
    pub fn start(host: &Host, config: &str) -> Result<Self> {
        fs::write(config_path(host), config)?;
        let mut command = host.command("keepalived")?;
        let pid = |name: &str| host.run_dir().join(name);
        command
            .args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"])
            .arg("--use-file")
            .arg(config_path(host))
            .arg("--pid")
            .arg(pid("keepalived.pid"))
            .arg("--vrrp_pid")
            .arg(pid("keepalived-vrrp.pid"));
        let words = host.run_dir().join("keepalived.log");
        let before = fs::metadata(&words).map_or(0, |facts| facts.len() as usize);
        let process = host.spawn("keepalived", command)?;
        crate::wait_for(PATIENCE, "keepalived to come up", || {
            process.status().is_some() || process.log()[before..].contains("Entering BACKUP STATE")
        })?;
        process.ensure_running()?;
        Ok(Self {
            host: host.clone(),
            process,
        })
    }

    /// Has it read another configuration.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn reload(&self, config: &str) -> Result<()> {
        fs::write(config_path(&self.host), config)?;
        Ok(self.process.signal(Signal::SIGHUP)?)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it and its child, so that nothing is said and nothing removed.
    ///
    /// # Errors
    /// When it was gone before.
    pub fn kill(&self) -> Result<()> {
        // The child ends by itself, politely, when its parent goes: so it has to go first.
        let child = fs::read_to_string(self.host.run_dir().join("keepalived-vrrp.pid"))?;
        let child = nix::unistd::Pid::from_raw(child.trim().parse()?);
        self.process.pause()?;
        nix::sys::signal::kill(child, Signal::SIGKILL)?;
        self.process.kill()?;
        Ok(())
    }
}

fn config_path(host: &Host) -> PathBuf {
    host.run_dir().join("keepalived.conf")
}
