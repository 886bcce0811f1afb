//! From the operator's file, or arguments, to a validated [`Config`].
//!
//! [`load`] and [`from_args`] find everything that is wrong and say it at once; see [`ConfigError::render`].
//! docs/configuration.md describes the file.

mod args;
mod diagnostic;
mod duration;
mod error;
mod file;
mod files;
pub mod import;
mod key_file;
mod listen;
mod schema;
mod size;
mod spanned;
mod syntax;
#[cfg(test)]
mod tests;
mod validate;

use std::path::Path;

pub use self::{
    args::from_args,
    diagnostic::Report,
    duration::{NotATime, Time},
    error::ConfigError,
    key_file::{KeyFile, KeyFileError, keyring},
    listen::{Listen, ListenError, ListenProblem, parse_frontend, parse_listen},
    schema::schema,
};
use self::{
    diagnostic::{Diagnostic, Severity, Source},
    spanned::Spanned,
};
use crate::core::model::Config;

/// Most bytes of a configuration that are read, over all its files.
pub const MAX_FILE_SIZE: u64 = 16 << 20;

/// A configuration, and what may be unwise about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Valid.
    pub config: Config,
    /// To be shown to the operator; may be empty.
    pub warnings: Report,
}

/// Reads and validates the file at `path`, and those of `conf.d` beside it.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    check_source(files::read(path)?, &host_name())
}

/// Validates the text of a file. `name` stands for the file in messages, `host_name` for a director without a
/// name.
pub fn parse(name: &str, text: String, host_name: &str) -> Result<Loaded, ConfigError> {
    check_source(Source::file(name, text), host_name)
}

fn check_source(source: Source, host_name: &str) -> Result<Loaded, ConfigError> {
    match syntax::read(&source.text) {
        Ok(file) => check(&file, source, host_name, Vec::new()),
        Err(error) => Err(ConfigError::Invalid(Report::new(source, vec![*error]))),
    }
}

/// The file that says what `config` says, with every default written out: [`parse`] makes the same `config`
/// of it.
pub fn to_toml(config: &Config) -> String {
    toml::to_string(&file::File::from(config))
        .expect("tables, strings, numbers and booleans always have a TOML form")
}

/// Validates what was read from `source`, in which `errors` were found already.
fn check(
    file: &file::File,
    source: Source,
    host_name: &str,
    errors: Vec<Diagnostic>,
) -> Result<Loaded, ConfigError> {
    let (config, found) = validate::validate(file, &source, host_name);
    let (errors, warnings): (Vec<_>, Vec<_>) = errors
        .into_iter()
        .chain(found)
        .partition(|diagnostic| diagnostic.severity == Severity::Error);
    if errors.is_empty() {
        Ok(Loaded {
            config,
            warnings: Report::new(source, warnings),
        })
    } else {
        Err(ConfigError::Invalid(Report::new(source, errors)))
    }
}

/// The kernel's name for this machine; empty if it will not say.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
