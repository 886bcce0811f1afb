//! The real daemon and the real command line, on a host of the lab.

use std::{
    env,
    ffi::OsString,
    io,
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

/// How a daemon ended, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Everything it wrote.
    pub said: String,
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
    pub fn start_with(host: &Host, arguments: impl IntoIterator<Item = OsString>) -> Result<Self> {
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

    /// Runs the daemon with these arguments, and says how it ended: for starts that must fail.
    ///
    /// # Errors
    /// When it does not end.
    pub fn refused<S: Into<OsString>>(host: &Host, arguments: impl IntoIterator<Item = S>) -> Result<Ending> {
        let mut command = Self::command(host)?;
        command.args(arguments.into_iter().map(Into::into));
        command.arg("--socket").arg(socket(host));
        Self::end_of(host, command)
    }

    /// Runs the daemon with this configuration, and says how it ended: for starts that must fail.
    ///
    /// # Errors
    /// When it does not end.
    pub fn refused_with(host: &Host, config: &str) -> Result<Ending> {
        Self::write_config(host, config)?;
        Self::refused(host, ["--config".into(), config_path(host).into_os_string()])
    }

    /// Runs a command of the daemon's and says how it ended.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end_of(host: &Host, command: Command) -> Result<Ending> {
        let log = host.run_dir().join("refused.log");
        let before = std::fs::metadata(&log).map_or(0, |facts| facts.len() as usize);
        let process = host.spawn("refused", command)?;
        let ended = process.wait(Duration::from_secs(20));
        let said = process.log()[before..].to_owned();
        let status = ended.with_context(|| format!("it goes on, and said: {said}"))?;
        Ok(Ending {
            code: status.code(),
            said,
        })
    }

    /// A command that runs the daemon as an ordinary user with these capabilities, such as `net_admin`. It has a directory of
    /// its own at `/mnt`.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn command_as_nobody(host: &Host, capabilities: &[&str]) -> Result<Command> {
        const NOBODY: &str = "65534";
        // The user may not be able to go where the binary was built.
        const ENTER: &str = "mount -t tmpfs lab /mnt && touch /mnt/tandemd && mount --bind \"$0\" /mnt/tandemd && exec \"$@\"";
        let plus: Vec<String> = capabilities.iter().map(|name| format!("+{name}")).collect();
        let capabilities = ["-all".to_owned()]
            .into_iter()
            .chain(plus)
            .collect::<Vec<_>>()
            .join(",");
        let mut command = host.command("sh")?;
        command.args(["-c", ENTER]).arg(binary("tandemd")?).args([
            "setpriv",
            "--clear-groups",
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--inh-caps",
            &capabilities,
            "--ambient-caps",
            &capabilities,
            "--bounding-set",
            &capabilities,
            "/mnt/tandemd",
            "--socket",
            "/mnt/tandem.sock",
        ]);
        Ok(command)
    }

    /// A command that runs the daemon on this host, for tests of how it fails or ends. Each host has a bpf file system of
    /// its own at the usual place, so daemons of several hosts do not meet.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn command(host: &Host) -> Result<Command> {
        let mut command = host.command(binary("tandemd")?)?;
        // By the environment, since `--detach` has no use for it.
        command.env("STATE_DIRECTORY", host.run_dir().join("state"));
        Ok(command)
    }

    /// Has a backend take packets out of tunnels that come in by `eth0`, with these further arguments.
    ///
    /// # Errors
    /// When it does not, with what it said.
    pub fn decap(host: &Host, arguments: &[&str]) -> Result<String> {
        let mut command = Self::command(host)?;
        command.args(["decap", "--interface", "eth0"]).args(arguments);
        let output = command.output()?;
        checked(&output, &["decap"]).map(str::to_owned)
    }

    /// Writes another configuration, without telling the daemon. Whoever reads it meanwhile finds the old one or the new.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_config(host: &Host, config: &str) -> io::Result<()> {
        let unfinished = host.run_dir().join("tandem.toml.new");
        std::fs::write(&unfinished, config)?;
        std::fs::rename(unfinished, config_path(host))
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

    /// Where this daemon's API listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(&self.host)
    }

    /// How often this happened to packets: the slug of a reason or of an event.
    ///
    /// # Errors
    /// When the daemon does not say.
    pub fn count(&self, slug: &str) -> Result<u64> {
        let stats = self.ask(&["stats"])?;
        let lists = ["reasons", "events"].map(|list| stats[list].as_array().into_iter().flatten());
        let found = lists.into_iter().flatten().find(|entry| entry["slug"] == slug);
        let found = found.with_context(|| format!("`tandem stats` says nothing of {slug}: {stats}"))?;
        let value = found["packets"].as_u64().or_else(|| found["count"].as_u64());
        value.with_context(|| format!("no number: {found}"))
    }

    /// Waits until the daemon says these words, from now on or since it was started.
    ///
    /// # Errors
    /// When it does not, or ends.
    pub fn wait_until_it_says(&self, words: &str) -> Result<()> {
        self.wait_for_words(words, 0)
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
