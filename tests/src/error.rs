//! What can go wrong while a lab is built, used or taken down.

use std::io;
use std::path::{Path, PathBuf};

/// Why a lab, or a part of it, could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The process has no right to make namespaces.
    #[error("the lab makes network namespaces, which needs root: run it with sudo")]
    NotRoot,
    /// The kernel was built without what the lab stands on.
    #[error("this kernel has no {what}: the lab needs one built with {option}")]
    Kernel {
        /// The missing facility.
        what: &'static str,
        /// The kernel option that brings it.
        option: &'static str,
    },
    /// A program the lab runs is not installed.
    #[error("`{tool}` is not installed: apt-get install {package}")]
    MissingTool {
        /// The program's name.
        tool: String,
        /// The Debian package that has it.
        package: String,
    },
    /// A name that cannot be part of a namespace's or an interface's name.
    #[error("`{name}` cannot name a {kind}: use 1 to {longest} of a-z, 0-9 and `-`")]
    Name {
        /// What was to be named.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The longest name that fits, in characters.
        longest: usize,
    },
    /// A name used twice in one lab.
    #[error("this lab already has a host or switch named `{0}`: choose another name")]
    NameTaken(String),
    /// More hosts than a lab can number.
    #[error("a lab holds at most 255 hosts and switches: spread them over several labs")]
    Full,
    /// An address that does not parse.
    #[error("`{0}` is no address with a prefix length: write it as 192.0.2.1/24 or 2001:db8::1/64")]
    Address(String),
    /// A host has no interface of that name.
    #[error("host {host} has no interface {interface}: connect it to a switch first")]
    NoInterface {
        /// The host.
        host: String,
        /// The interface asked for.
        interface: String,
    },
    /// A file or directory of the lab.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A namespace could not be made or entered.
    #[error("cannot {doing} network namespace {name}: {source}")]
    Namespace {
        /// What was attempted.
        doing: &'static str,
        /// The namespace.
        name: String,
        /// The system's answer.
        source: io::Error,
    },
    /// `ip` refused a command.
    #[error("`ip {command}` failed in {place}: {said}")]
    Ip {
        /// Where it ran: a namespace's name.
        place: String,
        /// The command that was refused.
        command: String,
        /// What `ip` printed.
        said: String,
    },
    /// A program could not be run at all.
    #[error("cannot run `{tool}`: {source}")]
    Run {
        /// The program.
        tool: String,
        /// The system's answer.
        source: io::Error,
    },
    /// An XDP program could not be loaded or attached.
    #[error("cannot {doing}: {source}{}", verifier_line(log))]
    Xdp {
        /// What was attempted.
        doing: String,
        /// The system's answer.
        source: io::Error,
        /// The verifier's log; empty where it said nothing.
        log: String,
    },
    /// An interface refused a setting.
    #[error("cannot {doing} of interface {interface}: {source}")]
    Interface {
        /// What was attempted.
        doing: &'static str,
        /// The interface.
        interface: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl LabError {
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

/// The verifier ends with statistics; the line before them says why.
fn verifier_line(log: &str) -> String {
    let reason = log
        .lines()
        .rev()
        .find(|line| !line.is_empty() && !line.starts_with("processed "));
    reason.map_or_else(String::new, |line| format!(" (verifier: {line})"))
}
