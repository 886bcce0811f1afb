//! What happens to backends, as their checks see it, and to services for that.

use super::{Describe, Kind, Severity, Subject, director::kinds};
use crate::core::health::Policy;

/// An event of a backend's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// Its checks succeed again.
    Up {
        /// Its service.
        service: String,
        /// Its name.
        backend: String,
    },
    /// Its checks fail.
    Down {
        /// Its service.
        service: String,
        /// Its name.
        backend: String,
        /// Why.
        reason: String,
    },
    /// A check succeeds, and has something to say all the same.
    Warning {
        /// Its service.
        service: String,
        /// Its name.
        backend: String,
        /// What.
        warning: String,
    },
}

/// An event of a service's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// Too few backends serve.
    QuorumLost {
        /// Its name.
        service: String,
        /// How many serve.
        serving: u32,
        /// How many it takes.
        quorum: u32,
        /// What is done about it.
        policy: Policy,
    },
    /// Enough backends serve again.
    QuorumRegained {
        /// Its name.
        service: String,
        /// How many serve.
        serving: u32,
        /// How many it takes.
        quorum: u32,
    },
}

kinds! {
    UP = "backend.up", Notice, "The checks of a backend succeed again; it takes new connections.";
    DOWN = "backend.down", Warning, "The checks of a backend fail; it takes no new connections.";
    WARNING = "backend.warning", Warning, "A check succeeds, and has something to say all the same: a certificate that ends soon, an agent that does not answer.";
}

mod service {
    use super::{Kind, Severity, kinds};

    kinds! {
        QUORUM_LOST = "service.quorum_lost", Critical, "Fewer backends serve than the service needs; what is done then is its `policy`.";
        QUORUM_REGAINED = "service.quorum_regained", Notice, "Enough backends serve again.";
    }

    pub(super) const LOST: &Kind = &QUORUM_LOST;
    pub(super) const REGAINED: &Kind = &QUORUM_REGAINED;
    pub(in crate::core::event) const ALL: &[Kind] = KINDS;
}
pub(super) use service::ALL as SERVICE_KINDS;

impl Describe for Backend {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Up { .. } => &UP,
            Self::Down { .. } => &DOWN,
            Self::Warning { .. } => &WARNING,
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Up { service, backend }
            | Self::Down { service, backend, .. }
            | Self::Warning { service, backend, .. } => Subject::backend(service, backend),
        }
    }

    fn change(&self) -> Option<(String, String)> {
        match self {
            Self::Up { .. } => Some(("down".to_owned(), "up".to_owned())),
            Self::Down { .. } => Some(("up".to_owned(), "down".to_owned())),
            Self::Warning { .. } => None,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Up { .. } => String::new(),
            Self::Down { reason, .. } => reason.clone(),
            Self::Warning { warning, .. } => warning.clone(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Up { .. } => "up again".to_owned(),
            Self::Down { reason, .. } => format!("down: {reason}"),
            Self::Warning { warning, .. } => warning.clone(),
        }
    }
}

impl Describe for Service {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::QuorumLost { .. } => service::LOST,
            Self::QuorumRegained { .. } => service::REGAINED,
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::QuorumLost { service, .. } | Self::QuorumRegained { service, .. } => {
                Subject::service(service)
            }
        }
    }

    fn change(&self) -> Option<(String, String)> {
        match self {
            Self::QuorumLost { .. } => Some(("up".to_owned(), "down".to_owned())),
            Self::QuorumRegained { .. } => Some(("down".to_owned(), "up".to_owned())),
        }
    }

    fn reason(&self) -> String {
        let (Self::QuorumLost { serving, quorum, .. } | Self::QuorumRegained { serving, quorum, .. }) = self;
        format!("{serving} backends serve, and {quorum} are needed")
    }

    fn text(&self) -> String {
        match self {
            Self::QuorumLost { policy, .. } => {
                let what = match policy {
                    Policy::Fail => "those that are healthy serve alone",
                    Policy::All => "checks are not believed, and all serve",
                    Policy::Sorry => "the backups serve alone, if one is healthy",
                };
                format!("no quorum: {}; {what}", self.reason())
            }
            Self::QuorumRegained { .. } => format!("quorum again: {}", self.reason()),
        }
    }
}
