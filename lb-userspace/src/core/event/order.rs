//! What operators order, and what becomes of it.

use std::net::IpAddr;

use super::{Describe, Kind, Severity, Subject, director::kinds};
use crate::core::order::{self, AtDeadline, Scope};

/// An event of an order, or of the drain that it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// An order was given.
    Placed {
        /// The order.
        order: order::Order,
        /// Backends that it covers, as `service/name`.
        covers: Vec<String>,
        /// The order for the same scope that stood until then.
        instead_of: Option<Box<order::Order>>,
    },
    /// An order was lifted by an operator.
    Lifted {
        /// The order.
        order: order::Order,
        /// Who lifted it.
        who: String,
    },
    /// An order has ended by itself.
    Expired {
        /// The order.
        order: order::Order,
    },
    /// An order is about nothing that is configured any more, and was dropped.
    Dropped {
        /// The order.
        order: order::Order,
    },
    /// A backend has no flows left.
    Drained {
        /// Its service.
        service: String,
        /// Its name.
        backend: String,
        /// Flows when the drain began.
        flows: u64,
        /// How long it took, in seconds.
        seconds: u64,
    },
    /// The deadline of a drain has come.
    Deadline {
        /// The order.
        order: order::Order,
        /// What is done with the flows that are left.
        then: AtDeadline,
    },
    /// The flows that were left have been ended.
    Ended {
        /// Its service.
        service: String,
        /// Its name.
        backend: String,
        /// How many.
        flows: u64,
    },
    /// An operator ended flows.
    Cut {
        /// Which, as they were chosen.
        which: String,
        /// How many.
        flows: u64,
        /// Who did.
        who: String,
    },
    /// The orders cannot be kept over a restart.
    Unsaved {
        /// Why.
        reason: String,
    },
    /// The orders can be kept again.
    Saved,
    /// The orders of an earlier daemon cannot be read.
    Unreadable {
        /// Why.
        reason: String,
    },
}

kinds! {
    PLACED = "order.placed", Notice, "An operator ordered a drain, or a backend offline, out of the configuration or to another weight.";
    LIFTED = "order.lifted", Notice, "An operator lifted an order.";
    EXPIRED = "order.expired", Notice, "An order has ended by itself, as it was given for so long.";
    DROPPED = "order.dropped", Notice, "The configuration has followed an order to remove a backend, so that the order is needed no more.";
    DRAINED = "order.drained", Notice, "A backend that was drained has no flows left.";
    DEADLINE = "order.deadline", Warning, "The deadline of a drain has come while flows were left.";
    ENDED = "order.flows_ended", Notice, "The flows that were left at the deadline have been ended.";
    CUT = "order.flows_cut", Notice, "An operator ended flows.";
    UNSAVED = "order.unsaved", Warning, "Orders are in force, but a restart of the daemon would forget them; it goes on trying to save them.";
    SAVED = "order.saved", Notice, "Orders can be saved again.";
    UNREADABLE = "order.unreadable", Critical, "The orders that an earlier daemon had saved cannot be read: nothing is drained any more.";
}

impl Describe for Order {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Placed { .. } => &PLACED,
            Self::Lifted { .. } => &LIFTED,
            Self::Expired { .. } => &EXPIRED,
            Self::Dropped { .. } => &DROPPED,
            Self::Drained { .. } => &DRAINED,
            Self::Deadline { .. } => &DEADLINE,
            Self::Ended { .. } => &ENDED,
            Self::Cut { .. } => &CUT,
            Self::Unsaved { .. } => &UNSAVED,
            Self::Saved => &SAVED,
            Self::Unreadable { .. } => &UNREADABLE,
        }
    }

    fn subject(&self) -> Subject {
        let address = |address: &IpAddr| Subject::object(address.to_string());
        match self {
            Self::Placed { order, .. }
            | Self::Lifted { order, .. }
            | Self::Expired { order }
            | Self::Dropped { order }
            | Self::Deadline { order, .. } => match &order.scope {
                Scope::Director => Subject::default(),
                Scope::Service(service) => Subject::service(service),
                Scope::Host(host) => address(host),
                Scope::Backend {
                    service,
                    address: host,
                } => Subject {
                    service: Some(service.clone()),
                    ..address(host)
                },
            },
            Self::Drained { service, backend, .. } | Self::Ended { service, backend, .. } => {
                Subject::backend(service, backend)
            }
            Self::Cut { .. } | Self::Unsaved { .. } | Self::Saved | Self::Unreadable { .. } => {
                Subject::default()
            }
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Placed { order, .. }
            | Self::Lifted { order, .. }
            | Self::Expired { order }
            | Self::Dropped { order }
            | Self::Deadline { order, .. } => order.because(),
            Self::Unsaved { reason } | Self::Unreadable { reason } => reason.clone(),
            Self::Cut { who, .. } => format!("ended by {who}"),
            Self::Drained { .. } | Self::Ended { .. } | Self::Saved => String::new(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Placed {
                order,
                covers,
                instead_of,
            } => {
                let covers = if covers.is_empty() {
                    "no backend".to_owned()
                } else {
                    covers.join(", ")
                };
                let instead_of = instead_of.as_ref().map_or_else(String::new, |before| {
                    format!("; it takes the place of: {}, at {}", before.because(), before.at)
                });
                format!("{}; it covers {covers}{instead_of}", order.because())
            }
            Self::Lifted { order, who } => format!("{who} lifted the order: {}", order.because()),
            Self::Expired { order } => format!("the time of the order is over: {}", order.because()),
            Self::Dropped { order } => format!(
                "no longer configured, so the order is dropped: {}",
                order.because()
            ),
            Self::Drained { flows, seconds, .. } => {
                format!("drained: {flows} flows have ended in {seconds} s")
            }
            Self::Deadline { order, then } => {
                let what = match then {
                    AtDeadline::Keep => "the flows that are left go on",
                    AtDeadline::Reschedule => "the flows that are left are scheduled anew",
                    AtDeadline::Reset => "the connections that are left are reset",
                };
                format!("the deadline has come; {what}: {}", order.because())
            }
            Self::Ended { flows, .. } => format!("{flows} flows that were left have been ended"),
            Self::Cut { which, flows, who } => format!("{who} ended {flows} flows: {which}"),
            Self::Unsaved { reason } => {
                format!("orders are in force, but a restart would forget them; trying again: {reason}")
            }
            Self::Saved => "orders are saved again".to_owned(),
            Self::Unreadable { reason } => {
                format!("the orders of the daemon before cannot be read, so none is in force: {reason}")
            }
        }
    }
}
