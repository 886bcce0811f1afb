//! The real daemon and the real command line, on a host of the lab.

use std::{
    env, io,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{Host, Process, wait_for};

/// A director's daemon; killed when dropped. What it left in the kernel stays until the host goes.
#[derive(Debug)]
pub struct Tandem {
    host: Host,
    process: Process,
}

/// Where a binary of the workspace is: beside the running one, or one level up from a test.
///
/// # Errors
/// When it was not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("finding this binary")?;
    let built = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    built.with_context(|| {
        format!("`{name}` is not built: run `cargo build --workspace` (with --release for the demo)")
    })
}

impl Tandem {
    /// Starts the daemon with this configuration, and waits until it is in force.
    ///
    /// # Errors
    /// When it does not come up, with its last words.
    pub fn start(host: &Host, config: &str) -> Result<Self> {
        Self::write_config(host, config)?;
        Self::start_again(host)
    }

    /// Starts the daemon with the configuration that was written last, and waits until it is in force.
    ///
    /// # Errors
    /// When it does not come up, with its last words.
    pub fn start_again(host: &Host) -> Result<Self> {
        let arguments = ["--config".into(), config_path(host).into_os_string()];
        Self::start_with(host, arguments)
    }

    /// Starts the daemon with these arguments, and waits until its configuration is in force.
    ///
    /// # Errors
    /// When it does not come up, with its last words.
    pub fn start_with(host: &Host, arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self> {
        let mut command = Self::command(host)?;
        command.args(arguments).arg("--socket").arg(socket(host));
        let words_before = spoken(host);
        let process = host.spawn("tandemd", command)?;
        let tandem = Self {
            host: host.clone(),
            process,
        };
        tandem.wait_for_words("configuration in force", words_before)?;
        Ok(tandem)
    }

    /// A command that runs the daemon on this host, for tests of how it fails or ends. Each host has a bpf file system of
    /// its own at the usual place, so daemons of several hosts do not meet.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn command(host: &Host) -> Result<Command> {
        Ok(host.command(binary("tandemd")?)?)
    }

    /// Writes another configuration, without telling the daemon.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_config(host: &Host, config: &str) -> io::Result<()> {
        std::fs::write(config_path(host), config)
    }

    /// Writes another configuration, has it reloaded, and waits until it is in force.
    ///
    /// # Errors
    /// When the daemon refuses it.
    pub fn reload(&self, config: &str) -> Result<()> {
        Self::write_config(&self.host, config)?;
        let before = spoken(&self.host);
        self.process.signal(nix::sys::signal::Signal::SIGHUP)?;
        self.wait_for_words("configuration in force", before)
    }

    /// The daemon's process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What `tandem ARGUMENTS -j` says, as JSON.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn ask(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let output = self.tandem(arguments)?.arg("-j").output()?;
        let said = checked(&output, arguments)?;
        serde_json::from_str(said)
            .with_context(|| format!("`tandem {}` said no JSON: {said}", arguments.join(" ")))
    }

    /// What `tandem ARGUMENTS` says to a person.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn show(&self, arguments: &[&str]) -> Result<String> {
        let output = self.tandem(arguments)?.output()?;
        checked(&output, arguments).map(str::to_owned)
    }

    /// A command that runs `tandem ARGUMENTS` against this daemon.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn tandem(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.host.command(binary("tandem")?)?;
        command.arg("--socket").arg(socket(&self.host)).args(arguments);
        Ok(command)
    }

    fn wait_for_words(&self, words: &str, after: usize) -> Result<()> {
        let mut ended = None;
        wait_for(
            Duration::from_secs(20),
            format!("tandemd to say `{words}`"),
            || {
                ended = self.process.status();
                let log = self.process.log();
                ended.is_some()
                    || log.get(after..).unwrap_or_default().contains(words)
                    || log[after..].contains("refused")
            },
        )?;
        let log = self.process.log();
        let news = log.get(after..).unwrap_or_default();
        if let Some(status) = ended {
            bail!("tandemd has ended ({status}): {news}");
        }
        ensure!(news.contains(words), "tandemd: {news}");
        Ok(())
    }
}

fn checked<'a>(output: &'a Output, arguments: &[&str]) -> Result<&'a str> {
    ensure!(
        output.status.success(),
        "`tandem {}` failed ({}): {}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    std::str::from_utf8(&output.stdout).context("tandem said what is no text")
}

fn config_path(host: &Host) -> PathBuf {
    host.run_dir().join("tandem.toml")
}

fn socket(host: &Host) -> PathBuf {
    host.run_dir().join("tandem.sock")
}

/// Length of what daemons of this host have logged so far.
fn spoken(host: &Host) -> usize {
    std::fs::metadata(host.run_dir().join("tandemd.log")).map_or(0, |facts| facts.len() as usize)
}
