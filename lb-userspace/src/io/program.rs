//! Running a program of the operator's: without a shell, for a limited time, in a process group of its own that ends with
//! it, and reading no more of what it says than is wanted.

use std::{
    io,
    process::{self, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
    time::timeout,
};

use super::stray;

/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long what a program said may still be read after it has ended: a child of its may hold the pipe open.
const GRACE: Duration = Duration::from_millis(100);

/// A program to be run.
#[derive(Debug, Clone)]
pub(crate) struct Program<'a> {
    /// The program, by its absolute path, and its arguments.
    pub(crate) command: &'a [String],
    /// All of its environment but for `PATH` and [`stray::MARK`].
    pub(crate) environment: &'a [(&'a str, String)],
    /// What it can read on its standard input.
    pub(crate) input: &'a [u8],
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// Most bytes that are kept of what it writes to its standard output and error together; the rest is read and thrown away.
    pub(crate) most_output: usize,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// The beginning of what it wrote.
    pub(crate) output: Vec<u8>,
}

/// Why a program did not end by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// It cannot be started.
    #[error("cannot run {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ran for too long, and was killed with all it had started.
    #[error("{program} was killed: it had not ended after {} s", .timeout.as_secs_f64())]
    Timeout {
        /// The program.
        program: String,
        /// How long it had.
        timeout: Duration,
    },
    /// The system lost sight of it.
    #[error("cannot wait for {program}: {source}")]
    Wait {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What a run has started. Its process group ends when this is dropped; if the program itself had not ended by then, so does
/// all else that it has started, in whatever group or session.
struct Offspring {
    group: Option<Pid>,
    mark: String,
    ended: bool,
}

impl Offspring {
    /// A mark that no other run has.
    fn mark() -> String {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        format!("{}.{}", process::id(), RUNS.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // Most often nobody is left in it.
            let _ = killpg(group, Signal::SIGKILL);
        }
        if !self.ended {
            let mark = std::mem::take(&mut self.mark);
            // Looking at all processes takes milliseconds. Without a thread they live on, as they would without a look.
            let _ = thread::Builder::new()
                .name("tandem-stray".to_owned())
                .spawn(move || stray::kill(&mark));
        }
    }
}

impl Program<'_> {
    /// Runs it to its end; whatever it has started and left running is killed then, unless it has a session of its own: a
    /// program may start a service. One that has not ended in time is killed with all of that; dropping the future
    /// does the same.
    ///
    /// # Errors
    /// [`ProgramError`].
    pub(crate) async fn run(&self) -> Result<Ended, ProgramError> {
        let name = self.command.first().cloned().unwrap_or_default();
        let mark = Offspring::mark();
        let mut command = Command::new(&name);
        command
            .args(self.command.get(1..).unwrap_or_default())
            .env_clear()
            .env("PATH", PATH)
            .env(stray::MARK, &mark)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|source| ProgramError::Start {
            program: name.clone(),
            source,
        })?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        let mut offspring = Offspring {
            group,
            mark,
            ended: false,
        };
        let ended = timeout(self.timeout, self.attend(&mut child)).await;
        offspring.ended = ended.is_ok();
        match ended {
            Ok(ended) => ended.map_err(|source| ProgramError::Wait {
                program: name,
                source,
            }),
            Err(_) => Err(ProgramError::Timeout {
                program: name,
                timeout: self.timeout,
            }),
        }
    }

    async fn attend(&self, child: &mut Child) -> io::Result<Ended> {
        let mut output = Vec::new();
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // Who does not read it need not.
                let _ = stdin.write_all(self.input).await;
            }
        };
        let mut errors = Vec::new();
        let listen = async {
            tokio::join!(
                keep(stdout, &mut output, self.most_output),
                keep(stderr, &mut errors, self.most_output)
            );
        };
        let status = {
            let talk = async { tokio::join!(feed, listen) };
            tokio::pin!(talk);
            let mut quiet = false;
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status?,
                    _ = &mut talk, if !quiet => quiet = true,
                }
            };
            if !quiet {
                let _ = timeout(GRACE, talk).await;
            }
            status
        };
        output.append(&mut errors);
        output.truncate(self.most_output);
        Ok(Ended {
            code: status.code(),
            output,
        })
    }
}

/// Reads to the end, and keeps the beginning.
async fn keep(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>, most: usize) {
    let Some(mut from) = from else { return };
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut part).await {
        let room = most.saturating_sub(kept.len()).min(length);
        kept.extend_from_slice(&part[..room]);
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Instant};

    use nix::sys::signal::kill;

    use super::*;
    use crate::awaited::until_meanwhile;

    async fn shell(script: &str, timeout: Duration) -> Result<Ended, ProgramError> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let program = Program {
            command: &command,
            environment: &[("TANDEM_X", "an x".to_owned())],
            input: b"hello\n",
            timeout,
            most_output: 1000,
        };
        program.run().await
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn says_how_it_ended_and_what_it_said() {
        let ended = shell(
            "read line; echo $line $TANDEM_X $HOME; echo bad >&2; exit 7",
            LONG,
        )
        .await
        .unwrap();
        assert_eq!(ended.code, Some(7));
        assert_eq!(String::from_utf8(ended.output).unwrap(), "hello an x\nbad\n");
        let ended = shell("kill -9 $$", LONG).await.unwrap();
        assert_eq!(ended.code, None);
    }

    /// Waits until the process whose number is in the file is dead.
    async fn expect_death(file: &Path) {
        let pid = std::fs::read_to_string(file).unwrap();
        until_meanwhile(&format!("{pid} is dead"), async || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            // A zombie whose new parent does not reap it is dead enough.
            stat.is_empty() || stat.contains(") Z ")
        })
        .await;
    }

    /// Also what has left the process group.
    #[tokio::test]
    async fn who_hangs_is_killed_with_all_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let [child, stray] = ["child", "stray"].map(|name| directory.path().join(name));
        let script = format!(
            "sleep 1000 & echo $! > {}; setsid sh -c 'echo $$ > {}; exec sleep 1000' & wait",
            child.display(),
            stray.display()
        );
        let error = shell(&script, Duration::from_millis(500)).await.unwrap_err();
        assert!(matches!(error, ProgramError::Timeout { .. }), "{error}");
        expect_death(&child).await;
        expect_death(&stray).await;
    }

    /// A hook may start a service, if it gives it a session of its own.
    #[tokio::test]
    async fn who_ends_in_time_may_leave_a_session_behind() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        // It has not got there at once.
        let script = format!(
            "setsid sleep 1000 & echo $! > {}; until [ \"$(ps -o sid= -p $! | tr -d ' ')\" = $! ]; do :; done",
            file.display()
        );
        assert_eq!(shell(&script, LONG).await.unwrap().code, Some(0));
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn who_leaves_a_child_behind_does_not_hold_us_up() {
        let start = Instant::now();
        let ended = shell("sleep 1000 & exit 3", LONG).await.unwrap();
        assert_eq!(ended.code, Some(3));
        assert!(start.elapsed() < LONG);
    }

    #[tokio::test]
    async fn who_floods_is_heard_to_a_bound() {
        let ended = shell("yes | head -c 5000000; exit 0", LONG).await.unwrap();
        assert_eq!((ended.code, ended.output.len()), (Some(0), 1000));
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_said() {
        let command = ["/nonexistent/program".to_owned()];
        let program = Program {
            command: &command,
            environment: &[],
            input: b"",
            timeout: LONG,
            most_output: 0,
        };
        let error = program.run().await.unwrap_err().to_string();
        assert!(error.contains("/nonexistent/program"), "{error}");
    }
}
