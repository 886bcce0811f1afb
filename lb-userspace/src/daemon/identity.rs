//! Which life of this director it is, and with what it speaks to the others.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use lb_common::hash::Seed;
use tracing::{info, warn};

use super::{DaemonError, DirectorError, state::StateDirectory};
use crate::{
    config,
    core::{
        model::Config,
        seal::{Authentication, Keyring, next_epoch},
    },
};

const EPOCH: &str = "epoch";

/// This director in its cluster.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The cluster and its keys.
    pub keyring: Arc<Keyring>,
    /// Rises with every start; see [`next_epoch`].
    pub epoch: u64,
}

impl Identity {
    /// Reads the cluster's keys and begins a new life; `None` for a director without a cluster.
    pub(super) fn begin(config: &Config, state: &StateDirectory) -> Result<Option<Self>, DaemonError> {
        let Some(keyring) = config::keyring(config)? else {
            return Ok(None);
        };
        let epoch = begin_epoch(state);
        info!(
            cluster = keyring.cluster(),
            node = %keyring.own(),
            epoch,
            authentication = describe(&keyring),
            "in a cluster"
        );
        Ok(Some(Self {
            keyring: Arc::new(keyring),
            epoch,
        }))
    }

    /// The identity under another configuration: keys may come and go, but not what others know this director by.
    pub(super) fn follow(own: Option<&Self>, config: &Config) -> Result<Option<Self>, DirectorError> {
        let keyring = config::keyring(config)?;
        match (own, keyring) {
            (None, None) => Ok(None),
            (Some(own), Some(keyring)) if own.is_same(&keyring) => Ok(Some(Self {
                keyring: Arc::new(keyring),
                epoch: own.epoch,
            })),
            (None, Some(_)) | (Some(_), None | Some(_)) => Err(DirectorError::Cluster),
        }
    }

    fn is_same(&self, keyring: &Keyring) -> bool {
        let of = |keyring: &Keyring| (keyring.cluster_id(), keyring.own(), keyring.schedule_seed());
        of(&self.keyring) == of(keyring)
    }

    /// Key of the schedulers' hash.
    pub(super) fn schedule_seed(&self) -> Seed {
        Seed::new(self.keyring.schedule_seed())
    }
}

fn describe(keyring: &Keyring) -> &'static str {
    match keyring.authentication() {
        None => "none: whoever reaches the network is believed",
        Some(Authentication::ReceiveOnly) => "receive-only",
        Some(Authentication::Permissive) => "permissive",
        Some(Authentication::Enforce) => "enforce",
    }
}

/// A director that cannot keep its epoch starts all the same: the clock orders its lives, and where that fails too the
/// others ask it for a proof.
fn begin_epoch(state: &StateDirectory) -> u64 {
    let stored = match state.read(EPOCH) {
        Ok(content) => content.and_then(|content| parse(&content)),
        Err(error) => {
            warn!(%error, "the epoch of the life before is not known");
            None
        }
    };
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = next_epoch(stored, since_1970.as_millis().try_into().unwrap_or(0));
    if let Err(error) = state.replace(EPOCH, format!("{epoch}\n").as_bytes()) {
        warn!(%error, "the epoch of this life will not be known to the next one");
    }
    epoch
}

fn parse(content: &[u8]) -> Option<u64> {
    std::str::from_utf8(content).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_life_has_a_later_epoch_than_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let first = begin_epoch(&state);
        let second = begin_epoch(&state);
        assert!(second > first);
        // The clock was in the future once.
        let future = second + 1_000_000_000;
        state.replace(EPOCH, future.to_string().as_bytes()).unwrap();
        assert_eq!(begin_epoch(&state), future + 1);
        state.replace(EPOCH, b"\xff nonsense").unwrap();
        assert!(begin_epoch(&state) > first, "the clock goes on");
    }
}
