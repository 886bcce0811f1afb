//! The configuration before the one in force, for whoever finds that it was the better one. It outlives the daemon.

use tokio::task::spawn_blocking;
use tracing::warn;

use super::state::StateDirectory;
use crate::{
    config::{self, ConfigError},
    core::model::Config,
};

/// Its file in the state directory.
const NAME: &str = "config.previous.toml";

/// What was in force before.
#[derive(Debug)]
pub(super) struct History {
    state: StateDirectory,
    previous: Option<String>,
}

impl History {
    /// What an earlier daemon has left.
    pub(super) fn open(state: StateDirectory) -> Self {
        let previous = match state.read(NAME) {
            Ok(bytes) => bytes.and_then(|bytes| String::from_utf8(bytes).ok()),
            Err(error) => {
                warn!(%error, "what was in force before is not known");
                None
            }
        };
        Self { state, previous }
    }

    /// This one was in force until now.
    pub(super) fn note(&mut self, config: &Config) {
        let toml = config::to_toml(config);
        self.previous = Some(toml.clone());
        let state = self.state.clone();
        spawn_blocking(move || {
            if let Err(error) = state.replace(NAME, toml.as_bytes()) {
                warn!(%error, "a restarted daemon will not know what was in force before");
            }
        });
    }

    /// As TOML.
    pub(super) fn previous(&self) -> Option<&String> {
        self.previous.as_ref()
    }

    /// What was in force before.
    ///
    /// # Errors
    /// It is of a version that knew other keys.
    pub(super) fn load(&self, host_name: &str) -> Option<Result<config::Loaded, ConfigError>> {
        let text = self.previous.clone()?;
        Some(config::parse("the configuration before", text, host_name))
    }
}
