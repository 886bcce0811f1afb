//! What happens to this director's part in the pair.

use super::{Describe, Kind, Severity, Subject, director::kinds};
use crate::core::{
    ha::{Change, Difference, Event, Ran},
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
    PEER_HEARD = "ha.peer_heard", Info, "Another director of the cluster is heard over a heartbeat path.";
    PEER_LOST = "ha.peer_lost", Warning, "Another director of the cluster is heard on no heartbeat path any more.";
    ANOMALY = "ha.anomaly", Critical, "A network between the directors fails: one of them is heard on one path and not on another. Nobody takes over for that.";
    ANOMALY_OVER = "ha.anomaly_over", Notice, "A network between the directors that failed works again.";
    HOOK = "ha.hook", Info, "A program was run because VIPs move, and ended well.";
    HOOK_VETO = "ha.hook_veto", Warning, "A test said that VIPs must not move: they stay where they are.";
    HOOK_FAILED = "ha.hook_failed", Warning, "A program that was run because VIPs move failed, or was killed: they moved all the same.";
    DAMPED = "ha.damped", Warning, "This director lost the VIPs several times in a row, and does not ask for them for a while.";
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
            Self::Differs { .. } | Self::PeerDiffers { .. } => &DIFFERS,
            Self::PeerHeard { .. } => &PEER_HEARD,
            Self::PeerLost { .. } => &PEER_LOST,
            Self::PathSilent { .. } | Self::ServiceSilent { .. } => &ANOMALY,
            Self::PathHeard { .. } | Self::ServiceHeard { .. } => &ANOMALY_OVER,
            Self::Hook { ran: Ran::Well, .. } => &HOOK,
            Self::Hook {
                ran: Ran::Refused(_), ..
            } => &HOOK_VETO,
            Self::Hook {
                ran: Ran::Failed(_), ..
            } => &HOOK_FAILED,
            Self::Damped { .. } => &DAMPED,
        }
    }

    fn subject(&self) -> Subject {
        Subject::object(match self {
            Self::Changed(Change { group, .. })
            | Self::Stalled { group, .. }
            | Self::Duplicate { group, .. }
            | Self::ServiceSilent { group, .. }
            | Self::ServiceHeard { group }
            | Self::Damped { group, .. } => group,
            Self::PeerHeard { director }
            | Self::PeerLost { director, .. }
            | Self::PeerDiffers { director } => director,
            Self::PathSilent { path, .. } | Self::PathHeard { path, .. } => path,
            Self::Version2 { interface, .. } => interface,
            Self::Differs { instance, .. } | Self::Hook { instance, .. } => instance,
        })
    }

    fn change(&self) -> Option<(String, String)> {
        match self {
            Self::Changed(Change { from, to, .. }) => Some((from.to_string(), to.to_string())),
            Self::Stalled { .. }
            | Self::Duplicate { .. }
            | Self::Version2 { .. }
            | Self::Differs { .. }
            | Self::PeerHeard { .. }
            | Self::PeerLost { .. }
            | Self::PeerDiffers { .. }
            | Self::PathSilent { .. }
            | Self::PathHeard { .. }
            | Self::ServiceSilent { .. }
            | Self::ServiceHeard { .. }
            | Self::Hook { .. }
            | Self::Damped { .. } => None,
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Changed(Change { why, .. }) => why.to_string(),
            Self::Stalled { duration, .. } => format!("it did nothing for {} ms", duration.as_millis()),
            Self::Duplicate { mac, .. } => mac.to_string(),
            Self::Version2 { source, .. } | Self::Differs { source, .. } => source.to_string(),
            Self::PeerLost { leaving: true, .. } => "it said goodbye".to_owned(),
            Self::PeerLost { leaving: false, .. } => "silent on all heartbeat paths".to_owned(),
            Self::PeerHeard { .. } | Self::ServiceHeard { .. } => String::new(),
            Self::PeerDiffers { .. } => "its services or instances".to_owned(),
            Self::PathSilent { director, .. }
            | Self::PathHeard { director, .. }
            | Self::ServiceSilent { director, .. } => director.clone(),
            Self::Hook { ran, .. } => match ran {
                Ran::Well => String::new(),
                Ran::Refused(said) => said.clone(),
                Ran::Failed(why) => why.clone(),
            },
            Self::Damped { wait, .. } => format!("for {} s", wait.as_secs()),
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
            Self::PeerHeard { director } => format!("{director} is heard"),
            Self::PeerLost {
                director,
                leaving: true,
            } => format!("{director} ends, as it said"),
            Self::PeerLost {
                director,
                leaving: false,
            } => {
                format!("{director} is heard on no heartbeat path any more")
            }
            Self::PeerDiffers { director } => format!(
                "{director} has other services or instances: give all directors the same, or clients find others after a \
                 takeover"
            ),
            Self::PathSilent { path, director } => format!(
                "{director} is heard, but not over the heartbeat path {path}: its network fails in this direction at least"
            ),
            Self::PathHeard { path, director } => {
                format!("{director} is heard over the heartbeat path {path} again")
            }
            Self::ServiceSilent { director, .. } => format!(
                "VRRP does not hear the Active, but {director} says over a heartbeat path that it holds the VIPs and its \
                 link is up: the network of the clients fails between the directors, and nobody takes over"
            ),
            Self::ServiceHeard { .. } => "VRRP and the heartbeat paths agree again".to_owned(),
            Self::Hook {
                step,
                direction,
                ran,
                took,
                ..
            } => {
                let (way, took) = (direction.name(), took.as_millis());
                match ran {
                    Ran::Well => format!("{step} ({way}) ended well after {took} ms"),
                    Ran::Refused(said) => format!("{step} ({way}) said no after {took} ms: {said}"),
                    Ran::Failed(why) => format!("{step} ({way}) failed after {took} ms: {why}"),
                }
            }
            Self::Damped { wait, .. } => format!(
                "the VIPs were lost several times in ten minutes: they are not asked for again for {} s",
                wait.as_secs()
            ),
        }
    }
}
