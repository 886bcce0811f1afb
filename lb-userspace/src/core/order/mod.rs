//! Orders: what operators want of backends beyond the configuration. They stand until they are lifted or run out, whatever
//! becomes of the daemon meanwhile.
//!
//! An order is about a [`Scope`], and there is one order for each scope at most: the latest. Several scopes may cover a
//! backend; the strictest order counts, and of equally strict ones that with the narrowest scope.

mod book;
mod shared;
#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::book::{Book, Due};
use super::event::Timestamp;

/// Whom an order is about. Backends are known by their address, which does not change with a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All backends of all services.
    Director,
    /// All backends of a service.
    Service(String),
    /// A machine, in every service that it is a backend of.
    Host(IpAddr),
    /// A backend of one service.
    Backend {
        /// Name of the service.
        service: String,
        /// Address of the backend.
        address: IpAddr,
    },
}

impl Scope {
    /// Whether the order is about this backend too.
    #[must_use]
    pub fn covers(&self, of: &str, at: IpAddr) -> bool {
        match self {
            Self::Director => true,
            Self::Service(service) => service == of,
            Self::Host(address) => *address == at,
            Self::Backend { service, address } => service == of && *address == at,
        }
    }

    /// Whether everything that this scope covers is covered by `other` too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Director) => true,
            (Self::Backend { service, .. }, Self::Service(whole)) => service == whole,
            (Self::Backend { address, .. }, Self::Host(host)) => address == host,
            (Self::Director | Self::Service(_) | Self::Host(_) | Self::Backend { .. }, _) => self == other,
        }
    }

    const fn narrowness(&self) -> u8 {
        match self {
            Self::Director => 0,
            Self::Service(_) => 1,
            Self::Host(_) => 2,
            Self::Backend { .. } => 3,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Director => f.write_str("the director"),
            Self::Service(service) => write!(f, "service {service}"),
            Self::Host(address) => write!(f, "{address}"),
            Self::Backend { service, address } => write!(f, "{service}/{address}"),
        }
    }
}

/// What is to be done with those in the scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Another weight than the configured one.
    Weight(u32),
    /// No new flows; those there are go on.
    Drain,
    /// Out of service.
    Offline,
    /// As if it were not configured.
    Remove,
}

impl Command {
    const fn strictness(self) -> u8 {
        match self {
            Self::Weight(_) => 0,
            Self::Drain => 1,
            Self::Offline => 2,
            Self::Remove => 3,
        }
    }

    /// The verb for it.
    #[must_use]
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Weight(_) => "weight",
            Self::Drain => "drain",
            Self::Offline => "offline",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weight(weight) => write!(f, "weight {weight}"),
            Self::Drain | Self::Offline | Self::Remove => f.write_str(self.verb()),
        }
    }
}

/// What becomes of the flows that are left when the deadline has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AtDeadline {
    /// They go on; the deadline is told of, and that is all.
    Keep,
    /// Their entries go: the next packet of each is scheduled like a first one.
    Reschedule,
    /// TCP connections are reset, each when its client sends something; others are scheduled anew.
    Reset,
}

impl AtDeadline {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Reschedule => "reschedule",
            Self::Reset => "reset",
        }
    }
}

/// When the flows that are left are ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// How.
    pub then: AtDeadline,
    /// Whether that was done already.
    pub done: bool,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Whom it is about.
    pub scope: Scope,
    /// What is to be done.
    pub command: Command,
    /// Who gave it.
    pub who: String,
    /// Why; may be empty.
    pub why: String,
    /// When it was given.
    pub at: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// When the flows that are left are ended.
    pub deadline: Option<Deadline>,
}

impl Order {
    /// Time until it ends by itself.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        self.until.map(|until| until.since(now))
    }

    /// `drained by root: kernel update`
    #[must_use]
    pub fn because(&self) -> String {
        let why = if self.why.is_empty() {
            String::new()
        } else {
            format!(": {}", self.why)
        };
        format!("{} ordered by {}{why}", self.command, self.who)
    }
}
