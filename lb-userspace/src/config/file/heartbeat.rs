//! `[[heartbeat]]`

use crate::config::Spanned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{texts, unplaced};
use crate::{
    config::duration::Time,
    core::model::{self, Medium},
};

/// `[[heartbeat]]`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Heartbeat {
    pub(in crate::config) name: Option<Spanned<String>>,
    pub(in crate::config) interface: Option<Spanned<String>>,
    pub(in crate::config) serial: Option<Spanned<String>>,
    pub(in crate::config) baud: Option<Spanned<i64>>,
    pub(in crate::config) interval: Option<Spanned<Time>>,
    pub(in crate::config) group: Option<Spanned<String>>,
    pub(in crate::config) peers: Option<Spanned<Vec<Spanned<String>>>>,
}

impl From<&model::Heartbeat> for Heartbeat {
    fn from(heartbeat: &model::Heartbeat) -> Self {
        let table = Self {
            name: Some(unplaced(heartbeat.name.clone())),
            interface: None,
            serial: None,
            baud: None,
            interval: Some(unplaced(Time(heartbeat.interval))),
            group: None,
            peers: None,
        };
        match &heartbeat.medium {
            Medium::Network(network) => Self {
                interface: Some(unplaced(network.interface.clone())),
                group: Some(unplaced(network.group.to_string())),
                peers: (!network.peers.is_empty()).then(|| texts(&network.peers)),
                ..table
            },
            Medium::Serial { device, baud } => Self {
                serial: Some(unplaced(device.display().to_string())),
                baud: Some(unplaced((*baud).into())),
                ..table
            },
        }
    }
}
