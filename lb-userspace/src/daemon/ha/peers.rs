//! What the HA thread tells of the other directors.

use std::time::Duration;

use lb_common::wire::{heartbeat::Role as PeerRole, seal::Refusal};

use super::{path::Paths, view::millis};
use crate::{
    api::types::{
        CandidateView, ClusterPart, CountView, OutlookView, PathView, PeerGroupView, PeerPathView, PeerView,
        Role,
    },
    core::{
        ha::{Cluster, Explanation, Member, Part, Peer},
        seal::group_id,
    },
    net::heartbeat::HeartbeatLink,
};

/// The other directors, and the paths on which they are heard.
pub(super) fn part(member: &Member, paths: &Paths, now: Duration) -> ClusterPart {
    let Some(cluster) = member.cluster() else {
        return ClusterPart::default();
    };
    let ports = cluster.paths().iter().zip(&paths.ports);
    let paths_of = ports.map(|(path, port)| PathView {
        name: port.settings.name.clone(),
        interface: port.settings.medium.to_string(),
        up: path.is_up(),
        interval_milliseconds: millis(port.settings.interval),
        errors: port.errors,
        last_error: port.last_error.clone(),
        malformed: port.malformed,
        noise: port.link.as_ref().map_or(0, HeartbeatLink::noise),
    });
    let counts = paths.counters().into_iter().flat_map(|counters| {
        Refusal::ALL.iter().map(|&refusal| CountView {
            slug: refusal.slug().to_owned(),
            sentence: refusal.sentence().to_owned(),
            count: counters.refused(refusal),
        })
    });
    ClusterPart {
        peers: cluster
            .peers()
            .map(|known| peer(known, cluster, member, now))
            .collect(),
        paths: paths_of.collect(),
        heartbeats_refused: counts.filter(|view| view.count > 0).collect(),
    }
}

fn peer(peer: &Peer, cluster: &Cluster, member: &Member, now: Duration) -> PeerView {
    let report = peer.report();
    let alive = peer.is_alive(now);
    let groups = member.groups().filter_map(|group| {
        let part = peer.group(group_id(group.name()))?;
        Some(PeerGroupView {
            name: group.name().to_owned(),
            role: match part.role {
                PeerRole::Out => Role::Out,
                PeerRole::Backup => Role::Backup,
                PeerRole::Active => Role::Active,
            },
            fit: part.fit,
            priority: part.priority,
            health_percent: part.health,
        })
    });
    let paths = cluster.paths().iter().map(|path| {
        let heard = path.heard(report.node);
        PeerPathView {
            path: path.settings().name.clone(),
            heard: path.hears(report.node, now),
            age_milliseconds: heard.map(|heard| millis(now.saturating_sub(heard.at))),
            received: heard.map_or(0, |heard| heard.received),
            lost: heard.map_or(0, |heard| heard.lost),
            round_trip_microseconds: heard
                .and_then(|heard| heard.round_trip)
                .map(|time| time.as_micros() as u64),
        }
    });
    PeerView {
        name: peer.name().to_owned(),
        node: report.node.to_string(),
        alive,
        since_seconds: alive.then(|| now.saturating_sub(peer.alive_since()).as_secs()),
        proven: peer.is_proven(),
        maintenance: report.maintenance,
        version: report.version.as_str().to_owned(),
        same_configuration: report.config == cluster.settings().config,
        groups: groups.collect(),
        paths: paths.collect(),
    }
}

/// What would happen if an Active died now.
pub(super) fn outlook(member: &Member, now: Duration) -> Vec<OutlookView> {
    member.explain(now).into_iter().map(outlook_of).collect()
}

fn outlook_of(explanation: Explanation) -> OutlookView {
    OutlookView {
        group: explanation.group,
        active: explanation.active,
        successor: explanation.successor,
        within_milliseconds: explanation.within.map(millis),
        directors: explanation.directors.into_iter().map(candidate).collect(),
    }
}

fn candidate(part: Part) -> CandidateView {
    let rank = part.rank;
    CandidateView {
        director: part.director,
        active: part.is_active,
        why_not: part.why_not,
        priority: rank.map(|rank| rank.priority),
        health_percent: rank.map(|rank| rank.health),
        sync_percent: rank.map(|rank| rank.completeness),
    }
}
