//! What happens to the synchronisation of connections with the other directors.

use super::{Describe, Kind, Severity, Subject, director::kinds};
use crate::core::sync::Event;
use lb_common::wire::sync::Phase;

kinds! {
    FOUND = "sync.peer_found", Notice, "Another director was found, or found again: connections are synchronised with it.";
    SILENT = "sync.peer_silent", Warning, "Another director does not say anything any more: its daemon or its machine is down, or the network is.";
    INCOMPATIBLE = "sync.peer_incompatible", Critical, "Another director speaks no version of the protocol that this one speaks: connections are not synchronised.";
    CONFIGURATION = "sync.configuration", Warning, "The configuration of another director differs from this one's, or no longer does.";
    COMPLETE = "sync.complete", Notice, "This director has all connections that the others have.";
    INCOMPLETE = "sync.incomplete", Warning, "This director fetches connections that it may lack: it has just started, or was cut off.";
    LOST = "sync.updates_lost", Warning, "Updates of another director came too late to be repeated; the tables are compared.";
    CLOCK = "sync.clock", Warning, "The clock of another director is far ahead of this one's: look at their time servers.";
    NO_PATH = "sync.no_path", Critical, "Nothing can be sent to or heard of the other directors: connections are not synchronised.";
    PATH = "sync.path", Notice, "The other directors can be spoken to again.";
}

impl Describe for Event {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::PeerFound { .. } | Self::PeerRestarted { .. } => &FOUND,
            Self::PeerSilent { .. } => &SILENT,
            Self::PeerIncompatible { .. } => &INCOMPATIBLE,
            Self::ConfigurationDiffers { .. } => &CONFIGURATION,
            Self::Phase {
                to: Phase::InSync, ..
            } => &COMPLETE,
            Self::Phase {
                to: Phase::Starting | Phase::Joining,
                ..
            } => &INCOMPLETE,
            Self::UpdatesLost { .. } => &LOST,
            Self::ClockLeapt { .. } => &CLOCK,
            Self::PathLost { .. } => &NO_PATH,
            Self::PathFound { .. } => &PATH,
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::PeerFound { peer }
            | Self::PeerRestarted { peer }
            | Self::PeerSilent { peer }
            | Self::PeerIncompatible { peer, .. }
            | Self::ConfigurationDiffers { peer, .. }
            | Self::UpdatesLost { peer, .. }
            | Self::ClockLeapt { peer } => Subject::object(peer),
            Self::PathLost { interface, .. } | Self::PathFound { interface } => Subject::object(interface),
            Self::Phase { .. } => Subject::default(),
        }
    }

    fn change(&self) -> Option<(String, String)> {
        match self {
            Self::Phase { from, to } => Some((from.name().to_owned(), to.name().to_owned())),
            Self::PeerFound { .. }
            | Self::PeerRestarted { .. }
            | Self::PeerSilent { .. }
            | Self::PeerIncompatible { .. }
            | Self::ConfigurationDiffers { .. }
            | Self::UpdatesLost { .. }
            | Self::ClockLeapt { .. }
            | Self::PathLost { .. }
            | Self::PathFound { .. } => None,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::PathLost { reason, .. } => reason.clone(),
            Self::UpdatesLost { count, .. } => format!("{count} updates"),
            Self::PeerFound { .. }
            | Self::PeerRestarted { .. }
            | Self::PeerSilent { .. }
            | Self::PeerIncompatible { .. }
            | Self::ConfigurationDiffers { .. }
            | Self::Phase { .. }
            | Self::ClockLeapt { .. }
            | Self::PathFound { .. } => String::new(),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}
