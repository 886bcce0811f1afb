//! What a node sends, and when.

use std::time::Duration;

use lb_common::wire::{
    seal::HEADER,
    sync::{Ack, Hello, Nack, OLDEST_VERSION, SurveyId, VERSION, write},
};

use super::{
    Node, Replica, To,
    peer::Peer,
    repair::{OwnSurvey, Question, branches},
    settings::{BULK_BURST, HELLO, HOLD, TAIL, TELL_ALL},
    survey::digest_of,
};
use crate::core::seal::OVERHEAD;

/// What competes for the network.
#[derive(Debug, Clone, Copy)]
enum Lane {
    Updates,
    Repetitions,
    Questions,
    Content,
}

const LANES: [Lane; 4] = [Lane::Updates, Lane::Repetitions, Lane::Questions, Lane::Content];

impl Node {
    /// Puts the next datagram into `datagram` and says where it goes; `None` while there is nothing to send.
    pub fn poll_output(
        &mut self,
        replica: &mut impl Replica,
        now: Duration,
        datagram: &mut Vec<u8>,
    ) -> Option<To> {
        datagram.clear();
        datagram.resize(HEADER, 0);
        let to = self.next_message(replica, now, datagram)?;
        self.sealer.seal(datagram);
        self.counters.sent += 1;
        self.counters.sent_bytes += datagram.len() as u64;
        Some(to)
    }

    fn next_message(
        &mut self,
        replica: &mut impl Replica,
        now: Duration,
        datagram: &mut Vec<u8>,
    ) -> Option<To> {
        if now >= self.hello_at || self.tail_at.is_some_and(|at| now >= at) {
            self.write_hello(replica, now, datagram);
            return Some(To::Group);
        }
        if let Some((to, message)) = self.waiting.pop_front() {
            datagram.extend_from_slice(&message);
            return Some(to);
        }
        if let Some(nack) = self.nack(now) {
            write::nack(&nack, self.clock.at(now), datagram);
            return Some(To::Group);
        }
        for _ in LANES {
            let lane = LANES[usize::from(self.turn) % LANES.len()];
            self.turn = self.turn.wrapping_add(1);
            let to = match lane {
                Lane::Updates => self.write_updates(replica, now, datagram),
                Lane::Repetitions => self.repeat(now, datagram),
                Lane::Questions => self.write_question(now, datagram),
                Lane::Content => self.write_content(replica, now, datagram),
            };
            if to.is_some() {
                return to;
            }
        }
        self.note_silence();
        None
    }

    fn write_hello(&mut self, replica: &impl Replica, now: Duration, to: &mut Vec<u8>) {
        let (done, wanted) = self
            .peers
            .iter()
            .filter(|peer| peer.is_with_us())
            .map(|peer| peer.repair.progress())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let acks = self.peers.iter().map(|peer| Ack {
            peer: peer.id,
            salt: peer.session.salt,
            position: peer.incoming.position(),
            lost: peer.incoming.lost().try_into().unwrap_or(u32::MAX),
        });
        let hello = Hello {
            oldest_version: OLDEST_VERSION,
            newest_version: VERSION,
            phase: self.phase,
            answer_wanted: self.barrier.is_some(),
            leaf_bits: self.settings.leaf_bits,
            joined: (done * 1000).checked_div(wanted).unwrap_or(1000) as u16,
            next: self.outgoing.next(),
            oldest: self.outgoing.oldest(),
            flows: replica.flows(),
            store: self.store.digest(self.clock.at(now)),
            services: digest_of(replica.services()),
            config: self.config_digest,
            name: self.settings.name.clone(),
            greeting: self.opener.greeting(),
            acks: acks.collect(),
        };
        write::hello(&hello, self.clock.at(now), to);
        self.last_hello = Some(now);
        // Those who wait for answers ask again soon.
        self.hello_at = now + if self.barrier.is_some() { HELLO / 25 } else { HELLO };
        self.tail_at = None;
    }

    /// The updates of one other director that are missing and whose time has come.
    fn nack(&mut self, now: Duration) -> Option<Nack> {
        self.peers
            .iter_mut()
            .filter(|peer| peer.is_with_us())
            .find_map(|peer| {
                let missing = peer.incoming.due(now);
                (!missing.is_empty()).then_some(Nack {
                    sender: peer.id,
                    salt: peer.session.salt,
                    missing,
                })
            })
    }

    fn write_updates(&mut self, replica: &mut impl Replica, now: Duration, to: &mut Vec<u8>) -> Option<To> {
        let now_ms = self.clock.at(now);
        self.speak_to_all();
        let is_full = replica.collect(&mut self.batch, now_ms);
        if self.batch.is_empty() {
            return None;
        }
        if !self.is_in_company() {
            // Whoever comes finds it by a survey.
            self.batch.clear();
            self.batch_since = None;
            return None;
        }
        let since = *self.batch_since.get_or_insert(now);
        if !is_full && now.saturating_sub(since) < HOLD {
            return None;
        }
        let start = to.len();
        write::updates(self.outgoing.next(), &self.batch, now_ms, to);
        self.outgoing.push(&to[start..], now);
        self.counters.updates_sent += 1;
        self.counters.records_sent += self.batch.len() as u64;
        self.batch.clear();
        self.batch_since = None;
        self.tail_at = Some(now + TAIL);
        Some(To::Group)
    }

    /// Has updates written in the newest version that all understand.
    fn speak_to_all(&mut self) {
        // Whoever is silent for a while understands what he understood.
        let Some(version) = self.company().filter_map(|peer| peer.version).min() else {
            return;
        };
        if self.batch.is_empty() && version != self.batch.understood() {
            if version < self.batch.understood() {
                // Somebody does not understand what was said before; a survey tells.
                self.outgoing.forget();
            }
            self.batch.clear_for(version);
        }
    }

    fn repeat(&mut self, now: Duration, to: &mut Vec<u8>) -> Option<To> {
        to.extend_from_slice(self.outgoing.repeat(now)?);
        self.counters.repeated += 1;
        Some(To::Group)
    }

    fn write_question(&mut self, now: Duration, to: &mut Vec<u8>) -> Option<To> {
        let clock = self.clock.at(now);
        let mut company = self.peers.iter_mut().filter(|peer| peer.is_with_us());
        let (peer, question) =
            company.find_map(|peer| peer.repair.question(now).map(|question| (peer.id, question)))?;
        match question {
            Question::Digests(survey, branches) => write::wanted_digests(survey, &branches, clock, to),
            Question::Leaves(leaves) => write::wanted_leaves(&leaves, clock, to),
        }
        Some(To::Peer(peer))
    }

    fn write_content(&mut self, replica: &mut impl Replica, now: Duration, to: &mut Vec<u8>) -> Option<To> {
        // The places in the leaves are being looked up anew.
        if self.surveys.running.is_some() || self.surveys.done.is_none() {
            return None;
        }
        self.fill_tokens(now);
        if self.bulk_tokens < self.settings.datagram as u64 {
            return None;
        }
        let now_ms = self.clock.at(now);
        let start = to.len();
        let count = self.peers.len();
        let first = usize::from(self.turn) / 4;
        for index in 0..count {
            let peer = &mut self.peers[(first + index) % count];
            if !peer.is_with_us() || peer.serve.is_idle() {
                continue;
            }
            self.content.clear_for(peer.version.unwrap_or(OLDEST_VERSION));
            if let Some(part) = peer.serve.answer(replica, &mut self.content, now_ms) {
                write::contents(part, &self.content, now_ms, to);
                self.counters.bulk_records_sent += self.content.len() as u64;
                self.bulk_tokens -= (to.len() - start) as u64;
                return Some(To::Peer(peer.id));
            }
        }
        None
    }

    fn fill_tokens(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.bulk_filled);
        let earned = passed.as_micros() * u128::from(self.settings.bulk_rate) / 1_000_000;
        if earned > 0 {
            self.bulk_filled = now;
            let earned = u64::try_from(earned).unwrap_or(u64::MAX);
            self.bulk_tokens = self.bulk_tokens.saturating_add(earned).min(BULK_BURST);
        }
    }

    /// The digests of the last survey's branches.
    pub(super) fn send_branches(&mut self, to: To, replica: &impl Replica, now: Duration) {
        let Some(own) = self.own_survey(replica) else {
            return;
        };
        let digests: Vec<_> = (0..branches(self.settings.leaf_bits))
            .map(|branch| own.branch(branch))
            .collect();
        self.send_digests(to, &own, false, 0, &digests, now);
    }

    /// The digests of the leaves below a branch.
    pub(super) fn send_leaves(
        &mut self,
        to: To,
        survey: SurveyId,
        wanted: &[u16],
        replica: &impl Replica,
        now: Duration,
    ) {
        let Some(own) = self.own_survey(replica).filter(|own| own.survey == survey) else {
            return;
        };
        let below = own.leaves.len() / branches(self.settings.leaf_bits);
        for &branch in wanted {
            let first = usize::from(branch) * below;
            if let Some(leaves) = own.leaves.get(first..first + below) {
                self.send_digests(to, &own, true, first, leaves, now);
            }
        }
    }

    fn send_digests(
        &mut self,
        to: To,
        own: &OwnSurvey<'_>,
        of_leaves: bool,
        first: usize,
        digests: &[lb_common::wire::sync::Digest],
        now: Duration,
    ) {
        let clock = self.clock.at(now);
        let room = self.room() - write::DIGESTS_OVERHEAD;
        let most = room / write::DIGEST_LENGTH;
        for (index, chunk) in digests.chunks(most).enumerate() {
            let range = write::DigestRange {
                survey: own.survey,
                scope: own.scope,
                of_leaves,
                first: (first + index * most) as u16,
            };
            self.send(to, |payload| {
                write::digests(range, chunk.iter().copied(), clock, payload);
            });
        }
    }

    /// All orders and verdicts, to one other director.
    pub(super) fn send_store(&mut self, to: To, now: Duration) {
        let (clock, room) = (self.clock.at(now), self.room());
        let mut messages = Vec::new();
        let mut chunk = Vec::new();
        let mut length = write::STORE_OVERHEAD;
        for item in self.store.items(clock) {
            if length + item.length() > room || chunk.len() == usize::from(u16::MAX) {
                let mut payload = Vec::new();
                write::store(chunk.drain(..), clock, &mut payload);
                messages.push(payload);
                length = write::STORE_OVERHEAD;
            }
            length += item.length();
            chunk.push(item);
        }
        let mut payload = Vec::new();
        write::store(chunk.into_iter(), clock, &mut payload);
        messages.push(payload);
        for message in messages {
            self.send(to, |payload| *payload = message);
        }
    }

    /// All services, to one other director.
    pub(super) fn send_services(&mut self, to: To, replica: &impl Replica, now: Duration) {
        let clock = self.clock.at(now);
        let most = (self.room() - lb_common::wire::sync::HEAD) / 8;
        // What does not fit is not compared: a cluster has far fewer services.
        let services = replica.services().iter().map(|service| service.0).take(most);
        self.send(to, |payload| write::services(services, clock, payload));
    }

    /// The longest payload, in bytes.
    fn room(&self) -> usize {
        self.settings.datagram - OVERHEAD
    }

    /// Whether it is time to tell all of something again.
    pub(super) fn is_time(told: Option<Duration>, now: Duration) -> bool {
        told.is_none_or(|told| now.saturating_sub(told) >= TELL_ALL)
    }

    /// When there will be something to do; it may be in the past.
    #[must_use]
    pub fn next_deadline(&self, now: Duration) -> Duration {
        if !self.waiting.is_empty() || self.surveys.running.is_some() {
            return now;
        }
        let now_ms = self.clock.at(now);
        let survey = Duration::from_millis(self.surveys.until_periodic(now_ms));
        let mut next = self.hello_at.min(now + survey);
        if let Some(tail) = self.tail_at {
            next = next.min(tail);
        }
        if let Some(since) = self.batch_since {
            next = next.min(since + HOLD);
        }
        for peer in self.peers.iter().filter(|peer| peer.is_with_us()) {
            let questions = peer.repair.next_question();
            for due in [peer.incoming.next_due(), questions].into_iter().flatten() {
                next = next.min(due);
            }
            if !peer.serve.is_idle() && self.surveys.done.is_some() {
                next = next.min(now + self.until_content());
            }
        }
        next
    }

    /// How long it takes to earn the next answer.
    fn until_content(&self) -> Duration {
        let missing = (self.settings.datagram as u64).saturating_sub(self.bulk_tokens);
        Duration::from_micros(missing * 1_000_000 / self.settings.bulk_rate.max(1))
    }

    /// Peers that are with us.
    pub(super) fn company(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| peer.is_with_us())
    }
}
