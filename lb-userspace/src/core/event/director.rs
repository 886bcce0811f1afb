//! What happens to the director as a whole.

use super::{Describe, Kind, Severity, Subject};

/// An event of the daemon, its configuration or its interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Director {
    /// The daemon has come up.
    Started {
        /// Its version.
        version: String,
    },
    /// The daemon ends as it was asked to.
    Stopping,
    /// Balancing ends as it was ordered, and the daemon with it.
    Ending {
        /// Who ordered it.
        who: String,
        /// Flows that are forgotten.
        flows: u64,
    },
    /// A configuration is in force.
    Adopted {
        /// How many services it has.
        services: usize,
    },
    /// A configuration was refused.
    Refused {
        /// Why.
        reason: String,
    },
    /// The program is no longer on an interface.
    Detached {
        /// The interface.
        interface: String,
        /// Why it cannot be put back.
        reason: String,
    },
    /// The program is on the interface again.
    Reattached {
        /// The interface.
        interface: String,
    },
    /// The packet path cannot be brought up to date.
    Behind {
        /// Why.
        reason: String,
    },
    /// The packet path is up to date again.
    CaughtUp,
    /// Checks cannot go to VIPs.
    ChecksAstray {
        /// Why.
        reason: String,
    },
    /// More happened at once than could be taken note of.
    Lost {
        /// How many events are missing.
        events: u64,
    },
}

macro_rules! kinds {
    ($($constant:ident = $name:literal, $severity:ident, $meaning:literal;)*) => {
        $(const $constant: Kind = Kind { name: $name, severity: Severity::$severity, meaning: $meaning };)*
        /// The kinds of this family.
        pub(super) const KINDS: &[Kind] = &[$($constant),*];
    };
}
pub(super) use kinds;

kinds! {
    STARTED = "director.started", Info, "The daemon has come up.";
    STOPPING = "director.stopping", Notice, "The daemon ends as it was asked to; the kernel goes on balancing.";
    ENDING = "director.ending", Warning, "Balancing ends as it was ordered, and the daemon with it.";
    ADOPTED = "director.config_adopted", Info, "A configuration is in force, after a start or a reload.";
    REFUSED = "director.config_refused", Warning, "A new configuration was refused; the old one stays in force.";
    DETACHED = "director.detached", Critical, "The program is no longer on an interface: packets that come in there are not balanced.";
    REATTACHED = "director.reattached", Notice, "The program was missing on an interface and is there again.";
    BEHIND = "director.behind", Critical, "Something has changed, and the packet path cannot follow; the daemon goes on trying.";
    CAUGHT_UP = "director.caught_up", Notice, "The packet path is up to date again.";
    CHECKS_ASTRAY = "director.checks_astray", Warning, "Health checks cannot go to VIPs, as clients do; they go to the backends' own addresses instead.";
    LOST = "director.events_lost", Warning, "More happened at once than could be taken note of: so many events are missing here.";
}

impl Describe for Director {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Started { .. } => &STARTED,
            Self::Stopping => &STOPPING,
            Self::Ending { .. } => &ENDING,
            Self::Adopted { .. } => &ADOPTED,
            Self::Refused { .. } => &REFUSED,
            Self::Detached { .. } => &DETACHED,
            Self::Reattached { .. } => &REATTACHED,
            Self::Behind { .. } => &BEHIND,
            Self::CaughtUp => &CAUGHT_UP,
            Self::ChecksAstray { .. } => &CHECKS_ASTRAY,
            Self::Lost { .. } => &LOST,
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Detached { interface, .. } | Self::Reattached { interface } => Subject::object(interface),
            Self::Started { .. }
            | Self::Stopping
            | Self::Ending { .. }
            | Self::Adopted { .. }
            | Self::Refused { .. }
            | Self::Behind { .. }
            | Self::CaughtUp
            | Self::ChecksAstray { .. }
            | Self::Lost { .. } => Subject::default(),
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Refused { reason }
            | Self::Detached { reason, .. }
            | Self::Behind { reason }
            | Self::ChecksAstray { reason } => reason.clone(),
            Self::Ending { who, .. } => format!("ordered by {who}"),
            Self::Started { .. }
            | Self::Stopping
            | Self::Adopted { .. }
            | Self::Reattached { .. }
            | Self::CaughtUp
            | Self::Lost { .. } => String::new(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Started { version } => format!("tandemd {version} has come up"),
            Self::Stopping => {
                "stopping; the kernel goes on balancing (`tandemd --detach` ends that)".to_owned()
            }
            Self::Ending { flows, .. } => format!("balancing ends, and {flows} flows with it"),
            Self::Adopted { services } => format!("configuration in force, with {services} services"),
            Self::Refused { reason } => {
                format!("the new configuration was refused; the old one stays in force: {reason}")
            }
            Self::Detached { reason, .. } => {
                format!("the program is no longer on this interface; trying again: {reason}")
            }
            Self::Reattached { .. } => {
                "the program was no longer on this interface; attached again".to_owned()
            }
            Self::Behind { reason } => {
                format!("backends have changed, and the packet path cannot follow; trying again: {reason}")
            }
            Self::CaughtUp => "the packet path is up to date again".to_owned(),
            Self::ChecksAstray { reason } => {
                format!("health checks go to the backends' own addresses instead of to VIPs: {reason}")
            }
            Self::Lost { events } => format!("{events} events were lost: more happened than could be noted"),
        }
    }
}
