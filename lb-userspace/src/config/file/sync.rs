//! `[sync]`

use crate::config::Spanned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{texts, unplaced};
use crate::{
    config::size::Size,
    core::model::{Audience, SyncPath},
};

/// `[sync]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Sync {
    pub(in crate::config) interface: Spanned<String>,
    pub(in crate::config) group: Option<Spanned<String>>,
    pub(in crate::config) peers: Option<Spanned<Vec<Spanned<String>>>>,
    pub(in crate::config) port: Option<Spanned<i64>>,
    pub(in crate::config) ttl: Option<Spanned<i64>>,
    pub(in crate::config) bulk_rate: Option<Spanned<Size>>,
}

impl From<&SyncPath> for Sync {
    fn from(path: &SyncPath) -> Self {
        let (group, peers) = match &path.audience {
            Audience::Group(group) => (Some(unplaced(group.to_string())), None),
            Audience::Peers(peers) => (None, Some(texts(peers))),
        };
        Self {
            interface: unplaced(path.interface.clone()),
            group,
            peers,
            port: Some(unplaced(path.port.into())),
            ttl: Some(unplaced(path.ttl.into())),
            bulk_rate: Some(unplaced(Size(path.bulk_rate))),
        }
    }
}
