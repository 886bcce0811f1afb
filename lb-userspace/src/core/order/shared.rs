//! Orders in the replicated store: for each scope that was ever ordered about, the last word on it.

use std::time::Duration;

use super::{Order, Scope};
use crate::core::event::Timestamp;

/// What the keys of orders begin with.
const PREFIX: &str = "order/";
/// Bytes of a value: with its key it has to fit into the shortest datagram.
const MOST: usize = 896;

impl Scope {
    /// Its key in the store: `order/service/NAME`, `order/host/ADDRESS`, `order/backend/NAME/ADDRESS`. An order for a whole
    /// director has none: it is about that one alone.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        match self {
            Self::Director => None,
            Self::Service(service) => Some(format!("{PREFIX}service/{service}")),
            Self::Host(address) => Some(format!("{PREFIX}host/{address}")),
            Self::Backend { service, address } => Some(format!("{PREFIX}backend/{service}/{address}")),
        }
    }

    /// The scope that has this key.
    #[must_use]
    pub fn from_key(key: &str) -> Option<Self> {
        let (kind, name) = key.strip_prefix(PREFIX)?.split_once('/')?;
        let scope = match kind {
            "service" => Self::Service(name.to_owned()),
            "host" => Self::Host(name.parse().ok()?),
            "backend" => {
                let (service, address) = name.split_once('/')?;
                Self::Backend {
                    service: service.to_owned(),
                    address: address.parse().ok()?,
                }
            }
            _ => return None,
        };
        (scope.key()? == key).then_some(scope)
    }
}

impl Order {
    /// What is said of it in the store: JSON. A reason that is too long for that is shortened.
    #[must_use]
    pub fn to_value(&self) -> String {
        let mut order = self.clone();
        loop {
            // It has no maps, whose keys might not be text.
            let value = serde_json::to_string(&order).unwrap_or_default();
            if value.len() <= MOST {
                return value;
            }
            let text = if order.why.is_empty() {
                &mut order.who
            } else {
                &mut order.why
            };
            let shorter = text.chars().count() * 3 / 4;
            *text = text.chars().take(shorter).collect();
        }
    }

    /// What another director said under this key, so long ago. Its times are told by the clock of the director that said it;
    /// here they are by this one's, which shows `now`.
    #[must_use]
    pub fn from_value(key: &str, value: &str, said: Duration, now: Timestamp) -> Option<Self> {
        let order: Self = serde_json::from_str(value).ok()?;
        if order.scope.key()? != key {
            return None;
        }
        let at = Timestamp(now.0.saturating_sub(Timestamp::since_epoch(said).0));
        let here = |time: Timestamp| Timestamp((time.0 + at.0).saturating_sub(order.at.0));
        Some(Self {
            at,
            until: order.until.map(here),
            deadline: order.deadline.map(|deadline| super::Deadline {
                at: here(deadline.at),
                ..deadline
            }),
            ..order
        })
    }
}
