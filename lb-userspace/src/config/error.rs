//! Why there is no configuration.

use std::{io, path::PathBuf};

use super::{MAX_FILE_SIZE, Report};

/// No configuration could be made of a file or of arguments. [`ConfigError::render`] says all of it;
/// `Display` is one line for a log.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error(
        "there is no configuration file `{}`: create it (docs/configuration.md says how) or name another \
         with --config", .0.display()
    )]
    NotFound(PathBuf),
    /// The file may not be read.
    #[error(
        "the configuration file `{}` may not be read by this user: run as root, or change its owner or mode",
        .0.display()
    )]
    PermissionDenied(PathBuf),
    /// A directory where a file should be.
    #[error("`{}` is a directory: name the configuration file in it", .0.display())]
    IsDirectory(PathBuf),
    /// Reading failed in another way.
    #[error("the configuration file `{}` cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Larger than any configuration.
    #[error(
        "the configuration file `{}` has more than {} MiB, the most that is read: is it the right file?",
        .0.display(), MAX_FILE_SIZE >> 20
    )]
    TooLarge(PathBuf),
    /// Not text.
    #[error(
        "the configuration file `{}` is not UTF-8 text: line {line} has a byte that cannot be read; save the \
         file as UTF-8", path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line of the first such byte, counted from 1.
        line: usize,
    },
    /// Read, but wrong.
    #[error("{}: {}", .0.source_name(), count(.0.len()))]
    Invalid(Report),
}

impl ConfigError {
    /// The whole text for the operator: one or more lines, each problem beginning with `error: `, with a line
    /// feed at the end.
    pub fn render(&self) -> String {
        match self {
            Self::Invalid(report) => report.to_string(),
            Self::NotFound(_)
            | Self::PermissionDenied(_)
            | Self::IsDirectory(_)
            | Self::Unreadable { .. }
            | Self::TooLarge(_)
            | Self::NotUtf8 { .. } => format!("error: {self}\n"),
        }
    }
}

fn count(errors: usize) -> String {
    match errors {
        1 => "1 error".to_owned(),
        more => format!("{more} errors"),
    }
}
