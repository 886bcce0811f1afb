//! What the directors of a cluster share.

use lb_common::wire::seal::{ClusterId, KeyId, NodeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    cluster_id,
    key::{Fingerprint, Key, schedule_seed_without_key},
    node_id,
};

/// Most keys of a keyring: the one in use, its successor, and some room.
pub const MAX_KEYS: usize = 8;

/// How a cluster that has keys treats datagrams that are not sealed: the three stages in which keys are rolled out
/// to directors that had none, one director after the other, without an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// Seals nothing yet, believes sealed datagrams and others.
    ReceiveOnly,
    /// Seals, and still believes others.
    Permissive,
    /// Seals, and believes nothing else.
    Enforce,
}

/// The cluster, this director in it, and the cluster's keys.
#[derive(Debug, Clone)]
pub struct Keyring {
    cluster: String,
    cluster_id: ClusterId,
    own: NodeId,
    keys: Vec<Key>,
    authentication: Authentication,
}

/// Why keys do not make a keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Two keys with one number.
    #[error("two of the cluster's keys have the id {0}: give each its own (`tandem key new --id N`)")]
    SameId(KeyId),
    /// Keys that would send new connections to different backends.
    #[error(
        "key {id} has another seed ({seed}) than key {first} ({first_seed}): all keys of a cluster have the same; make a \
         successor with `tandem key new --rotate OLD NEW`, which keeps it"
    )]
    OtherSeed {
        /// The key.
        id: KeyId,
        /// Of its seed.
        seed: Fingerprint,
        /// The first key of the list.
        first: KeyId,
        /// Of its seed.
        first_seed: Fingerprint,
    },
    /// More than [`MAX_KEYS`].
    #[error(
        "the cluster has {0} keys, and {MAX_KEYS} are the most: remove those that no director seals with"
    )]
    TooMany(usize),
}

impl Keyring {
    /// The keyring of the director called `director`. The first of `keys` seals; all of them open. Without keys,
    /// nothing is sealed, and whoever reaches the network is believed.
    ///
    /// # Errors
    /// [`KeyringError`].
    pub fn new(
        cluster: &str,
        director: &str,
        keys: Vec<Key>,
        authentication: Authentication,
    ) -> Result<Self, KeyringError> {
        if keys.len() > MAX_KEYS {
            return Err(KeyringError::TooMany(keys.len()));
        }
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|earlier| earlier.id() == key.id()) {
                return Err(KeyringError::SameId(key.id()));
            }
            let (seed, first_seed) = (key.seed_fingerprint(), keys[0].seed_fingerprint());
            if seed != first_seed {
                return Err(KeyringError::OtherSeed {
                    id: key.id(),
                    seed,
                    first: keys[0].id(),
                    first_seed,
                });
            }
        }
        Ok(Self {
            cluster: cluster.to_owned(),
            cluster_id: cluster_id(cluster),
            own: node_id(cluster, director),
            keys,
            authentication,
        })
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What stands for the cluster on the wire.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        self.cluster_id
    }

    /// What stands for this director on the wire.
    #[must_use]
    pub fn own(&self) -> NodeId {
        self.own
    }

    /// The keys; the first seals.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// How datagrams that are not sealed are treated; `None` where there is no key.
    #[must_use]
    pub fn authentication(&self) -> Option<Authentication> {
        (!self.keys.is_empty()).then_some(self.authentication)
    }

    /// Words for the schedulers' hash: the same on every director of the cluster, so that they choose alike. Without
    /// a key, anybody who knows the cluster's name can compute them.
    #[must_use]
    pub fn schedule_seed(&self) -> [u64; 6] {
        match self.keys.first() {
            Some(key) => key.schedule_seed(&self.cluster),
            None => schedule_seed_without_key(&self.cluster),
        }
    }

    /// The key that seals; `None` where nothing is sealed.
    pub(super) fn sealing(&self) -> Option<&Key> {
        match self.authentication {
            Authentication::ReceiveOnly => None,
            Authentication::Permissive | Authentication::Enforce => self.keys.first(),
        }
    }

    /// Whether datagrams that are not sealed are believed.
    pub(super) fn believes_plain(&self) -> bool {
        match self.authentication {
            Authentication::ReceiveOnly | Authentication::Permissive => true,
            Authentication::Enforce => self.keys.is_empty(),
        }
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id() == id)
    }
}
