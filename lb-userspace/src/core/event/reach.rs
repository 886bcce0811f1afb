//! What happens to the way to a backend: whether the kernel knows how to reach it.

use std::net::IpAddr;

use super::{Describe, Kind, Severity, Subject, director::kinds};

/// An event of the way to a backend's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The address can be reached.
    Found {
        /// The address.
        address: IpAddr,
        /// By which interface.
        interface: String,
        /// At which MAC address.
        mac: String,
    },
    /// The address is one of this machine's.
    Here {
        /// The address.
        address: IpAddr,
    },
    /// The address cannot be reached.
    Lost {
        /// The address.
        address: IpAddr,
        /// Why.
        reason: String,
    },
}

kinds! {
    FOUND = "address.reachable", Info, "The kernel knows how to reach a backend's address.";
    LOST = "address.unreachable", Warning, "The kernel does not know how to reach a backend's address; it is out of the schedule.";
}

impl Describe for Reach {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Found { .. } | Self::Here { .. } => &FOUND,
            Self::Lost { .. } => &LOST,
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Found { address, .. } | Self::Here { address } | Self::Lost { address, .. } => {
                Subject::object(address.to_string())
            }
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Found { .. } | Self::Here { .. } => String::new(),
            Self::Lost { reason, .. } => reason.clone(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Found { interface, mac, .. } => format!("backend reachable by {interface} at {mac}"),
            Self::Here { .. } => "backend is this machine".to_owned(),
            Self::Lost { reason, .. } => format!("backend not reachable: {reason}"),
        }
    }
}
