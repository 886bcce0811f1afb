//! How a command ends.

use std::{io, path::PathBuf, process::ExitCode};

use hyper::StatusCode;

use super::bench;
use crate::{
    api::ClientError,
    bench::interfaces::Refusal,
    config::{KeyFileError, import::ImportError},
};

/// Exit codes; part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// A negative answer, or a failure that has no code of its own.
    Negative = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The daemon is not running.
    NotRunning = 3,
    /// No permission.
    Permission = 4,
    /// The daemon does not answer in time.
    Timeout = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The daemon could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is nothing of that name.
    #[error("no {kind} is called `{name}`{}", there_are(.known))]
    NotFound {
        /// Kind of object.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A key needs random bytes.
    #[error("the kernel gives no random bytes, and a key cannot be made of others")]
    NoRandomness,
    /// A configuration is not valid, or cannot be read; with lines and carets.
    #[error("{0}")]
    Config(String),
    /// The daemon has no file of its own.
    #[error("the configuration in force came from the command line: name the file to compare it with")]
    NoConfigFile,
    /// There was no other configuration.
    #[error("there was no other configuration before this one")]
    NoPreviousConfig,
    /// A configuration of another program could not be understood.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output takes no more.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
    /// Nothing may be, or can be, measured there.
    #[error(transparent)]
    Bench(Refusal),
    /// A measurement failed.
    #[error("{0:#}")]
    Measuring(anyhow::Error),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted; all interfaces are as they were")]
    Interrupted,
    /// No runtime.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

/// Names that are shown of those there are.
const MOST_NAMES: usize = 10;

fn there_are(known: &[String]) -> String {
    match known {
        [] => "; there is none at all".to_owned(),
        [only] => format!("; there is only `{only}`"),
        _ => {
            let names = known.iter().take(MOST_NAMES).map(|name| format!("`{name}`"));
            let names = names.collect::<Vec<_>>().join(", ");
            let more = if known.len() > MOST_NAMES { ", …" } else { "" };
            format!("; there are {names}{more}")
        }
    }
}

impl CliError {
    /// What the process says at its end.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            // Whoever read the output has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Key(KeyFileError::PermissionDenied { .. }) => Exit::Permission,
            Self::File { source, .. } | Self::Import(ImportError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Exit::Permission
            }
            Self::Output(_)
            | Self::File { .. }
            | Self::Import(_)
            | Self::NotFound { .. }
            | Self::Config(_)
            | Self::NoConfigFile
            | Self::NoPreviousConfig
            | Self::Key(_)
            | Self::NoRandomness
            | Self::Measuring(_)
            | Self::Interrupted
            | Self::Runtime(_) => Exit::Negative,
            Self::Bench(refusal) => bench::exit_of(refusal),
            Self::Client(error) => match error {
                ClientError::NotRunning { .. } => Exit::NotRunning,
                ClientError::Permission(_) => Exit::Permission,
                ClientError::Timeout { .. } => Exit::Timeout,
                ClientError::Refused { status, .. } => match *status {
                    StatusCode::FORBIDDEN => Exit::Permission,
                    StatusCode::SERVICE_UNAVAILABLE => Exit::NotRunning,
                    StatusCode::GATEWAY_TIMEOUT => Exit::Timeout,
                    _ => Exit::Negative,
                },
                ClientError::Connect { .. } | ClientError::Strange { .. } | ClientError::BrokenOff(_) => {
                    Exit::Negative
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::types::ErrorView;

    #[test]
    fn every_error_has_its_code() {
        let refused = |status| ClientError::Refused {
            status,
            view: ErrorView {
                error: String::new(),
                hint: String::new(),
            },
        };
        let not_running = ClientError::NotRunning {
            socket: "/run/x".into(),
            source: io::ErrorKind::NotFound.into(),
        };
        let timeout = ClientError::Timeout {
            socket: "/run/x".into(),
            patience: Duration::from_secs(1),
        };
        for (error, expected) in [
            (CliError::from(not_running), 3),
            (ClientError::Permission("/run/x".into()).into(), 4),
            (timeout.into(), 5),
            (refused(StatusCode::GATEWAY_TIMEOUT).into(), 5),
            (refused(StatusCode::SERVICE_UNAVAILABLE).into(), 3),
            (refused(StatusCode::FORBIDDEN).into(), 4),
            (refused(StatusCode::BAD_REQUEST).into(), 1),
            (CliError::Output(io::ErrorKind::BrokenPipe.into()), 0),
            (CliError::Output(io::ErrorKind::StorageFull.into()), 1),
        ] {
            assert_eq!(error.exit() as u8, expected, "{error}");
        }
    }

    #[test]
    fn what_is_not_there_is_contrasted_with_what_is() {
        let message = |known: &[&str]| {
            let known = known.iter().map(ToString::to_string).collect();
            let (kind, name) = ("service", "x".to_owned());
            CliError::NotFound { kind, name, known }.to_string()
        };
        assert_eq!(message(&[]), "no service is called `x`; there is none at all");
        assert_eq!(message(&["web"]), "no service is called `x`; there is only `web`");
        assert_eq!(
            message(&["a", "b"]),
            "no service is called `x`; there are `a`, `b`"
        );
        assert!(message(&["a"; 11]).ends_with("`a`, …"));
    }
}
