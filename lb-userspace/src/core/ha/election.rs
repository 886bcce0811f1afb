//! Who holds a group's VIPs: what this director makes of what it hears of the others.

use std::{net::IpAddr, time::Duration};

use lb_common::wire::{
    heartbeat::{NOBODY, Role as PeerRole},
    seal::NodeId,
};

use super::{
    cluster::{Cluster, Peer, hold},
    decision::{Action, Own, Paths, Service, Word, decide},
    event::{Event, Why, Yield},
    group::{Group, Outputs, Surroundings},
    hooks::{Answer, Direction},
};
use crate::core::vrrp::{Cause, Event as Vrrp, Preempt, Role, Standing};

/// Who was left the VIPs takes them within this time, or somebody else does.
const PROMISE: Duration = Duration::from_secs(1);
/// A director that knows of no more connections than this, in hundredths of a percent, comes after those who know more.
pub const COMPLETE: u16 = 9_900;
/// After this time it counts as complete all the same.
const CATCHING_UP: Duration = Duration::from_secs(60);

/// Who takes over before whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Whether it knows nearly all connections.
    pub is_complete: bool,
    /// Priority of the group.
    pub priority: u8,
    /// How many of the backends it reaches, in percent.
    pub health: u8,
    /// How many connections it knows, in percent.
    pub completeness: u8,
    /// Somebody has to be the first.
    pub node: NodeId,
}

/// What is heard of the Active over the heartbeat paths.
#[derive(Debug, Clone, Copy)]
struct Rumour {
    paths: Paths,
    /// Of whom.
    peer: Option<NodeId>,
}

/// What a group remembers for the election.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidacy {
    /// Whom the VIPs were left to, and until when that director may take its time.
    successor: Option<(NodeId, Duration)>,
    /// Who was last heard to be Active.
    last_active: Option<NodeId>,
    /// Whether the lesser Active is asked for the VIPs.
    pub(super) claims: bool,
    /// Until when whoever is Active is asked for them, as ordered.
    pub(super) takes_until: Option<Duration>,
    /// Whom they are to be handed over to, as ordered, once programs of the operator have agreed.
    pub(super) handing: Option<NodeId>,
    /// It gave the VIPs up as ordered, and does not ask for them back.
    pub(super) stands_back: bool,
    /// An Active that does not hear this director, and since when.
    deaf: Option<(NodeId, Duration)>,
    /// The Active that VRRP does not hear, since when, and whether somebody was told.
    anomaly: Option<(NodeId, Duration, bool)>,
    /// Since when it takes part.
    pub(super) since: Option<Duration>,
}

impl Candidacy {
    /// Whom the VIPs are left to.
    pub(super) fn successor(&self) -> NodeId {
        self.successor.map_or(NOBODY, |(successor, _)| successor)
    }

    /// When there is something to do.
    pub(super) fn next_deadline(&self, cluster: &Cluster, now: Duration) -> Option<Duration> {
        let slowest = slowest(cluster);
        let promise = self.successor.map(|(_, until)| until);
        let deaf = self.deaf.map(|(_, since)| since + slowest);
        let anomaly = self.anomaly.map(|(_, since, _)| since + slowest);
        let times = promise
            .into_iter()
            .chain(self.takes_until)
            .chain(deaf)
            .chain(anomaly);
        times.filter(|at| *at > now).min()
    }
}

fn slowest(cluster: &Cluster) -> Duration {
    let holds = cluster.paths().iter().map(|path| hold(path.settings().interval));
    holds.max().unwrap_or_default()
}

impl Group {
    /// Decides whether to take over, or to give way.
    pub(super) fn judge(&mut self, around: &Surroundings<'_>, now: Duration, outputs: &mut Outputs<'_>) {
        let takes = self.candidacy.takes_until.is_some_and(|until| now < until);
        match self.role {
            Role::Initialize => {
                self.candidacy.claims = false;
                self.hooks.forget();
            }
            Role::Active => {
                self.candidacy = Candidacy {
                    since: self.candidacy.since,
                    deaf: self.candidacy.deaf,
                    handing: self.candidacy.handing,
                    ..Candidacy::default()
                };
                self.reconsider(around, now, outputs);
            }
            Role::Backup => {
                if !takes {
                    self.candidacy.takes_until = None;
                }
                self.stand_by(around, now, outputs);
            }
        }
    }

    /// As a Backup.
    fn stand_by(&mut self, around: &Surroundings<'_>, now: Duration, outputs: &mut Outputs<'_>) {
        let service = self.service(now);
        let rumour = self.rumour(around, now);
        self.keep_promise(around, now);
        let own = if self.unfit.is_empty() {
            Own::Fit
        } else {
            Own::Unfit
        };
        let action = decide(own, service, rumour.paths);
        let is_early = around.cluster.is_some_and(|cluster| cluster.is_listening(now));
        let is_told = matches!(
            rumour.paths,
            Paths::Some(Word::HandsOver | Word::Leaves) | Paths::All(Word::HandsOver | Word::Leaves)
        );
        self.candidacy.claims = action == Action::Claim;
        let silent = action == Action::Anomaly && service == Service::Silent;
        self.note_anomaly(rumour.peer.filter(|_| silent), around, now, outputs);
        let takes = match action {
            Action::Wait | Action::Anomaly | Action::Claim => false,
            Action::TakeOver => is_told || !is_early,
            Action::Elect => (is_told || !is_early) && self.is_best(around, now),
        };
        if takes && self.candidacy.successor.is_none() {
            let name = |node: Option<NodeId>| self.name_of(node, around);
            let why = match rumour.paths {
                Paths::Some(Word::HandsOver) | Paths::All(Word::HandsOver) => Some(Why::HandedOver {
                    director: name(rumour.peer),
                }),
                Paths::Some(Word::Leaves) | Paths::All(Word::Leaves) => Some(Why::Left {
                    director: name(rumour.peer),
                }),
                Paths::None | Paths::Silent | Paths::Some(_) | Paths::All(_) => None,
            };
            let said = why
                .as_ref()
                .map_or("nobody is heard to hold the VIPs".to_owned(), Why::to_string);
            match self.may(Direction::Acquire, &said, now, outputs) {
                Answer::Go => self.take(why, now, outputs),
                Answer::Wait | Answer::No => {}
            }
        } else {
            self.hooks.forget();
        }
    }

    /// As the Active.
    fn reconsider(&mut self, around: &Surroundings<'_>, now: Duration, outputs: &mut Outputs<'_>) {
        let Some(cluster) = around.cluster else { return };
        let own = cluster.settings().node;
        let mut deaf = None;
        let mut verdict = None;
        for peer in cluster.alive(now).filter(|peer| peer.is_proven()) {
            let Some(part) = peer.group(self.id) else { continue };
            let node = peer.node();
            let to = || peer.name().to_owned();
            if part.role == PeerRole::Active {
                let hears = peer.report().hears.as_slice().contains(&own);
                let known = self.candidacy.deaf.filter(|(known, _)| *known == node);
                if (part.priority, node) > (self.priority(), own) {
                    verdict = Some((
                        None,
                        Why::Yielded {
                            to: to(),
                            because: Yield::Several,
                        },
                    ));
                } else if !hears {
                    let (_, since) = *deaf.insert(known.unwrap_or((node, now)));
                    if now >= since + slowest(cluster) {
                        verdict = Some((
                            None,
                            Why::Yielded {
                                to: to(),
                                because: Yield::Deaf,
                            },
                        ));
                    }
                }
            } else if verdict.is_none() && part.fit && (part.takes || self.candidacy.handing == Some(node)) {
                verdict = Some((
                    Some(node),
                    Why::Yielded {
                        to: to(),
                        because: Yield::Ordered,
                    },
                ));
            } else if verdict.is_none() && part.fit && part.claims && part.priority > self.priority() {
                // Of several who may claim them, whoever would win an election: not whoever was heard first.
                let above = |rank: &Rank| rank.priority > self.priority();
                let best = self
                    .candidates(cluster, now)
                    .filter(|(_, rank)| above(rank))
                    .max_by_key(|(_, rank)| *rank)
                    .map_or(peer, |(best, _)| best);
                verdict = Some((
                    Some(best.node()),
                    Why::Yielded {
                        to: best.name().to_owned(),
                        because: Yield::Claimed,
                    },
                ));
            }
        }
        self.candidacy.deaf = deaf;
        let Some((successor, why)) = verdict else {
            self.candidacy.handing = None;
            return self.hooks.forget();
        };
        let (is_forced, is_ordered) = match &why {
            Why::Yielded { because, .. } => match because {
                Yield::Several | Yield::Deaf => (true, false),
                Yield::Ordered => (false, true),
                Yield::Claimed => (false, false),
            },
            Why::Vrrp { .. } | Why::Unfit(_) | Why::HandedOver { .. } | Why::Left { .. } => (true, false),
        };
        let answer = if is_forced {
            Answer::Go
        } else {
            self.may(Direction::Release, &why.to_string(), now, outputs)
        };
        match answer {
            Answer::Go => {
                self.candidacy.stands_back |= is_ordered;
                self.yield_to(successor, why, now, outputs);
            }
            Answer::Wait => {}
            Answer::No => self.candidacy.handing = None,
        }
    }

    /// Gives the VIPs up; who is named takes them.
    pub(super) fn yield_to(
        &mut self,
        successor: Option<NodeId>,
        why: Why,
        now: Duration,
        outputs: &mut Outputs<'_>,
    ) {
        self.candidacy.successor = successor.map(|node| (node, now + PROMISE));
        self.candidacy.handing = None;
        for wire in &mut self.wires {
            wire.router.handle(Vrrp::Yield(Cause::GaveUp), now);
        }
        self.follow(Some(why), now, outputs);
    }

    fn take(&mut self, why: Option<Why>, now: Duration, outputs: &mut Outputs<'_>) {
        for wire in &mut self.wires {
            let cause = wire.router.due(now).unwrap_or(Cause::Together);
            wire.router.handle(Vrrp::Take(cause), now);
        }
        self.follow(why, now, outputs);
    }

    /// What VRRP says, over all virtual routers: silent are only all together.
    fn service(&self, now: Duration) -> Service {
        let mut service = Service::Silent;
        for wire in &self.wires {
            match wire.router.due(now) {
                None => return Service::Heard,
                Some(Cause::Preempted(_)) => service = Service::Preemptable,
                Some(_) => {}
            }
        }
        service
    }

    /// What the heartbeat paths say.
    fn rumour(&mut self, around: &Surroundings<'_>, now: Duration) -> Rumour {
        let nothing = |paths| Rumour { paths, peer: None };
        let Some(cluster) = around.cluster.filter(|cluster| !cluster.paths().is_empty()) else {
            return nothing(Paths::None);
        };
        let about = |peer: &Peer, word| Rumour {
            paths: if cluster.all_hear(peer.node(), now) {
                Paths::All(word)
            } else {
                Paths::Some(word)
            },
            peer: Some(peer.node()),
        };
        let id = self.id;
        let alive = || cluster.alive(now).filter(move |peer| peer.group(id).is_some());
        // A word that might be a recording can keep us from something, and never makes us do something.
        let reached = |peer: &Peer| !peer.is_proven() || peer.group(id).is_some_and(|part| part.link);
        let active = alive()
            .filter(|peer| peer.is_active(id))
            .max_by_key(|peer| (reached(peer), peer.node()));
        if let Some(active) = active {
            self.candidacy.last_active = Some(active.node());
            let word = if reached(active) { Word::Up } else { Word::Leaves };
            return about(active, word);
        }
        let own = cluster.settings().node;
        let proven = || alive().filter(|peer| peer.is_proven());
        let successor = |peer: &Peer| peer.group(id).map_or(NOBODY, |part| part.successor);
        if let Some(giver) = proven().find(|peer| successor(peer) == own) {
            return about(giver, Word::HandsOver);
        }
        let promised = proven().find(|peer| {
            let mut heirs = proven().filter(|heir| heir.node() == successor(peer));
            heirs.any(|heir| heir.group(id).is_some_and(|part| part.fit))
        });
        if let Some(giver) = promised {
            return about(giver, Word::Promised);
        }
        let last = self.candidacy.last_active;
        let left = proven().find(|peer| {
            let is_out = peer.group(id).is_some_and(|part| !part.fit);
            Some(peer.node()) == last && is_out && !self.hears_another(peer, now)
        });
        if let Some(left) = left {
            return about(left, Word::Leaves);
        }
        // What is heard nowhere is not heard on all paths, so that whoever is heard best speaks for all.
        let best = alive().max_by_key(|peer| (cluster.all_hear(peer.node(), now), peer.node()));
        best.map_or(nothing(Paths::Silent), |peer| about(peer, Word::NotActive))
    }

    /// Whether VRRP hears an Active that is not this director.
    fn hears_another(&self, peer: &Peer, now: Duration) -> bool {
        self.wires.iter().any(|wire| {
            let heard = wire.router.last_heard();
            let source = heard.map(|(heard, _)| heard.source);
            wire.router.due(now).is_none()
                && source.is_some_and(|source| !comes_from(peer, source))
                && heard.is_some_and(|(heard, at)| {
                    heard.priority > 0
                        && now < at + wire.router.settings().active_down_interval(heard.interval)
                })
        })
    }

    /// Ends the promise to a successor that has taken the VIPs, or has not in good time.
    fn keep_promise(&mut self, around: &Surroundings<'_>, now: Duration) {
        let id = self.id;
        let taken = |node: NodeId| {
            let peer = around.cluster.and_then(|cluster| cluster.peer(node));
            peer.is_none_or(|peer| peer.is_active(id) || !peer.is_alive(now))
        };
        if self
            .candidacy
            .successor
            .is_some_and(|(node, until)| now >= until || taken(node))
        {
            self.candidacy.successor = None;
        }
    }

    /// Tells of an Active that VRRP does not hear, once that has lasted.
    fn note_anomaly(
        &mut self,
        peer: Option<NodeId>,
        around: &Surroundings<'_>,
        now: Duration,
        outputs: &mut Outputs<'_>,
    ) {
        let known = self.candidacy.anomaly.take();
        let Some(peer) = peer else {
            if known.is_some_and(|(_, _, told)| told) {
                outputs.report(Event::ServiceHeard {
                    group: self.name.clone(),
                });
            }
            return;
        };
        let (_, since, told) = known.unwrap_or((peer, now, false));
        let lasts = around
            .cluster
            .is_some_and(|cluster| now >= since + slowest(cluster));
        if lasts && !told {
            outputs.report(Event::ServiceSilent {
                group: self.name.clone(),
                director: self.name_of(Some(peer), around),
            });
        }
        self.candidacy.anomaly = Some((peer, since, told || lasts));
    }

    fn name_of(&self, node: Option<NodeId>, around: &Surroundings<'_>) -> String {
        let peer = node.and_then(|node| around.cluster?.peer(node));
        peer.map_or_else(|| "another director".to_owned(), |peer| peer.name().to_owned())
    }

    /// Whether no other living director takes over before this one.
    fn is_best(&self, around: &Surroundings<'_>, now: Duration) -> bool {
        let Some(cluster) = around.cluster else {
            return true;
        };
        let own = self.rank(cluster, now);
        let mut others = self.candidates(cluster, now);
        others.all(|(_, rank)| rank < own)
    }

    /// This director's rank.
    pub(super) fn rank(&self, cluster: &Cluster, now: Duration) -> Rank {
        Rank {
            is_complete: self.is_complete(cluster, now),
            priority: self.priority(),
            health: self.health(),
            completeness: percent(cluster.sync().completeness),
            node: cluster.settings().node,
        }
    }

    /// The others who could take over.
    pub(super) fn candidates<'a>(
        &self,
        cluster: &'a Cluster,
        now: Duration,
    ) -> impl Iterator<Item = (&'a Peer, Rank)> + use<'a> {
        let id = self.id;
        let proven = cluster.alive(now).filter(|peer| peer.is_proven());
        proven.filter_map(move |peer| {
            let part = peer.group(id)?;
            let completeness = peer.report().sync.completeness;
            let rank = Rank {
                is_complete: completeness >= COMPLETE,
                priority: part.priority,
                health: part.health,
                completeness: percent(completeness),
                node: peer.node(),
            };
            (part.fit && part.successor == NOBODY).then_some((peer, rank))
        })
    }

    fn is_complete(&self, cluster: &Cluster, now: Duration) -> bool {
        let is_late = self
            .candidacy
            .since
            .is_some_and(|since| now >= since + CATCHING_UP);
        cluster.sync().completeness >= COMPLETE || is_late
    }

    /// Who gives way to whom at equal priority, and whether a lesser Active is left alone.
    ///
    /// Directors of the cluster compare by who they are. Of others it is known what the RFC knows: of several virtual
    /// routers the first decides, or else two directors that compare by addresses of both families might both give
    /// way.
    pub(super) fn standing(
        &self,
        wire: usize,
        source: IpAddr,
        around: &Surroundings<'_>,
        now: Duration,
    ) -> Standing {
        let standing = self.wires[wire].router.standing(source);
        let cluster = around.cluster;
        let peer = cluster.and_then(|cluster| cluster.alive(now).find(|peer| comes_from(peer, source)));
        let wins_tie = match (peer, cluster) {
            (Some(peer), Some(cluster)) => peer.node() > cluster.settings().node,
            (None, _) | (_, None) => {
                let first = &self.wires[0].router;
                let first_has_rival = first.last_heard().is_some_and(|(heard, at)| {
                    heard.priority == first.settings().priority
                        && now < at + first.settings().active_down_interval(heard.interval)
                });
                standing.wins_tie && (wire == 0 || !first_has_rival)
            }
        };
        let is_complete = cluster.is_none_or(|cluster| self.is_complete(cluster, now));
        let waits =
            self.candidacy.stands_back || self.flaps.is_damped(now) || self.waits_for_sync(is_complete);
        Standing {
            wins_tie,
            preempt: if waits { Preempt::Never } else { standing.preempt },
        }
    }
}

fn comes_from(peer: &Peer, source: IpAddr) -> bool {
    let mut addresses = peer.report().addresses.as_slice().iter();
    addresses.any(|address| address.0 == source)
}

fn percent(hundredths: u16) -> u8 {
    (hundredths / 100).min(100) as u8
}
