//! Orders as they are given and shown.

use std::{fmt, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::{
    event::Timestamp,
    order::{AtDeadline, Command, Order, Scope},
};

/// What is ordered. The scope is what is named: a backend (of one service, or wherever it is one), a service, or, where
/// neither is named, the whole director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// Name or address of the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Name of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What to do.
    pub verb: Verb,
    /// With [`Verb::Weight`]: the weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Seconds until the flows that are left are ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
    /// How they are ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_deadline: Option<AtDeadline>,
    /// Seconds after which the order ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_seconds: Option<u64>,
    /// With [`Verb::Ready`]: how many seconds the slow start takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_seconds: Option<u64>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Whether to do it even though nobody would serve any more, or flows would be left.
    #[serde(default)]
    pub force: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// No new flows; those there are go on.
    Drain,
    /// Out of service; those there are end.
    Offline,
    /// As if it were not configured.
    Remove,
    /// Another weight.
    Weight,
    /// Lift what was ordered.
    Ready,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Offline => "offline",
            Self::Remove => "remove",
            Self::Weight => "weight",
            Self::Ready => "ready",
        })
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderAnswer {
    /// Backends that it covers.
    pub covers: Vec<Covered>,
    /// The order that stands now; `None` for [`Verb::Ready`].
    pub order: Option<OrderView>,
    /// Orders that were lifted or replaced.
    pub lifted: Vec<OrderView>,
    /// What else is to be said of it, in sentences.
    pub remarks: Vec<String>,
}

/// A backend that an order covers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Covered {
    /// Name of the service.
    pub service: String,
    /// Its name.
    pub backend: String,
    /// Its address.
    pub address: IpAddr,
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.backend)
    }
}

/// An order that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderView {
    /// `director`, `service`, `host` or `backend`.
    pub scope: String,
    /// Name of the service, if it is about one or a backend of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Address of the backend, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// `drain`, `offline`, `remove` or `weight`.
    pub order: String,
    /// The weight, if it is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Who gave it.
    pub who: String,
    /// Why; may be empty.
    pub why: String,
    /// When it was given.
    pub at: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When the flows that are left are ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// How they are ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_deadline: Option<AtDeadline>,
}

impl From<&Order> for OrderView {
    fn from(order: &Order) -> Self {
        let (scope, service, address) = match &order.scope {
            Scope::Director => ("director", None, None),
            Scope::Service(service) => ("service", Some(service.clone()), None),
            Scope::Host(address) => ("host", None, Some(*address)),
            Scope::Backend { service, address } => ("backend", Some(service.clone()), Some(*address)),
        };
        Self {
            scope: scope.to_owned(),
            service,
            address,
            order: order.command.verb().to_owned(),
            weight: match order.command {
                Command::Weight(weight) => Some(weight),
                Command::Drain | Command::Offline | Command::Remove => None,
            },
            who: order.who.clone(),
            why: order.why.clone(),
            at: order.at,
            until: order.until,
            deadline: order.deadline.map(|deadline| deadline.at),
            at_deadline: order.deadline.map(|deadline| deadline.then),
        }
    }
}

impl OrderView {
    /// `drain`, `weight 50`
    #[must_use]
    pub fn command(&self) -> String {
        match self.weight {
            Some(weight) => format!("{} {weight}", self.order),
            None => self.order.clone(),
        }
    }

    /// `the director`, `service web`, `10.0.0.11`, `web/10.0.0.11`
    #[must_use]
    pub fn about(&self) -> String {
        match (&self.service, self.address) {
            (None, None) => "the director".to_owned(),
            (Some(service), None) => format!("service {service}"),
            (None, Some(address)) => address.to_string(),
            (Some(service), Some(address)) => format!("{service}/{address}"),
        }
    }
}

/// How a drain goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrainView {
    /// Flows when it began.
    pub flows_at_start: u64,
    /// Flows that are left, at the last census.
    pub flows: u64,
    /// Flows that the backend was given since: those whose first packet was under way.
    pub new_flows: u64,
    /// New flows a second at present.
    pub new_flows_per_second: f64,
    /// Seconds since the first packet of the oldest flow that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_seconds: Option<u64>,
    /// Flows that are left, by their age.
    pub by_age: Vec<AgeCount>,
    /// Seconds until it is over if it goes on like this; `None` while that cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// Seconds to the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
    /// Whether no flows are left and none is under way.
    pub drained: bool,
}

/// Flows of an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgeCount {
    /// They are younger than this and not younger than the one before; `None` for the rest.
    pub younger_than_seconds: Option<u64>,
    /// How many.
    pub flows: u64,
}
