//! Finding and running other programs, as the user or as root.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// An ordinary user's `PATH` often lacks these, but what is installed there counts.
const SYSTEM_DIRECTORIES: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Variables that a program run through sudo gets too.
const KEPT_BY_SUDO: &[&str] = &["PROPTEST_CASES", "RUST_BACKTRACE", "RUST_LOG"];

/// The absolute path of `program`, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Runs `command` to its end.
///
/// # Errors
/// It did not start, or did not succeed; the text names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let status = command.status().with_context(|| format!("cannot start {line}"))?;
    if !status.success() {
        bail!("{line} failed ({status})");
    }
    Ok(())
}

/// Whether `command` starts and succeeds; what it says is of no interest.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// What `command` writes to standard output.
///
/// # Errors
/// As [`run`], or the output is not UTF-8.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {line}"))?;
    if !output.status.success() {
        bail!("{line} failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of {line} is not UTF-8"))
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// A way to run programs as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// We are root.
    Already,
    /// Through sudo, which may ask for a password.
    Sudo,
}

impl Root {
    /// Finds out how to become root; `what` needs it.
    ///
    /// # Errors
    /// Neither root nor sudo; the text says what to do.
    pub(crate) fn find(what: &str) -> Result<Self> {
        // The owner of our own /proc entry is our effective user.
        let user = fs::metadata("/proc/self")
            .context("cannot read /proc/self, to know the user")?
            .uid();
        match (user, find("sudo")) {
            (0, _) => Ok(Self::Already),
            (_, Some(_)) => Ok(Self::Sudo),
            (_, None) => bail!("{what} needs root, and sudo is not installed: run this as root"),
        }
    }

    /// A command that runs `program` as root.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Already => Command::new(program),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                // Through env(1), because sudo's own options for this may be forbidden.
                command.arg("env");
                for name in KEPT_BY_SUDO {
                    if let Ok(value) = env::var(name) {
                        command.arg(format!("{name}={value}"));
                    }
                }
                command.arg(program);
                command
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Root, describe, find, output_of, run, succeeds};

    #[test]
    fn finds_what_is_installed_and_nothing_else() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program-anywhere"), None);
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).expect_err("exit code 3");
        assert!(
            error.to_string().contains("sh -c exit 3") && error.to_string().contains('3'),
            "{error}"
        );
        assert!(!succeeds(Command::new("sh").args(["-c", "exit 3"])));
        assert!(run(&mut Command::new("no-such-program-anywhere")).is_err());
    }

    #[test]
    fn output_is_what_was_written() {
        let output = output_of(Command::new("sh").args(["-c", "echo here"]));
        assert_eq!(output.expect("sh runs"), "here\n");
    }

    #[test]
    fn root_runs_a_program_itself_and_others_through_sudo() {
        assert_eq!(describe(&Root::Already.command("/bin/true")), "/bin/true");
        let through_sudo = describe(&Root::Sudo.command("/bin/true"));
        assert!(
            through_sudo.starts_with("sudo env ") && through_sudo.ends_with("/bin/true"),
            "{through_sudo}"
        );
    }
}
