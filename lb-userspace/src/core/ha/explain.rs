//! What would happen: "if the Active died now".

use std::time::Duration;

use super::{
    Member,
    cluster::{Cluster, hold},
    election::Rank,
    group::Group,
};
use crate::core::vrrp::Role;

/// What would happen to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Its name.
    pub group: String,
    /// Who is Active now, as far as this director knows.
    pub active: Option<String>,
    /// Who would take over if that one died now; `None`: nobody that is heard.
    pub successor: Option<String>,
    /// How long that takes at most, from the death on.
    pub within: Option<Duration>,
    /// The directors, the one that comes first first.
    pub directors: Vec<Part>,
}

/// A director's part in that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub director: String,
    /// Whether it is Active.
    pub is_active: bool,
    /// What it would be elected by; `None` if it cannot hold the VIPs.
    pub rank: Option<Rank>,
    /// Why it cannot, as far as it is known.
    pub why_not: Vec<String>,
}

impl Member {
    /// What would happen to each group if its Active died now.
    #[must_use]
    pub fn explain(&self, now: Duration) -> Vec<Explanation> {
        let groups = self.groups.iter().filter(|group| !group.is_leaving);
        groups.map(|group| self.explain_group(group, now)).collect()
    }

    fn explain_group(&self, group: &Group, now: Duration) -> Explanation {
        let cluster = self.cluster.as_ref();
        let mut directors: Vec<Part> = cluster.map_or_else(Vec::new, |cluster| others(group, cluster, now));
        let own_rank = cluster.map(|cluster| group.rank(cluster, now)).unwrap_or(Rank {
            is_complete: true,
            priority: group.priority(),
            health: group.health(),
            completeness: 100,
            node: lb_common::wire::heartbeat::NOBODY,
        });
        directors.push(Part {
            director: cluster.map_or_else(
                || "this director".to_owned(),
                |cluster| cluster.settings().name.clone(),
            ),
            is_active: group.role == Role::Active,
            rank: (group.unfit.is_empty() && !group.is_vetoed(now)).then_some(own_rank),
            why_not: group
                .unfit
                .iter()
                .map(ToString::to_string)
                .chain(group.is_vetoed(now).then(|| "its test says no".to_owned()))
                .collect(),
        });
        directors.sort_by_key(|part| std::cmp::Reverse(part.rank));
        let active = directors.iter().find(|part| part.is_active);
        let active = active.map(|part| part.director.clone());
        let heir = directors
            .iter()
            .find(|part| !part.is_active && part.rank.is_some());
        let within = heir.and_then(|heir| Some(self.takeover_time(group, heir.rank?.priority)));
        Explanation {
            group: group.name.clone(),
            active,
            successor: heir.map(|heir| heir.director.clone()),
            within,
            directors,
        }
    }

    /// Until a Backup of this priority has missed the Active everywhere.
    fn takeover_time(&self, group: &Group, priority: u8) -> Duration {
        let vrrp = group.wires.iter().map(|wire| {
            let settings = wire.router.settings();
            let settings = crate::core::vrrp::Settings {
                priority,
                ..settings.clone()
            };
            settings.active_down_interval(settings.interval)
        });
        let paths = self.cluster.iter().flat_map(|cluster| cluster.paths());
        let paths = paths.map(|path| hold(path.settings().interval));
        vrrp.chain(paths).max().unwrap_or_default()
    }
}

fn others(group: &Group, cluster: &Cluster, now: Duration) -> Vec<Part> {
    let candidates: Vec<_> = group.candidates(cluster, now).collect();
    let parts = cluster.peers().map(|peer| {
        let rank = candidates
            .iter()
            .find(|(candidate, _)| candidate.name() == peer.name());
        let part = peer.group(group.id);
        let why_not = if !peer.is_alive(now) {
            Some("it is not heard")
        } else if peer.report().maintenance {
            Some("it is in maintenance")
        } else {
            match part {
                None => Some("it does not have the instance in its configuration"),
                Some(part) if !part.link => Some("its interface is down or has no address"),
                Some(part) if !part.fit => Some("it says so; `tandem ha` there says why"),
                Some(_) if !peer.is_proven() => Some("it has not proven yet that it is no recording"),
                Some(_) => None,
            }
        };
        Part {
            director: peer.name().to_owned(),
            is_active: peer.is_alive(now) && peer.is_active(group.id),
            rank: rank.map(|(_, rank)| *rank),
            why_not: why_not.map(str::to_owned).into_iter().collect(),
        }
    });
    parts.collect()
}
