//! A process that runs on a host until its handle is dropped.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::{Timeout, wait_for_some};

/// How much of its log a failed process is quoted with, in lines.
const QUOTED_LINES: usize = 5;

/// Why a process could not be started or controlled.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {name}: {source}")]
    Start {
        /// The process's name in the lab.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Its log could not be made.
    #[error("cannot write the log {}: {source}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It has ended, though it was needed.
    #[error("{name} has ended ({status}); its last words: {last_words}")]
    Ended {
        /// The process's name in the lab.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        last_words: String,
    },
    /// A signal could not be sent to it.
    #[error("cannot send {signal} to {name}: {source}")]
    Signal {
        /// The process's name in the lab.
        name: String,
        /// The signal.
        signal: Signal,
        /// The system's answer.
        source: io::Error,
    },
    /// It did not end in time.
    #[error(transparent)]
    Timeout(#[from] Timeout),
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Process {
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self, ProcessError> {
        let log_failed = |source| ProcessError::Log {
            path: log.to_owned(),
            source,
        };
        // Appended to: one that is started again continues the log.
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(log_failed)?;
        let errors = output.try_clone().map_err(log_failed)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        // A Ctrl-C at the terminal is ours to handle.
        command.process_group(0);
        let child = spawn_for_good(command);
        let child = child.map_err(|source| ProcessError::Start {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            log: log.to_owned(),
            child: Mutex::new(child),
        })
    }

    /// The process's name in the lab.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// What it has written to its standard output and error so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_| String::new(),
            |log| String::from_utf8_lossy(&log).into_owned(),
        )
    }

    /// How it ended, or `None` while it runs.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Confirms that it still runs.
    ///
    /// # Errors
    /// [`ProcessError::Ended`], with the end of its log.
    pub fn ensure_running(&self) -> Result<(), ProcessError> {
        self.status().map_or(Ok(()), |status| Err(self.ended(status)))
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// [`ProcessError::Timeout`].
    pub fn wait(&self, deadline: Duration) -> Result<ExitStatus, ProcessError> {
        let what = format!("{} to end", self.name);
        Ok(wait_for_some(deadline, what, || self.status())?)
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when it had before, [`ProcessError::Timeout`] when it does not.
    pub fn terminate(&self, deadline: Duration) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::SIGTERM)?;
        self.wait(deadline)
    }

    /// Ends it without warning (SIGKILL) and waits until it is gone.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when it was gone before.
    pub fn kill(&self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::SIGKILL)?;
        self.wait(Duration::from_secs(5))
    }

    /// Stops it in its tracks (SIGSTOP), until [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when there is nothing left to stop.
    pub fn pause(&self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when there is nothing left to resume.
    pub fn resume(&self) -> Result<(), ProcessError> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] when there is no such process any more.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let mut child = self.child();
        // Its id is not used again before we have asked how it ended.
        if let Ok(Some(status)) = child.try_wait() {
            return Err(self.ended(status));
        }
        let id = Pid::from_raw(child.id().cast_signed());
        kill(id, signal).map_err(|errno| ProcessError::Signal {
            name: self.name.clone(),
            signal,
            source: errno.into(),
        })
    }

    fn ended(&self, status: ExitStatus) -> ProcessError {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last_words = lines[lines.len().saturating_sub(QUOTED_LINES)..].join(" | ");
        let last_words = if last_words.is_empty() {
            "(none)".to_owned()
        } else {
            last_words
        };
        ProcessError::Ended {
            name: self.name.clone(),
            status,
            last_words,
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // It fails for one that has ended, which is what is wanted.
        let _ = child.kill();
        let _ = child.wait();
    }
}

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a child from a thread that never ends.
///
/// The kernel sends the parent-death signal when the *thread* that forked ends; a child is to live as long as the process.
fn spawn_for_good(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // Nobody waits for the answer any more: dropping the child would leave it running.
                if let Err(unsent) = reply.send(command.spawn())
                    && let Ok(mut child) = unsent.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        orders
    });
    let (reply, answer) = channel();
    let gone = || io::Error::other("the thread that starts processes has ended");
    spawner.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
