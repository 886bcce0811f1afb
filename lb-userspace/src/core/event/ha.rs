//! What happens to this director's part in the pair.

use super::{Describe, Kind, Severity, Subject, director::kinds};
use crate::core::{
    ha::{Change, Difference, Event},
    vrrp::Role,
};

kinds! {
    ACTIVE = "ha.active", Warning, "This director has taken the VIPs of an instance, because the Active is gone, gave them up, or stands below it.";
    BACKUP = "ha.backup", Notice, "This director holds the VIPs of an instance no more, or not yet, and stands by.";
    OUT = "ha.out", Warning, "This director cannot hold the VIPs of an instance: its interface is down, or the daemon ends.";
    STALLED = "ha.stalled", Critical, "The daemon did nothing for so long that another director may have taken over, and gave the VIPs up.";
    DUPLICATE = "ha.duplicate_address", Critical, "Another machine says that a VIP which this director holds is at its own MAC address: two hold it, or somebody forges.";
    VERSION_2 = "ha.old_vrrp", Warning, "A neighbour speaks VRRPv2, and takes no part in the election.";
    DIFFERS = "ha.differs", Warning, "Another director is configured differently.";
}

impl Describe for Event {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Changed(Change { to: Role::Active, .. }) => &ACTIVE,
            Self::Changed(Change { to: Role::Backup, .. }) => &BACKUP,
            Self::Changed(Change {
                to: Role::Initialize, ..
            }) => &OUT,
            Self::Stalled { .. } => &STALLED,
            Self::Duplicate { .. } => &DUPLICATE,
            Self::Version2 { .. } => &VERSION_2,
            Self::Differs { .. } => &DIFFERS,
        }
    }

    fn subject(&self) -> Subject {
        Subject::object(match self {
            Self::Changed(Change { group, .. })
            | Self::Stalled { group, .. }
            | Self::Duplicate { group, .. } => group,
            Self::Version2 { interface, .. } => interface,
            Self::Differs { instance, .. } => instance,
        })
    }

    fn change(&self) -> Option<(String, String)> {
        match self {
            Self::Changed(Change { from, to, .. }) => Some((from.to_string(), to.to_string())),
            Self::Stalled { .. } | Self::Duplicate { .. } | Self::Version2 { .. } | Self::Differs { .. } => {
                None
            }
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Changed(Change { why, .. }) => why.to_string(),
            Self::Stalled { duration, .. } => format!("it did nothing for {} ms", duration.as_millis()),
            Self::Duplicate { mac, .. } => mac.to_string(),
            Self::Version2 { source, .. } | Self::Differs { source, .. } => source.to_string(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Changed(Change { from, to, why, .. }) => format!("{from} -> {to}: {why}"),
            Self::Stalled { duration, .. } => format!(
                "the daemon did nothing for {} ms while it was Active, and gave the VIPs up: is the machine overloaded?",
                duration.as_millis()
            ),
            Self::Duplicate { vip, mac, .. } => format!(
                "{mac} says that it has {vip}, which this director holds: is another director Active as well, or the address \
                 given to another machine?"
            ),
            Self::Version2 { source, vrid, .. } => format!(
                "{source} advertises virtual router {vrid} in VRRPv2, which is not obeyed: set it to version 3 (in \
                 keepalived: vrrp_version 3)"
            ),
            Self::Differs {
                source,
                what: Difference::Addresses,
                ..
            } => {
                format!(
                    "{source} advertises other VIPs than those configured here: give all directors the same"
                )
            }
            Self::Differs {
                source,
                what: Difference::Interval,
                ..
            } => format!(
                "{source} advertises at another interval than the one configured here: give all directors the same"
            ),
        }
    }
}
