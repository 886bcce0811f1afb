//! The other directors of the cluster, as the heartbeat paths tell of them.
//!
//! Each director says on every path, again and again, what it is; and what it knows of third ones, so that two who are
//! heard by a third one know of each other. A word of somebody counts for three and a half of his intervals.

mod path;
mod peer;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lb_common::wire::{
    heartbeat::{self, Heartbeat, MAX_PEERS, Report, Text},
    seal::{Greeting, NodeId},
};

pub use self::{
    path::{Heard, Path},
    peer::Peer,
};
use super::{Event, Output};
use crate::core::{model, seal::Standing};
pub(super) use path::hold;

/// After the start, and after a change of the paths, nobody is succeeded until each path was usable for long enough to
/// hear others on it; but not for longer than this.
const LISTEN: Duration = Duration::from_secs(3);
/// Something that changes is said at once, if this part of an interval has passed since the last heartbeat.
const SOONER: u32 = 4;
/// Directors that have not been heard for this long are forgotten.
const FORGET: Duration = Duration::from_secs(24 * 3600);

/// Who this director is for the others, and how it hears them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Who it is.
    pub node: NodeId,
    /// Its life.
    pub epoch: u64,
    /// Its name.
    pub name: String,
    /// Version of its daemon.
    pub version: String,
    /// Digest of what all directors must have in common.
    pub config: u64,
    /// The paths.
    pub paths: Vec<model::Heartbeat>,
}

/// The other directors.
#[derive(Debug, Clone)]
pub struct Cluster {
    settings: ClusterSettings,
    /// Counts what this director says.
    number: u64,
    paths: Vec<Path>,
    peers: BTreeMap<NodeId, Peer>,
    sync: heartbeat::Sync,
    /// Since when it listens.
    since: Duration,
    /// What was said last.
    said: Option<Report>,
}

impl Cluster {
    pub(super) fn new(settings: ClusterSettings, now: Duration) -> Self {
        let mut cluster = Self {
            settings: ClusterSettings {
                paths: Vec::new(),
                ..settings.clone()
            },
            // Above that of an earlier cluster of the same life.
            number: now.as_micros() as u64,
            paths: Vec::new(),
            peers: BTreeMap::new(),
            sync: heartbeat::Sync {
                completeness: 10_000,
                ..heartbeat::Sync::default()
            },
            since: now,
            said: None,
        };
        cluster.reconfigure(settings, now);
        cluster
    }

    /// Goes on with other settings; paths that stay the same go on.
    pub(super) fn reconfigure(&mut self, settings: ClusterSettings, now: Duration) {
        if settings.paths != self.settings.paths {
            self.since = now;
            let mut before = std::mem::take(&mut self.paths);
            for path in &settings.paths {
                let known = before.iter().position(|known| known.settings == *path);
                let kept = known.map(|at| before.swap_remove(at));
                self.paths
                    .push(kept.unwrap_or_else(|| Path::new(path.clone(), now)));
            }
        }
        self.settings = settings;
    }

    /// Who this director is.
    #[must_use]
    pub fn settings(&self) -> &ClusterSettings {
        &self.settings
    }

    /// The paths, in the order of the configuration.
    #[must_use]
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The others, alive or not.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Those who are heard, be it by way of others.
    pub(super) fn alive(&self, now: Duration) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(move |peer| peer.is_alive(now))
    }

    /// One of the others.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(&node)
    }

    /// How far this director's connections are those of the others.
    #[must_use]
    pub fn sync(&self) -> &heartbeat::Sync {
        &self.sync
    }

    pub(super) fn set_sync(&mut self, sync: heartbeat::Sync) {
        self.sync = sync;
    }

    pub(super) fn set_path(&mut self, path: usize, is_up: bool, now: Duration) {
        if let Some(path) = self.paths.get_mut(path)
            && path.is_up() != is_up
        {
            path.up_since = is_up.then_some(now);
            path.send_at = now;
        }
    }

    /// Whether it is too early to call anybody silent.
    pub(super) fn is_listening(&self, now: Duration) -> bool {
        let patience = LISTEN
            + self
                .paths
                .iter()
                .map(|path| hold(path.settings.interval))
                .max()
                .unwrap_or_default();
        let heard_out = |path: &Path| {
            path.up_since
                .is_some_and(|since| now >= since + hold(path.settings.interval))
        };
        now < self.since + patience && !self.paths.iter().all(heard_out)
    }

    /// Whether a director is heard on every path.
    pub(super) fn all_hear(&self, node: NodeId, now: Duration) -> bool {
        self.paths.iter().all(|path| path.hears(node, now))
    }

    /// Takes note of a heartbeat.
    pub(super) fn receive(
        &mut self,
        path: usize,
        sender: NodeId,
        standing: Standing,
        heartbeat: &Heartbeat<'_>,
        now: Duration,
    ) {
        let proven = match standing {
            Standing::Proven => true,
            Standing::Claimed => false,
            Standing::Stale => return,
        };
        let own = self.settings.node;
        let mut is_first = true;
        for report in heartbeat.reports() {
            let Ok(report) = report else { return };
            let is_own = std::mem::replace(&mut is_first, false);
            // The first one is the sender's, and nobody tells us of ourselves.
            if is_own != (report.node == sender) || report.node == own {
                continue;
            }
            if is_own && let Some(path) = self.paths.get_mut(path) {
                path.receive(sender, heartbeat, own, now);
            }
            let until = now + Duration::from_millis(report.valid.into());
            if let Some(peer) = self.peers.get_mut(&report.node) {
                peer.learn(&report, proven, is_own, until, now);
            } else if self.peers.len() < MAX_PEERS {
                let peer = Peer::new(report, proven, until, now);
                self.peers.insert(report.node, peer);
            }
        }
    }

    /// Says what changed, forgets the long gone; `report` is what this director would say now.
    pub(super) fn tick(&mut self, report: &Report, now: Duration, outputs: &mut VecDeque<Output>) {
        self.tell(now, outputs);
        self.peers.retain(|_, peer| now < peer.alive_until + FORGET);
        let peers = &self.peers;
        for path in &mut self.paths {
            path.forget(|node| peers.contains_key(&node));
        }
        // Where the connections are changes all the time, and can wait.
        let said = Report {
            sync: heartbeat::Sync::default(),
            ..*report
        };
        if self.said.as_ref() != Some(&said) {
            self.said = Some(said);
            for path in &mut self.paths {
                let soonest = path
                    .sent_at
                    .map_or(now, |at| at + path.settings.interval / SOONER);
                path.send_at = path.send_at.min(soonest.max(now));
            }
        }
        for (number, path) in self.paths.iter_mut().enumerate() {
            if path.is_up() && now >= path.send_at {
                // The time is set when it is written.
                outputs.push_back(Output::Beat { path: number });
            }
        }
    }

    /// Writes a heartbeat for a path; `None` if there is no such path.
    pub(super) fn write(
        &mut self,
        path: usize,
        greeting: &Greeting,
        report: Report,
        now: Duration,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let path = self.paths.get_mut(path)?;
        self.number += 1;
        let valid =
            |until: Duration| u16::try_from(until.saturating_sub(now).as_millis()).unwrap_or(u16::MAX);
        let own = Report {
            number: self.number,
            valid: valid(now + hold(path.settings.interval)),
            ..report
        };
        let others = self
            .peers
            .values()
            .filter(|peer| peer.is_alive(now) && peer.proven);
        let others: Vec<Report> = others
            .map(|peer| Report {
                valid: valid(peer.alive_until),
                ..peer.report
            })
            .collect();
        let beat = path.beat(now);
        let returns = path.returns(now);
        let reports = std::iter::once(&own).chain(&others);
        heartbeat::emit(beat, greeting, &returns, reports, buffer)
    }

    /// What this director says of itself, but for its groups.
    pub(super) fn report(&self, now: Duration) -> Report {
        Report {
            node: self.settings.node,
            epoch: self.settings.epoch,
            name: Text::new(&self.settings.name),
            version: Text::new(&self.settings.version),
            config: self.settings.config,
            sync: self.sync,
            hears: self.alive(now).map(Peer::node).collect(),
            ..Report::default()
        }
    }

    /// When there is something to do.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let beats = self
            .paths
            .iter()
            .filter(|path| path.is_up())
            .map(|path| path.send_at);
        let heard = self.paths.iter().flat_map(|path| {
            let peers = self.peers.keys();
            let heard = peers.filter_map(move |peer| path.heard(*peer));
            heard.flat_map(|heard| [heard.until, heard.missed_at()])
        });
        let listening = self
            .paths
            .iter()
            .filter_map(|path| Some(path.up_since? + hold(path.settings.interval)));
        let lives = self.peers.values().map(|peer| peer.alive_until);
        let later = heard.chain(lives).chain(listening).filter(|at| *at > now);
        beats.chain(later).min()
    }

    /// Tells of directors and paths that fall silent or come back, and of configurations that differ.
    fn tell(&mut self, now: Duration, outputs: &mut VecDeque<Output>) {
        let mut report = |event| outputs.push_back(Output::Report(event));
        for peer in self.peers.values_mut() {
            let director = peer.name().to_owned();
            let alive = peer.is_alive(now);
            let differs = alive && peer.proven && peer.report.config != self.settings.config;
            if differs && !peer.told_differs {
                report(Event::PeerDiffers {
                    director: director.clone(),
                });
            }
            // Who is gone has not changed its configuration.
            peer.told_differs = if alive { differs } else { peer.told_differs };
            if std::mem::replace(&mut peer.told_alive, alive) != alive {
                let leaving = peer.report.leaving;
                report(if alive {
                    Event::PeerHeard { director }
                } else {
                    Event::PeerLost { director, leaving }
                });
            }
        }
        for path in &mut self.paths {
            let name = path.settings.name.clone();
            for (node, heard) in path.heard_mut() {
                let Some(peer) = self.peers.get(&node) else {
                    continue;
                };
                // Where all are silent, the director is.
                let silent = now >= heard.missed_at() && peer.is_alive(now);
                let (path, director) = (name.clone(), peer.name().to_owned());
                if silent && !heard.told_silent {
                    heard.told_silent = true;
                    report(Event::PathSilent { path, director });
                } else if now < heard.until && heard.told_silent {
                    heard.told_silent = false;
                    report(Event::PathHeard { path, director });
                }
            }
        }
    }
}
