//! `[[heartbeat]]`

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{texts, unplaced};
use crate::{config::duration::Time, core::model};

/// `[[heartbeat]]`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Heartbeat {
    pub(in crate::config) name: Option<Spanned<String>>,
    pub(in crate::config) interface: Spanned<String>,
    pub(in crate::config) interval: Option<Spanned<Time>>,
    pub(in crate::config) group: Option<Spanned<String>>,
    pub(in crate::config) peers: Option<Spanned<Vec<Spanned<String>>>>,
}

impl From<&model::Heartbeat> for Heartbeat {
    fn from(heartbeat: &model::Heartbeat) -> Self {
        Self {
            name: Some(unplaced(heartbeat.name.clone())),
            interface: unplaced(heartbeat.interface.clone()),
            interval: Some(unplaced(Time(heartbeat.interval))),
            group: Some(unplaced(heartbeat.group.to_string())),
            peers: (!heartbeat.peers.is_empty()).then(|| texts(&heartbeat.peers)),
        }
    }
}
