//! What is worth telling a person.

use std::fmt::{self, Display, Formatter};

use lb_common::wire::sync::Phase;

/// Something happened to the sync of connections and orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Another director is there, and it is no recording.
    PeerFound {
        /// Its name.
        peer: String,
    },
    /// Another director has started anew.
    PeerRestarted {
        /// Its name.
        peer: String,
    },
    /// Another director says nothing any more.
    PeerSilent {
        /// Its name.
        peer: String,
    },
    /// Another director speaks no version of the protocol that this one does.
    PeerIncompatible {
        /// Its name.
        peer: String,
        /// The versions that it speaks.
        versions: (u8, u8),
    },
    /// Another director's configuration differs, or does not any more.
    ConfigurationDiffers {
        /// Its name.
        peer: String,
        /// Whether it does.
        differs: bool,
    },
    /// How far this director is.
    Phase {
        /// Before.
        from: Phase,
        /// Now.
        to: Phase,
    },
    /// Updates of another director are lost for good; what they said will be found by digests.
    UpdatesLost {
        /// Its name.
        peer: String,
        /// How many datagrams.
        count: u64,
    },
    /// The cluster's time made a leap, because another director's clock is far ahead.
    ClockLeapt {
        /// Its name.
        peer: String,
    },
    /// Nothing goes by the interface any more.
    PathLost {
        /// Its name.
        interface: String,
        /// Why.
        reason: String,
    },
    /// The interface can be used.
    PathFound {
        /// Its name.
        interface: String,
    },
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerFound { peer } => write!(f, "director {peer} is there"),
            Self::PeerRestarted { peer } => write!(f, "director {peer} has started anew"),
            Self::PeerSilent { peer } => write!(f, "director {peer} is silent"),
            Self::PeerIncompatible {
                peer,
                versions: (oldest, newest),
            } => write!(
                f,
                "director {peer} speaks versions {oldest} to {newest} of the sync protocol, and this one speaks {} to {}: \
                 connections are not synchronised with it; upgrade the older one",
                lb_common::wire::sync::OLDEST_VERSION,
                lb_common::wire::sync::VERSION
            ),
            Self::ConfigurationDiffers { peer, differs: true } => {
                write!(f, "director {peer} has another configuration")
            }
            Self::ConfigurationDiffers { peer, differs: false } => {
                write!(f, "director {peer} has the same configuration")
            }
            Self::Phase { from, to } => write!(f, "sync: {}, before that {}", to.name(), from.name()),
            Self::UpdatesLost { peer, count } => write!(
                f,
                "{count} updates of director {peer} are lost for good; comparing tables"
            ),
            Self::ClockLeapt { peer } => {
                write!(
                    f,
                    "the clock of director {peer} is far ahead; the cluster follows it"
                )
            }
            Self::PathLost { interface, reason } => {
                write!(f, "connections are not synchronised by {interface}: {reason}")
            }
            Self::PathFound { interface } => write!(f, "connections can be synchronised by {interface}"),
        }
    }
}
