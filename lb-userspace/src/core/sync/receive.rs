//! What a node does with what it hears.

use std::time::Duration;

use lb_common::wire::{
    seal::{self, NodeId},
    sync::{Block, Body, Digests, Hello, Message, Nack, Phase, Refusal, ServiceId, StoreItem},
};

use super::{
    Node, Outcome, Replica, To, Word,
    clock::{Compared, Heard},
    event::Event,
    incoming::Arrival,
    peer::Peer,
    repair::OwnSurvey,
    replica::{Moment, Source},
    survey::digest_of,
    tell,
};
use crate::core::seal::{Origin, Standing};

/// Why a datagram was not obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// It was not opened.
    Sealed(seal::Refusal),
    /// It was opened, and what it says is refused.
    Message(Refusal),
}

/// How much a new lag counts against those before.
const LAG_WEIGHT: f64 = 0.1;
/// Hellos in a row with another digest of the store after which it is told in full: a word may be under way.
const STORE_PATIENCE: u32 = 2;

impl Node {
    /// Takes in a datagram, whoever sent it; who it was, if it is a living director of the cluster.
    ///
    /// # Errors
    /// Why it was not obeyed; it is counted.
    pub fn receive(
        &mut self,
        datagram: &mut [u8],
        replica: &mut impl Replica,
        now: Duration,
    ) -> Result<NodeId, Rejected> {
        let opened = self.opener.open(datagram, now).map_err(Rejected::Sealed)?;
        let origin = opened.origin;
        let outcome =
            Message::parse(opened.payload).and_then(|message| self.obey(&origin, message, replica, now));
        match outcome {
            Ok(()) => {
                self.counters.received += 1;
                Ok(origin.sender)
            }
            Err(refusal) => {
                self.counters.refuse(refusal);
                Err(Rejected::Message(refusal))
            }
        }
    }

    fn obey(
        &mut self,
        origin: &Origin,
        message: Message<'_>,
        replica: &mut impl Replica,
        now: Duration,
    ) -> Result<(), Refusal> {
        let Message { clock, body } = message;
        if let Body::Hello(hello) = body {
            return self.hear_hello(origin, hello, clock, replica, now);
        }
        let index = self.proven(origin).ok_or(Refusal::Unproven)?;
        let peer = &mut self.peers[index];
        if peer.version.is_none() {
            return Err(Refusal::OtherVersion);
        }
        if peer.hello.leaf_bits != self.settings.leaf_bits {
            return Err(Refusal::OtherGeometry);
        }
        // Hellos alone are written when they are sent; an update may be repeated much later, and tells no time.
        match self.clock.compare(clock, now) {
            Compared::Near => {}
            Compared::LongBefore => return Err(Refusal::ClockBehind),
            Compared::LongAfter => return Err(Refusal::ClockAhead),
        }
        peer.heard = now;
        let from = To::Peer(peer.id);
        match body {
            // Handled above.
            Body::Hello(_) => {}
            Body::Updates { number, block } => self.hear_updates(index, number, &block, clock, replica, now),
            Body::Nack(nack) => self.hear_nack(&nack, now),
            Body::Survey(survey) => {
                if self.surveys.running.is_none() && self.surveys.is_news(survey) {
                    self.begin_survey(survey, replica);
                }
            }
            Body::Digests(digests) => self.hear_digests(index, &digests, replica, now),
            Body::WantedDigests { survey, branches } if branches.is_empty() => {
                if self.surveys.done.is_some_and(|done| done.survey == survey) {
                    self.send_branches(from, replica, now);
                }
            }
            Body::WantedDigests { survey, branches } => {
                self.send_leaves(from, survey, &branches, replica, now);
            }
            Body::WantedLeaves(leaves) => self.peers[index].serve.ask(&leaves),
            Body::Contents { part, block } => {
                let moment = self.moment(clock, now);
                let applied = replica.apply(&block, Source::Repair, moment);
                self.counters.repaired += applied;
                let peer = &mut self.peers[index];
                peer.mended += applied.differed();
                peer.repair.content(&part, applied.differed() > 0, now);
            }
            Body::Store(items) => self.hear_store(&items, now),
            Body::Services(services) => {
                let mut services: Vec<_> = services
                    .iter()
                    .map(|id| ServiceId(u64::from_be_bytes(*id)))
                    .collect();
                services.sort_unstable();
                services.dedup();
                self.peers[index].services = Some(services);
            }
        }
        Ok(())
    }

    /// The peer that spoke, if its session is proven and its hello was heard.
    fn proven(&self, origin: &Origin) -> Option<usize> {
        if origin.standing != Standing::Proven {
            return None;
        }
        let is_it = |peer: &Peer| peer.id == origin.sender && peer.session == origin.session;
        self.peers.iter().position(is_it)
    }

    fn follow_clock(
        &mut self,
        peer: usize,
        clock: u64,
        replica: &mut impl Replica,
        now: Duration,
    ) -> Result<(), Refusal> {
        match self.clock.hear(clock, now) {
            Heard::Close => Ok(()),
            Heard::FarBehind => {
                replica.forget_moments(self.clock.at(now));
                // What was said of moments before means nothing to anybody.
                self.outgoing.forget();
                let peer = self.peers[peer].name();
                tell(&mut self.events, Event::ClockLeapt { peer });
                Ok(())
            }
            Heard::OutOfBounds => Err(Refusal::ClockAhead),
        }
    }

    fn moment(&self, sent: u64, now: Duration) -> Moment {
        let now = self.clock.at(now);
        Moment {
            sent: sent.min(now),
            now,
        }
    }

    fn hear_hello(
        &mut self,
        origin: &Origin,
        hello: Hello,
        clock: u64,
        replica: &mut impl Replica,
        now: Duration,
    ) -> Result<(), Refusal> {
        let standing = self.opener.greeted(origin, &hello.greeting);
        if standing != Standing::Proven || !hello.greeting.answers(self.own, self.opener.greeting().challenge)
        {
            // It has not heard our present challenge yet, and is to.
            self.hello_soon(now);
        }
        if standing != Standing::Proven {
            return Err(Refusal::Unproven);
        }
        let index = self.meet(origin, &hello, now);
        self.follow_clock(index, clock, replica, now)?;
        let (salt, own) = (self.settings.session.salt, self.own);
        let peer = &mut self.peers[index];
        let is_back = peer.silent;
        peer.heard = now;
        peer.silent = false;
        let told_us = peer.tells_us();
        peer.ack = hello
            .acks
            .iter()
            .find(|ack| ack.peer == own && ack.salt == salt)
            .copied();
        let begins_to_tell = peer.tells_us() && !told_us;
        let lost = peer.incoming.lost();
        peer.incoming.announced(hello.next, hello.oldest, now);
        let announced = (peer.id, hello.next);
        let lost = peer.incoming.lost() - lost;
        let differed = peer.hello.config != self.config_digest;
        let differs = hello.config != self.config_digest;
        let answer_wanted = hello.answer_wanted;
        let is_equal = hello.phase == Phase::InSync;
        peer.hello = hello;
        let name = peer.name();
        if is_back {
            tell(&mut self.events, Event::PeerFound { peer: name.clone() });
        }
        if lost > 0 {
            tell(
                &mut self.events,
                Event::UpdatesLost {
                    peer: name.clone(),
                    count: lost,
                },
            );
        }
        if differs != differed {
            tell(
                &mut self.events,
                Event::ConfigurationDiffers { peer: name, differs },
            );
        }
        let may_miss = match self.phase {
            Phase::Starting => false,
            // What changed before was told to nobody, or to others.
            Phase::Joining => lost > 0 || (is_back && is_equal) || begins_to_tell,
            Phase::InSync => lost > 0 || (is_back && is_equal),
        };
        if may_miss {
            self.must_join(now);
        }
        if answer_wanted {
            self.hello_soon(now);
        }
        self.note_announced(announced.0, announced.1);
        self.tell_what_differs(index, replica, now);
        Ok(())
    }

    /// The peer that said hello, perhaps for the first time in its present life.
    fn meet(&mut self, origin: &Origin, hello: &Hello, now: Duration) -> usize {
        let known = self.peers.iter().position(|peer| peer.id == origin.sender);
        let (index, event) = match known {
            Some(index) if self.peers[index].session == origin.session => return index,
            Some(index) => {
                self.peers[index].restart(origin.session, hello.clone());
                let peer = self.peers[index].name();
                (index, Event::PeerRestarted { peer })
            }
            None => {
                let leaf_bits = self.settings.leaf_bits;
                let peer = Peer::new(origin.sender, origin.session, hello.clone(), leaf_bits, now);
                let event = Event::PeerFound { peer: peer.name() };
                // The opener remembers no more senders than there may be peers, but forgets other ones.
                if self.peers.len() >= super::MAX_PEERS {
                    let longest_silent = (0..self.peers.len()).min_by_key(|&index| self.peers[index].heard);
                    self.peers.swap_remove(longest_silent.unwrap_or(0));
                }
                self.peers.push(peer);
                (self.peers.len() - 1, event)
            }
        };
        tell(&mut self.events, event);
        if self.peers[index].version.is_none() {
            let event = Event::PeerIncompatible {
                peer: self.peers[index].name(),
                versions: (hello.oldest_version, hello.newest_version),
            };
            tell(&mut self.events, event);
        } else if self.phase == Phase::InSync && known.is_none() && hello.phase == Phase::InSync {
            // Two who were alone find each other; one who has just started will ask by itself.
            self.must_join(now);
        }
        self.hello_soon(now);
        index
    }

    /// Where store or services differ, tells the other its own.
    fn tell_what_differs(&mut self, index: usize, replica: &impl Replica, now: Duration) {
        let store = self.store.digest(self.clock.at(now));
        let services = digest_of(replica.services());
        let peer = &mut self.peers[index];
        let to = To::Peer(peer.id);
        peer.store_differs = if peer.hello.store == store {
            0
        } else {
            peer.store_differs.saturating_add(1)
        };
        let tells_store = peer.store_differs >= STORE_PATIENCE && Self::is_time(peer.told_store, now);
        let tells_services = peer.hello.services != services && Self::is_time(peer.told_services, now);
        if tells_store {
            peer.told_store = Some(now);
        }
        if tells_services {
            peer.told_services = Some(now);
        }
        if tells_store {
            self.send_store(to, now);
        }
        if tells_services {
            self.send_services(to, replica, now);
        }
    }

    fn hear_updates(
        &mut self,
        index: usize,
        number: u64,
        block: &Block<'_>,
        clock: u64,
        replica: &mut impl Replica,
        now: Duration,
    ) {
        let moment = self.moment(clock, now);
        let peer = &mut self.peers[index];
        let arrival = peer.incoming.arrived(number, now);
        if arrival == Arrival::Known {
            return;
        }
        peer.updates += 1;
        peer.records += block.len() as u64;
        if arrival == Arrival::InOrder {
            let late = (moment.now - moment.sent) as f64;
            peer.lag_ms += (late - peer.lag_ms) * LAG_WEIGHT;
        }
        self.counters.updated += replica.apply(block, Source::Update, moment);
    }

    fn hear_nack(&mut self, nack: &Nack, now: Duration) {
        if nack.sender == self.own {
            if nack.salt == self.settings.session.salt {
                self.outgoing.want(&nack.missing, now);
            }
            return;
        }
        let is_its = |peer: &&mut Peer| peer.id == nack.sender && peer.session.salt == nack.salt;
        if let Some(peer) = self.peers.iter_mut().find(is_its) {
            peer.incoming.overheard(&nack.missing, now);
        }
    }

    fn hear_digests(
        &mut self,
        index: usize,
        digests: &Digests<'_>,
        replica: &mut impl Replica,
        now: Duration,
    ) {
        let own: Option<OwnSurvey<'_>> = self.own_survey(replica);
        let own_id = own.as_ref().map(|own| own.survey);
        let survey_count = self.surveys.count;
        let repair = &mut self.peers[index].repair;
        if digests.of_leaves {
            if let Some(own) = &own {
                repair.leaves(digests, own, survey_count, now);
            }
            return;
        }
        repair.branches(digests, own.as_ref(), now);
        // A survey whose call was lost.
        let is_missed = own_id.is_none_or(|own| digests.survey > own) && self.surveys.is_news(digests.survey);
        if is_missed && self.surveys.running.is_none() {
            self.begin_survey(digests.survey, replica);
        }
    }

    fn hear_store(&mut self, items: &[StoreItem<'_>], now: Duration) {
        let now_ms = self.clock.at(now);
        for item in items {
            let word = Word {
                stamp: item.stamp,
                author: item.author.0,
                value: item.value.map(str::to_owned),
            };
            if let Some(Outcome::Taken(_)) = self.store.merge(item.key, word.clone(), now_ms) {
                self.said.insert(item.key.to_owned(), word);
            }
        }
    }
}
