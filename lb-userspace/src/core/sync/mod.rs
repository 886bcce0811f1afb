//! Connection sync: each director of a cluster tells the others what changes in its flow tables, repeats what did not
//! arrive, and finds by digests whatever else differs. Orders and verdicts travel with it.
//!
//! A [`Node`] is one director's part. [`Node::receive`] takes in datagrams, [`Node::work`] looks at the own tables and at
//! the clock, [`Node::poll_output`] gives out datagrams for as long as the network takes them,
//! [`Node::next_deadline`] says when to come back. The connections themselves are behind [`Replica`].
//!
//! # How connections stay the same everywhere
//! - **Updates** are numbered datagrams. Receivers take them in as they come, in whatever order: each record carries
//!   the moment of the connection's last change, and the later word counts. So a repetition, a copy or a
//!   late one does no harm.
//! - **Missing** numbers are asked for; the sender keeps a bounded history.
//! - **Surveys** are taken by all directors at the same moments. They compare digests of their tables, branch by branch
//!   and leaf by leaf, and fetch the content of the leaves that differ. A director that joins does just that, with nearly
//!   every leaf; a daemon that was restarted finds nearly none.
//! - **Back-pressure** is there from the start: a datagram is put together when the network takes it. What the journal of
//!   changes loses meanwhile, the next survey finds; and the network's time is divided evenly among updates, repetitions
//!   and content of leaves.
//!
//! # Architecture invariants
//! - Nothing that another director says is done unless its session is proven ([`seal`](super::seal)).
//! - What is kept of others is bounded: [`MAX_PEERS`] directors, a history, sets of leaves, and queues with a limit.

mod barrier;
mod bitmap;
mod clock;
mod counters;
mod event;
pub mod flows;
mod incoming;
mod outgoing;
mod peer;
mod receive;
mod repair;
mod replica;
mod serve;
mod settings;
#[cfg(test)]
mod simulator;
mod store;
mod survey;
#[cfg(test)]
mod tests;
mod transmit;
mod verify;
mod view;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use lb_common::wire::{
    seal::{Channel, NodeId},
    sync::{BlockBuilder, Phase, SurveyId, write},
};

pub use lb_common::wire::sync::MAX_PEERS;

use self::{
    barrier::Barrier,
    clock::ClusterClock,
    outgoing::Outgoing,
    peer::{Peer, SILENT_AFTER},
    repair::OwnSurvey,
    settings::{COARSENESS_MS, JOIN_AGAIN, LOOK_AROUND, MOST_EVENTS, MOST_WAITING, UNSETTLED_MS},
    survey::Surveys,
};
pub use self::{
    barrier::Crossing,
    counters::Counters,
    event::Event,
    receive::Rejected,
    repair::{Divergence, Standing},
    replica::{Applied, Mended, Moment, Place, Replica, Source},
    settings::{HISTORY, LEAF_BITS, LEAST_DATAGRAM, Settings},
    store::{MAX_ITEMS, Outcome, Store, Unsayable, Word},
    survey::service_id,
    verify::{Compared, Comparison},
    view::{NodeView, PeerView},
};
use super::seal::{Keyring, OVERHEAD, Opener, Sealer};

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To all directors of the cluster.
    Group,
    /// To this one alone.
    Peer(NodeId),
}

/// One director's part in the sync of a cluster.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    own: NodeId,
    sealer: Sealer,
    opener: Opener,
    clock: ClusterClock,
    peers: Vec<Peer>,
    outgoing: Outgoing,
    /// Updates that wait for their datagram to be full, and since when.
    batch: BlockBuilder,
    batch_since: Option<Duration>,
    /// For the content of leaves.
    content: BlockBuilder,
    waiting: VecDeque<(To, Vec<u8>)>,
    hello_at: Duration,
    last_hello: Option<Duration>,
    /// When a hello is to say that the last update was the last.
    tail_at: Option<Duration>,
    barrier: Option<Barrier>,
    /// A comparison that somebody waits for.
    wanted: Option<verify::Wanted>,
    surveys: Surveys,
    phase: Phase,
    began: Duration,
    /// When this director began to fetch what the others have.
    join: Duration,
    store: Store,
    /// What others said that nobody has asked for yet.
    said: BTreeMap<String, Word>,
    config_digest: u64,
    bulk_tokens: u64,
    bulk_filled: Duration,
    turn: u8,
    counters: Counters,
    events: VecDeque<Event>,
}

impl Node {
    /// A node that begins to look for others at `now`. `wall_ms` is the wall clock's time in milliseconds since 1970;
    /// it is asked once.
    #[must_use]
    pub fn new(settings: Settings, store: Store, wall_ms: u64, now: Duration) -> Self {
        let keyring = &settings.keyring;
        let session = settings.session;
        let block = |overhead: usize| {
            let payload = settings.datagram - OVERHEAD;
            BlockBuilder::new(payload - overhead)
        };
        Self {
            own: keyring.own(),
            sealer: Sealer::new(Arc::clone(keyring), Channel::Sync, session),
            opener: Opener::new(Arc::clone(keyring), Channel::Sync, session, &settings.secret),
            clock: ClusterClock::new(wall_ms.max(store.latest()), now),
            peers: Vec::new(),
            outgoing: Outgoing::new(settings.history),
            batch: block(write::UPDATES_OVERHEAD),
            batch_since: None,
            content: block(write::CONTENTS_OVERHEAD),
            waiting: VecDeque::new(),
            hello_at: now,
            last_hello: None,
            tail_at: None,
            barrier: None,
            wanted: None,
            surveys: Surveys::default(),
            phase: Phase::Starting,
            began: now,
            join: now,
            store,
            said: BTreeMap::new(),
            config_digest: 0,
            bulk_tokens: 0,
            bulk_filled: now,
            turn: 0,
            counters: Counters::default(),
            events: VecDeque::new(),
            settings,
        }
    }

    /// Uses the keys of this keyring from now on.
    pub fn set_keyring(&mut self, keyring: &Arc<Keyring>) {
        self.sealer.set_keyring(Arc::clone(keyring));
        self.opener.set_keyring(Arc::clone(keyring));
        self.settings.keyring = Arc::clone(keyring);
    }

    /// Tells the others by this number which configuration this director has.
    pub fn set_config_digest(&mut self, digest: u64, now: Duration) {
        self.config_digest = digest;
        self.hello_soon(now);
    }

    #[cfg(test)]
    fn forget_history(&mut self) {
        self.outgoing.forget();
    }

    /// Looks at the clock and, for a moment, at the own tables.
    pub fn work(&mut self, replica: &mut impl Replica, now: Duration) {
        for peer in &mut self.peers {
            peer.rate(now);
            if !peer.silent && now.saturating_sub(peer.heard) > SILENT_AFTER {
                peer.silent = true;
                let peer = peer.name();
                tell(&mut self.events, Event::PeerSilent { peer });
            }
        }
        self.look_around(now);
        let now_ms = self.clock.at(now);
        if self.surveys.running.is_some() {
            if replica.walk(now_ms) {
                self.survey_done(replica, now);
            }
        } else if self.is_in_company()
            && let Some(survey) = self.surveys.periodic(now_ms)
        {
            self.begin_survey(survey, replica);
        }
        self.call_wanted_survey(replica, now);
        self.join_others(replica, now);
    }

    /// A director that finds nobody for a while is alone.
    fn look_around(&mut self, now: Duration) {
        if self.phase != Phase::Starting {
            return;
        }
        let looked = now.saturating_sub(self.began) >= LOOK_AROUND;
        if self.is_in_company() {
            self.must_join(now);
        } else if looked {
            self.enter(Phase::InSync);
        }
    }

    /// What others have may be missing here: only surveys that begin from now on will tell.
    fn must_join(&mut self, now: Duration) {
        self.join = now;
        self.surveys.called = None;
        self.enter(Phase::Joining);
    }

    fn join_others(&mut self, replica: &mut impl Replica, now: Duration) {
        if self.phase != Phase::Joining {
            return;
        }
        if !self.is_in_company() {
            return self.enter(Phase::InSync);
        }
        // The first survey fetches what is there. It leaves out what changed shortly before, which nobody told a director
        // that was not heard yet: only one that covers all up to the beginning shows that nothing is missing.
        let began = SurveyId(self.clock.at(self.join));
        let settled = SurveyId(began.0 + UNSETTLED_MS + COARSENESS_MS);
        let since = |peer: &Peer, moment| peer.repair.survey().is_some_and(|survey| survey >= moment);
        let is_compared =
            |peer: &Peer| peer.tells_us() && since(peer, settled) && peer.repair.standing() == Standing::Done;
        let is_under_way = |peer: &Peer| since(peer, began) && peer.repair.standing() == Standing::UnderWay;
        let mut company = self.peers.iter().filter(|peer| peer.is_with_us());
        if company.clone().all(is_compared) {
            self.clock.share();
            return self.enter(Phase::InSync);
        }
        let survey = SurveyId(self.clock.at(now));
        let is_idle = self.surveys.running.is_none() && !company.any(is_under_way);
        let may_call = self
            .surveys
            .called
            .is_none_or(|called| survey >= settled && now.saturating_sub(called) >= JOIN_AGAIN);
        if is_idle && may_call && self.surveys.is_news(survey) {
            self.surveys.called = Some(now);
            let clock = self.clock.at(now);
            self.send(To::Group, |payload| write::survey(survey, clock, payload));
            self.begin_survey(survey, replica);
        }
    }

    fn begin_survey(&mut self, survey: SurveyId, replica: &mut impl Replica) {
        let services = self.common_services(replica);
        self.surveys.begin(survey, survey::digest_of(&services));
        replica.begin_survey(survey, &services);
    }

    fn survey_done(&mut self, replica: &mut impl Replica, now: Duration) {
        let Some(begun) = self.surveys.complete() else {
            return;
        };
        self.counters.surveys += 1;
        self.store.tidy(self.clock.at(now));
        let own = OwnSurvey {
            survey: begun.survey,
            scope: begun.scope,
            leaves: replica.digests(),
        };
        for peer in self.peers.iter_mut().filter(|peer| peer.is_with_us()) {
            peer.mended = 0;
            peer.repair.begin(&own, now);
        }
        self.send_branches(To::Group, replica, now);
    }

    /// Services that all who are with us serve, as far as they have said.
    fn common_services(&self, replica: &impl Replica) -> Vec<lb_common::wire::sync::ServiceId> {
        let own = replica.services();
        let digest = survey::digest_of(own);
        let theirs: Vec<_> = self
            .peers
            .iter()
            .filter(|peer| peer.is_with_us() && peer.hello.services != digest)
            .filter_map(|peer| peer.services.as_deref())
            .collect();
        let is_common = |service| {
            theirs
                .iter()
                .all(|services| services.binary_search(service).is_ok())
        };
        own.iter().filter(|service| is_common(service)).copied().collect()
    }

    /// Whether there is anybody to tell.
    #[must_use]
    pub fn is_in_company(&self) -> bool {
        self.peers.iter().any(Peer::is_with_us)
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase == phase {
            return;
        }
        let event = Event::Phase {
            from: self.phase,
            to: phase,
        };
        self.phase = phase;
        tell(&mut self.events, event);
        // The others want to know.
        self.hello_at = Duration::ZERO;
    }

    fn hello_soon(&mut self, now: Duration) {
        let soonest = self.last_hello.map_or(now, |last| last + settings::SOON);
        self.hello_at = self.hello_at.min(soonest.max(now));
    }

    /// Puts a message on the list of those to be sent.
    fn send(&mut self, to: To, write: impl FnOnce(&mut Vec<u8>)) {
        if self.waiting.len() >= MOST_WAITING {
            self.counters.crowded_out += 1;
            return;
        }
        let mut payload = Vec::new();
        write(&mut payload);
        self.waiting.push_back((to, payload));
    }

    fn own_survey<'a>(&self, replica: &'a impl Replica) -> Option<OwnSurvey<'a>> {
        let begun = self.surveys.done?;
        Some(OwnSurvey {
            survey: begun.survey,
            scope: begun.scope,
            leaves: replica.digests(),
        })
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What was sent, received and refused.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What was opened, and what was not.
    #[must_use]
    pub fn seal_counters(&self) -> &super::seal::Counters {
        self.opener.counters()
    }

    /// How far this director is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The cluster's time at `now`, in milliseconds.
    #[must_use]
    pub fn cluster_ms(&self, now: Duration) -> u64 {
        self.clock.at(now)
    }

    /// Orders and verdicts.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Says something that is to hold on all directors; `None` takes it back.
    ///
    /// # Errors
    /// [`Unsayable`].
    pub fn say(&mut self, key: &str, value: Option<String>, now: Duration) -> Result<(), Unsayable> {
        let now_ms = self.clock.at(now);
        if let Outcome::Taken(_) = self.store.say(key, value, self.own, now_ms)? {
            self.tell_all(key, now);
        }
        Ok(())
    }

    /// Passes on what was said on this director, or written down by an earlier life of it; the last word counts. Whether
    /// there is room for it.
    pub fn pass_on(&mut self, key: &str, word: Word, now: Duration) -> bool {
        let outcome = self.store.merge(key, word, self.clock.at(now));
        if let Some(Outcome::Taken(_)) = outcome {
            self.tell_all(key, now);
        }
        outcome.is_some()
    }

    fn tell_all(&mut self, key: &str, now: Duration) {
        let mut payload = Vec::new();
        write::store(self.store.item(key).into_iter(), self.clock.at(now), &mut payload);
        self.send(To::Group, |to| *to = payload);
        // Its digest shows who did not get it.
        self.hello_soon(now);
    }

    /// What another director said that is the last word now; of several words on a thing, only the last.
    pub fn poll_said(&mut self) -> Option<(String, Word)> {
        self.said.pop_first()
    }

    /// The name of a director, or its number if it was not heard.
    #[must_use]
    pub fn name_of(&self, id: NodeId) -> String {
        if id == self.own {
            return self.settings.name.clone();
        }
        let peer = self.peers.iter().find(|peer| peer.id == id);
        peer.map_or_else(|| id.to_string(), Peer::name)
    }

    /// Number of the next update.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.outgoing.next()
    }
}

fn tell(events: &mut VecDeque<Event>, event: Event) {
    if events.len() >= MOST_EVENTS {
        events.pop_front();
    }
    events.push_back(event);
}
