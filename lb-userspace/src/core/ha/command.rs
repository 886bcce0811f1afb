//! What operators order of this director's part in the pair.

use std::time::Duration;

use lb_common::wire::{heartbeat::NOBODY, seal::NodeId};

use super::{
    Member, Peer,
    event::{Why, Yield},
    group::{Group, Outputs},
    hooks::{Answer, Direction},
};
use crate::core::vrrp::Role;

/// Whoever is Active is asked for the VIPs for this long.
const ASKS: Duration = Duration::from_secs(2);

/// Why an order is not carried out. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unable {
    /// There are no other directors to hear of.
    #[error("this director knows of no other: no [[heartbeat]] is configured")]
    Alone,
    /// There is no such group.
    #[error("no instance is called `{0}`")]
    NoSuchGroup(String),
    /// There is no such director.
    #[error("no director called `{name}` is heard; heard are: {known}")]
    NoSuchDirector {
        /// What was asked for.
        name: String,
        /// Who there is.
        known: String,
    },
    /// That one cannot hold the VIPs.
    #[error("{director} cannot hold the VIPs of {group}: {why}")]
    Unfit {
        /// Its name.
        director: String,
        /// The group.
        group: String,
        /// What is known of the reason.
        why: String,
    },
    /// That one had them until a moment ago.
    #[error(
        "{director} has only just handed the VIPs of {group} over, and has not heard yet that they have arrived"
    )]
    Early {
        /// Its name.
        director: String,
        /// The group.
        group: String,
    },
    /// None of the others can.
    #[error("no other director that is heard can hold the VIPs of {0}")]
    NoSuccessor(String),
    /// There is nothing to hand over.
    #[error("this director is Active in none of them, so it has nothing to hand over")]
    NotActive,
}

/// VIPs that go to another director.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// Name of the group.
    pub group: String,
    /// Name of the director.
    pub to: String,
    /// Whether programs of the operator are asked first; they may still say no.
    pub waits: bool,
}

impl Member {
    /// Hands the VIPs of a group, or of all groups in which this director is Active, over to the director of that name, or
    /// else to the best one; with its own name, it has them handed over to it. Returns what goes to whom.
    ///
    /// # Errors
    /// [`Unable`]; nothing has been handed over then.
    pub fn hand_over(
        &mut self,
        group: Option<&str>,
        to: Option<&str>,
        now: Duration,
    ) -> Result<Vec<Handed>, Unable> {
        let cluster = self
            .cluster
            .as_ref()
            .filter(|cluster| !cluster.paths().is_empty());
        let cluster = cluster.ok_or(Unable::Alone)?;
        let own = cluster.settings();
        let is_meant = |known: &Group| !known.is_leaving && group.is_none_or(|group| known.is_called(group));
        if let Some(group) = group
            && !self.groups.iter().any(is_meant)
        {
            return Err(Unable::NoSuchGroup(group.to_owned()));
        }
        let takes = to == Some(own.name.as_str());
        if !takes
            && let Some(to) = to
            && !cluster.alive(now).any(|peer| peer.name() == to)
        {
            let known: Vec<_> = cluster.alive(now).map(|peer| peer.name().to_owned()).collect();
            return Err(Unable::NoSuchDirector {
                name: to.to_owned(),
                known: if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                },
            });
        }
        let role = if takes { Role::Backup } else { Role::Active };
        let mut plan = Vec::new();
        for (number, group) in self
            .groups
            .iter()
            .enumerate()
            .filter(|(_, group)| is_meant(group))
        {
            if takes && !group.unfit.is_empty() {
                let why: Vec<_> = group.unfit.iter().map(ToString::to_string).collect();
                return Err(Unable::Unfit {
                    director: own.name.clone(),
                    group: group.name.clone(),
                    why: why.join("; "),
                });
            }
            if group.role != role {
                continue;
            }
            let successor = if takes {
                (own.node, own.name.clone())
            } else {
                self.successor(group, to, now)?
            };
            plan.push((number, successor));
        }
        if plan.is_empty() && !takes {
            return Err(Unable::NotActive);
        }
        let mut done = Vec::new();
        for (number, (node, name)) in plan {
            let group = &mut self.groups[number];
            let mut handover = Handed {
                group: group.name.clone(),
                to: name.clone(),
                waits: false,
            };
            if takes {
                group.hooks.lift(Direction::Acquire);
                group.candidacy.takes_until = Some(now + ASKS);
                group.candidacy.stands_back = false;
                done.push(handover);
                continue;
            }
            let why = Why::Yielded {
                to: name,
                because: Yield::Ordered,
            };
            let outputs = &mut Outputs {
                group: number as u16,
                queue: &mut self.outputs,
            };
            group.hooks.lift(Direction::Release);
            match group.may(Direction::Release, &why.to_string(), now, outputs) {
                Answer::Go => {
                    group.candidacy.stands_back = true;
                    group.yield_to(Some(node), why, now, outputs);
                }
                Answer::Wait | Answer::No => {
                    group.candidacy.handing = Some(node);
                    handover.waits = true;
                }
            }
            done.push(handover);
        }
        self.tick(false, now);
        Ok(done)
    }

    /// Puts the director into maintenance, in which it neither keeps nor takes VIPs, or ends that.
    ///
    /// # Errors
    /// [`Unable`], if nobody would hold some VIPs any more; never with `by_force`.
    pub fn set_maintenance(&mut self, is_on: bool, by_force: bool, now: Duration) -> Result<(), Unable> {
        if is_on && !by_force {
            for group in self.groups.iter().filter(|group| group.role == Role::Active) {
                self.successor(group, None, now)?;
            }
        }
        self.maintenance = is_on;
        self.tick(false, now);
        Ok(())
    }

    /// Who can take over a group's VIPs from this director.
    fn successor(&self, group: &Group, to: Option<&str>, now: Duration) -> Result<(NodeId, String), Unable> {
        let none = || Unable::NoSuccessor(group.name.clone());
        let cluster = self.cluster.as_ref().ok_or_else(none)?;
        let mut candidates: Vec<_> = group.candidates(cluster, now).collect();
        if let Some(to) = to {
            candidates.retain(|(peer, _)| peer.name() == to);
        }
        if candidates.is_empty() {
            let mut asked = cluster
                .alive(now)
                .filter(|peer| peer.is_proven() && to.is_none_or(|to| peer.name() == to));
            let gives = |peer: &&Peer| {
                let part = peer.group(group.id);
                part.is_some_and(|part| part.fit && part.successor != NOBODY)
            };
            if let Some(giver) = asked.find(gives) {
                return Err(Unable::Early {
                    director: giver.name().to_owned(),
                    group: group.name.clone(),
                });
            }
            if let Some(to) = to {
                let peer = cluster.alive(now).find(|peer| peer.name() == to);
                let part = peer.and_then(|peer| peer.group(group.id));
                let why = match (peer, part) {
                    (Some(peer), _) if peer.report().maintenance => "it is in maintenance",
                    (_, None) => "it does not have them in its configuration",
                    (_, Some(part)) if !part.link => "its interface is down",
                    (_, Some(_)) => "it says so; `tandem ha` there says why",
                };
                return Err(Unable::Unfit {
                    director: to.to_owned(),
                    group: group.name.clone(),
                    why: why.to_owned(),
                });
            }
        }
        let best = candidates.into_iter().max_by_key(|(_, rank)| *rank);
        let (peer, _) = best.ok_or_else(none)?;
        Ok((peer.node(), peer.name().to_owned()))
    }
}
