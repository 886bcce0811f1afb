//! `forward` of a service, and what the methods want to know.

use crate::config::Spanned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{texts, unplaced};
use crate::core::model::{self, Encapsulation};

/// `forward = "…"`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Forward {
    Dr,
    Tunnel,
    Nat,
    FullNat,
}

/// `pool = { … }`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Pool {
    pub(in crate::config) addresses: Spanned<Vec<Spanned<String>>>,
    pub(in crate::config) ports: Option<Spanned<String>>,
}

impl From<&model::Pool> for Pool {
    fn from(pool: &model::Pool) -> Self {
        Self {
            addresses: texts(&pool.addresses),
            ports: Some(unplaced(format!("{}-{}", pool.first_port, pool.last_port))),
        }
    }
}

impl From<model::Forward> for Forward {
    fn from(forward: model::Forward) -> Self {
        match forward {
            model::Forward::Dr => Self::Dr,
            model::Forward::Tunnel(_) => Self::Tunnel,
            model::Forward::Nat => Self::Nat,
            model::Forward::FullNat => Self::FullNat,
        }
    }
}

/// `tunnel = { … }`
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tunnel {
    #[serde(rename = "type")]
    pub(in crate::config) kind: Option<TunnelType>,
    pub(in crate::config) port: Option<Spanned<i64>>,
    pub(in crate::config) checksum: Option<Spanned<bool>>,
}

/// `type = "…"`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum TunnelType {
    Ipip,
    Gue,
    Gre,
}

impl Tunnel {
    /// The table that says how this method wraps packets, if it does.
    pub(in crate::config) fn of(forward: model::Forward) -> Option<Self> {
        let model::Forward::Tunnel(encapsulation) = forward else {
            return None;
        };
        let (kind, port, checksum) = match encapsulation {
            Encapsulation::Ipip => (TunnelType::Ipip, None, None),
            Encapsulation::Gue { port, checksum } => (TunnelType::Gue, Some(port), Some(checksum)),
            Encapsulation::Gre { checksum } => (TunnelType::Gre, None, Some(checksum)),
        };
        Some(Self {
            kind: Some(kind),
            port: port.map(|port| unplaced(port.into())),
            checksum: checksum.map(unplaced),
        })
    }
}
