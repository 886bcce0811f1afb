//! Two or three directors on a good network, and single datagrams.

mod telling;

use std::{collections::VecDeque, time::Duration};

use lb_common::{
    flow_state::FlowState,
    hash::Seed,
    packet::{FlowKey, FlowKey4},
    wire::{
        seal::{HEADER, Session},
        sync::{Body, Hello, Message, Phase, Refusal, SurveyId, VERSION, write},
    },
};
use proptest::prelude::*;

use super::{
    Compared, Event, Mended, Node, Rejected, Replica as _, To,
    simulator::director::{Clocks, Director, Packet, backend, keyring},
};
use crate::core::seal::{Channel, Opener, Sealer};

const STEP: Duration = Duration::from_millis(1);

fn key(n: u32) -> FlowKey4 {
    FlowKey4::new(n, 0x0A00_0001, 80 << 16 | n, 6)
}

/// Directors on a network that loses what it is told to.
struct Link {
    directors: Vec<Director>,
    now: Duration,
    loses: fn(usize) -> bool,
    carried: usize,
    /// What was said last.
    said: VecDeque<Vec<u8>>,
}

impl Link {
    fn new(count: usize) -> Self {
        let director = |index: usize| {
            let clocks = Clocks {
                monotonic: Duration::from_secs(1_000 * index as u64),
                wall_ms: 1_790_000_000_000,
                jiffies: (1 << 32) - 75_000 + 9_000 * index as u64,
            };
            let seed =
                [3, 1, 4, 1, 5, 9].map(|word: u64| ((word + index as u64) << 40) | (0x9E37_79B9 * word));
            Director::new(index, clocks, Seed::new(seed))
        };
        Self {
            directors: (0..count).map(director).collect(),
            now: Duration::ZERO,
            loses: |_| false,
            carried: 0,
            said: VecDeque::new(),
        }
    }

    fn start(&mut self, index: usize) {
        self.directors[index].start(self.now, 4096);
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.now += STEP;
            for index in 0..self.directors.len() {
                for (to, datagram) in self.directors[index].work(self.now) {
                    self.carried += 1;
                    self.said.truncate(20);
                    self.said.push_front(datagram.clone());
                    if (self.loses)(self.carried) {
                        continue;
                    }
                    for other in 0..self.directors.len() {
                        let is_for_it = match to {
                            To::Group => other != index,
                            To::Peer(id) => self.directors[other].id() == id,
                        };
                        if is_for_it {
                            self.directors[other].hear(&mut datagram.clone(), self.now);
                        }
                    }
                }
            }
        }
    }

    fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let patience = self.now + Duration::from_secs(30);
        while !done(self) {
            assert!(self.now < patience, "in vain: {what}");
            self.run(10 * STEP);
        }
    }

    fn node(&self, index: usize) -> &Node {
        &self.directors[index].daemon.as_ref().expect("it runs").0
    }

    fn is_in_sync(&self, index: usize) -> bool {
        self.node(index).phase() == Phase::InSync
            && self.node(index).view(self.now).peers.len() + 1 == self.directors.len()
    }

    fn open(&mut self, index: usize, flows: std::ops::Range<u32>) {
        for n in flows {
            self.directors[index].packet(&key(n), Packet::Open, (n % 3) as u8, self.now);
        }
    }

    fn are_equal(&self) -> bool {
        let first = self.directors[0].flows(self.now);
        self.directors
            .iter()
            .all(|director| director.flows(self.now) == first)
    }
}

fn pair() -> Link {
    let mut link = Link::new(2);
    link.start(0);
    link.start(1);
    link.run_until("both in sync", |link| link.is_in_sync(0) && link.is_in_sync(1));
    link
}

#[test]
fn what_begins_on_one_is_on_the_other_within_milliseconds() {
    let mut link = pair();
    link.open(0, 0..100);
    link.run(5 * STEP);
    assert!(link.are_equal());
    assert_eq!(link.directors[1].flows(link.now).len(), 100);
    let flow = link.directors[0].packet(&key(7), Packet::Fin, 0, link.now);
    assert_eq!(flow.state, FlowState::FinWait);
    link.run(5 * STEP);
    assert_eq!(
        link.directors[1].flows(link.now)[&key(7).words].state,
        FlowState::FinWait
    );
    let counters = link.node(0).counters();
    assert_eq!((counters.records_sent, counters.repeated), (101, 0));
    assert_eq!(link.node(1).counters().updated.new, 100);
}

#[test]
fn who_joins_fetches_everything_and_only_then_says_that_it_is_in_sync() {
    let mut link = Link::new(2);
    link.start(0);
    link.run(Duration::from_secs(2));
    assert_eq!(link.node(0).phase(), Phase::InSync, "alone, it waits for nobody");
    link.open(0, 0..250);
    link.run(Duration::from_secs(2));
    assert_eq!(link.node(0).counters().records_sent, 0, "nobody listens");
    link.start(1);
    link.run_until("the second in sync", |link| link.is_in_sync(1));
    assert!(link.are_equal());
    assert_eq!(link.node(1).counters().repaired.new, 250);
    assert_eq!(link.node(0).counters().bulk_records_sent, 250);
    assert!(link.now < Duration::from_secs(6), "{:?}", link.now);
}

/// A change of the last second is in no survey yet, and was told while nobody listened.
#[test]
fn who_joins_right_behind_a_change_is_not_in_sync_without_it() {
    for before in [0, 1, 20, 300, 900, 999, 1_000, 1_100] {
        // One in four, in no order that could be that of questions and answers.
        for loses in [
            |_| false,
            |number: usize| number.wrapping_mul(0x9E37_79B9) >> 13 & 3 == 0,
        ] {
            let mut link = Link::new(2);
            link.loses = loses;
            link.start(0);
            link.run(Duration::from_secs(3));
            link.open(0, 0..50);
            link.directors[0].packet(&key(7), Packet::Fin, 0, link.now);
            link.run(before * STEP);
            link.start(1);
            link.run_until("the second in sync", |link| link.is_in_sync(1));
            assert!(link.are_equal(), "{before} ms before");
            assert!(link.now < Duration::from_secs(15), "{:?}", link.now);
        }
    }
}

#[test]
fn a_daemon_that_comes_back_to_its_tables_fetches_only_what_differs() {
    let mut link = pair();
    link.open(0, 0..250);
    link.run(Duration::from_secs(2));
    link.directors[1].kill();
    link.open(0, 250..260);
    link.run(Duration::from_secs(5));
    link.start(1);
    link.run_until("both the same", |link| link.is_in_sync(1) && link.are_equal());
    let served = link.node(0).counters().bulk_records_sent;
    // Ten flows, and those that share their leaves.
    assert!(served < 100, "{served}");
    // Some by updates that are repeated to who comes, the rest by comparing.
    let counters = link.node(1).counters();
    assert_eq!(counters.updated.new + counters.repaired.new, 10);
}

#[test]
fn what_the_network_loses_is_repeated() {
    let mut link = pair();
    link.loses = |number| number.is_multiple_of(4);
    for round in 0..40 {
        link.open(0, round * 5..round * 5 + 5);
        link.run(8 * STEP);
    }
    link.loses = |_| false;
    link.run(Duration::from_millis(300));
    assert!(link.are_equal());
    assert!(link.node(0).counters().repeated > 0);
    let peers = link.node(1).view(link.now).peers;
    assert_eq!((peers[0].lost, peers[0].missing), (0, 0));
    assert_eq!(link.node(1).counters().repaired.new, 0, "no survey was needed");
}

#[test]
fn a_network_that_takes_nothing_makes_nobody_forget_or_grow() {
    let mut link = pair();
    link.loses = |_| true;
    for round in 0..25 {
        link.open(0, round * 10..round * 10 + 10);
        link.run(400 * STEP);
    }
    link.loses = |_| false;
    link.run_until("both the same", |link| {
        link.are_equal() && link.is_in_sync(0) && link.is_in_sync(1)
    });
    assert_eq!(link.directors[1].flows(link.now).len(), 250);
}

#[test]
fn a_backend_without_a_number_is_asked_for_and_its_flows_wait() {
    let mut link = pair();
    link.directors[0].add_backend(backend(9), link.now);
    for n in 0..20 {
        link.directors[0].packet(&key(n), Packet::Open, 9, link.now);
    }
    link.run(10 * STEP);
    assert!(link.are_equal());
    assert_eq!(
        link.directors[1].flows(link.now)[&key(3).words].backend,
        backend(9)
    );
    let waited = link.node(1).counters().updated.waiting;
    assert!(waited >= 10, "the first datagrams knew no better: {waited}");
}

#[test]
fn a_flow_that_is_removed_by_order_is_gone_everywhere_and_does_not_come_back() {
    let mut link = Link::new(3);
    (0..3).for_each(|index| link.start(index));
    link.run_until("all in sync", |link| (0..3).all(|index| link.is_in_sync(index)));
    link.open(0, 0..30);
    link.run(20 * STEP);
    // One does not hear of it.
    link.directors[2].kill();
    assert!(link.directors[0].remove(&FlowKey::from(key(5)), link.now));
    link.run(20 * STEP);
    assert!(!link.directors[1].flows(link.now).contains_key(&key(5).words));
    link.start(2);
    link.run(Duration::from_secs(9));
    assert!(!link.directors[0].flows(link.now).contains_key(&key(5).words));
    assert!(!link.directors[1].flows(link.now).contains_key(&key(5).words));
}

/// Two connections that directors gave the same port of the pool, while they did not hear each other.
#[test]
fn of_two_flows_with_the_same_replies_the_later_one_counts_for_all() {
    // Of the same share and backend, these begin their search for a port at the same one.
    let (earlier, later) = (key(2), key(2 + 3 * 256));
    for apart in [500, 0] {
        let mut link = pair();
        link.directors[1].share_with(0);
        link.loses = |_| true;
        let first = link.directors[0].packet(&earlier, Packet::Open, 1, link.now);
        link.run(apart * STEP);
        let second = link.directors[1].packet(&later, Packet::Open, 1, link.now);
        assert_eq!((first.backend, first.reply), (second.backend, second.reply));
        assert!(first.reply.is_some_and(|(_, port)| port != 0));
        link.loses = |_| false;
        link.run(Duration::from_secs(13));
        assert!(link.are_equal());
        let flows = link.directors[0].flows(link.now);
        assert_eq!(flows.len(), 1, "{flows:?}");
        if apart > 0 {
            assert_eq!(flows.get(&later.words), Some(&second));
        }
    }
}

#[test]
fn flows_of_a_backend_that_are_ended_do_not_come_back_from_others() {
    let mut link = pair();
    link.open(0, 0..60);
    link.run(20 * STEP);
    link.directors[1].release(backend(0), link.now);
    link.run(Duration::from_secs(9));
    let flows = link.directors[1].flows(link.now);
    assert_eq!(flows.len(), 40);
    assert!(flows.values().all(|flow| flow.backend != backend(0)));
    // The client goes on, and is sent elsewhere: for both.
    link.directors[1].packet(&key(0), Packet::Open, 1, link.now);
    link.run(20 * STEP);
    assert_eq!(
        link.directors[0].flows(link.now)[&key(0).words].backend,
        backend(1)
    );
}

#[test]
fn orders_hold_everywhere_and_the_last_one_counts() {
    let mut link = pair();
    link.directors[0].say("drain/web1", Some("a".into()), link.now);
    link.run(20 * STEP);
    assert_eq!(link.node(1).store().get("drain/web1"), Some("a"));
    // Two at once, who do not hear each other.
    link.loses = |_| true;
    link.directors[0].say("drain/web1", Some("b".into()), link.now);
    link.run(40 * STEP);
    link.directors[1].say("drain/web1", Some("c".into()), link.now);
    link.run(40 * STEP);
    link.loses = |_| false;
    link.run(Duration::from_secs(2));
    assert_eq!(link.node(0).store().get("drain/web1"), Some("c"));
    assert_eq!(link.node(1).store().get("drain/web1"), Some("c"));
    // It outlives both daemons.
    link.directors[0].kill();
    link.directors[1].kill();
    link.start(0);
    assert_eq!(link.node(0).store().get("drain/web1"), Some("c"));
}

/// What a node is told to do beside its work.
fn tell_node(link: &mut Link, director: usize, tell: impl FnOnce(&mut Node, Duration)) {
    let now = link.directors[director].local(link.now);
    let (node, _) = link.directors[director].daemon.as_mut().expect("it runs");
    tell(node, now);
}

#[test]
fn behind_a_barrier_everybody_has_everything() {
    for director in 0..2 {
        let mut link = pair();
        link.loses = |number| number.is_multiple_of(3);
        link.open(0, 0..200);
        tell_node(&mut link, director, |node, now| {
            node.begin_barrier(Duration::from_secs(5), now);
        });
        let mut crossing = None;
        while crossing.is_none() {
            link.run(STEP);
            tell_node(&mut link, director, |node, now| crossing = node.poll_barrier(now));
        }
        let crossing = crossing.expect("it ended");
        assert_eq!(
            (crossing.directors.len(), &crossing.behind[..]),
            (1, &[][..]),
            "{crossing:?}"
        );
        assert!(link.are_equal());
        assert!(crossing.took < Duration::from_secs(4), "{crossing:?}");
    }
}

#[test]
fn a_barrier_says_who_does_not_come_up_to_it() {
    let mut link = pair();
    link.open(0, 0..200);
    link.loses = |_| true;
    tell_node(&mut link, 0, |node, now| {
        node.begin_barrier(Duration::from_millis(500), now);
    });
    link.run(Duration::from_millis(600));
    let mut crossing = None;
    tell_node(&mut link, 0, |node, now| crossing = node.poll_barrier(now));
    assert_eq!(crossing.expect("its time is over").behind, ["lb1"]);
}

#[test]
fn tables_are_compared_on_demand() {
    let mut link = pair();
    link.open(0, 0..200);
    link.run(Duration::from_secs(2));
    let found = compare(&mut link, 0);
    let divergence = found.directors[0].found.expect("it answered");
    assert_eq!((divergence.compared, divergence.total()), (200, 0), "{found:?}");
    assert_eq!(found.mended, []);
}

/// What packets brought while nobody heard of it.
#[test]
fn a_comparison_says_what_differed_as_far_as_somebody_wants_to_see_it() {
    for most in [64, 2, 0] {
        let mut link = pair();
        link.open(0, 0..100);
        link.run(Duration::from_secs(2));
        link.loses = |_| true;
        link.directors[1].packet(&key(7), Packet::Fin, 0, link.now);
        link.open(1, 200..202);
        link.run(Duration::from_millis(1_500));
        link.loses = |_| false;
        // Before what was missed is asked for.
        link.directors[1].forget_history();
        let (_, replica) = link.directors[0].daemon.as_mut().expect("it runs");
        replica.list_mended(most);
        let found = compare(&mut link, 0);
        let expected = [(7, true), (200, false), (201, false)];
        let expected = expected.map(|(n, was_known)| Mended {
            flow: FlowKey::from(key(n)),
            was_known,
        });
        let mended = &found.mended;
        assert_eq!((mended.len(), found.all_mended), (most.min(3), 3), "{mended:?}");
        assert!(
            mended.iter().all(|mended| expected.contains(mended)),
            "{mended:?}"
        );
    }
}

/// Has a director compare its table with that of the other.
fn compare(link: &mut Link, director: usize) -> Compared {
    tell_node(link, director, |node, now| node.begin_comparison(now));
    loop {
        link.run(STEP);
        if let Some(found) = poll_comparison(link, director) {
            return found;
        }
    }
}

fn poll_comparison(link: &mut Link, director: usize) -> Option<Compared> {
    let now = link.directors[director].local(link.now);
    let (node, replica) = link.directors[director].daemon.as_mut().expect("it runs");
    node.poll_comparison(replica, now)
}

/// Somebody who has the key, and says what it likes.
struct Stranger {
    sealer: Sealer,
    opener: Opener,
}

impl Stranger {
    fn new(name: &str) -> Self {
        let (keyring, session) = (keyring(name, &[1]), Session { epoch: 5, salt: 77 });
        Self {
            sealer: Sealer::new(keyring.clone(), Channel::Sync, session),
            opener: Opener::new(keyring, Channel::Sync, session, &[8; 32]),
        }
    }

    fn says(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut datagram = vec![0; HEADER];
        write(&mut datagram);
        self.sealer.seal(&mut datagram);
        datagram
    }

    fn hello(&mut self, versions: (u8, u8)) -> Vec<u8> {
        let hello = Hello {
            oldest_version: versions.0,
            newest_version: versions.1,
            phase: Phase::InSync,
            answer_wanted: false,
            leaf_bits: 6,
            joined: 1000,
            next: 1,
            oldest: 1,
            flows: 0,
            store: 0,
            services: 0,
            config: 0,
            name: "stranger".into(),
            greeting: self.opener.greeting(),
            acks: Vec::new(),
        };
        self.says(|to| write::hello(&hello, 0, to))
    }

    /// Hears what the first director says, so that it can answer its challenge.
    fn listen(&mut self, link: &mut Link) {
        link.run(Duration::from_millis(300));
        for mut datagram in std::mem::take(&mut link.said).into_iter().rev() {
            if let Ok(opened) = self.opener.open(&mut datagram, link.now)
                && let Ok(message) = Message::parse(opened.payload)
                && let Body::Hello(hello) = message.body
            {
                self.opener.greeted(&opened.origin, &hello.greeting);
            }
        }
    }
}

fn receive(link: &mut Link, mut datagram: Vec<u8>) -> Result<(), Rejected> {
    let local = link.directors[0].local(link.now);
    let (node, replica) = link.directors[0].daemon.as_mut().expect("it runs");
    node.receive(&mut datagram, replica, local).map(|_| ())
}

/// A lone director, and a stranger whose session is proven.
fn acquainted(versions: (u8, u8)) -> (Link, Stranger, Result<(), Rejected>) {
    let mut link = Link::new(1);
    link.start(0);
    let mut stranger = Stranger::new("stranger");
    let mut said = Err(Rejected::Message(Refusal::Unproven));
    for _ in 0..3 {
        stranger.listen(&mut link);
        let hello = stranger.hello(versions);
        said = receive(&mut link, hello);
    }
    (link, stranger, said)
}

#[test]
fn who_is_not_proven_is_not_obeyed() {
    let mut link = Link::new(1);
    link.start(0);
    let mut stranger = Stranger::new("stranger");
    let unproven = Err(Rejected::Message(Refusal::Unproven));
    let hello = stranger.hello((1, 1));
    assert_eq!(receive(&mut link, hello), unproven);
    let survey = stranger.says(|to| write::survey(SurveyId(u64::MAX), 0, to));
    assert_eq!(receive(&mut link, survey), unproven);
    assert!(link.node(0).view(link.now).peers.is_empty());
    assert_eq!(link.node(0).counters().refused(Refusal::Unproven), 2);
}

#[test]
fn who_speaks_no_common_version_is_named_and_left_alone() {
    let (mut link, mut stranger, said) = acquainted((7, 9));
    assert_eq!(said, Ok(()));
    let local = link.directors[0].local(link.now);
    let view = link.node(0).view(local);
    assert_eq!((view.peers[0].version, view.peers[0].with_us), (None, false));
    let survey = stranger.says(|to| write::survey(SurveyId(7), 0, to));
    assert_eq!(
        receive(&mut link, survey),
        Err(Rejected::Message(Refusal::OtherVersion))
    );
    let events = &link.directors[0].events;
    let is_named = |event: &Event| matches!(event, Event::PeerIncompatible { peer, versions: (7, 9) } if peer == "stranger");
    assert!(events.iter().any(is_named), "{events:?}");
}

#[test]
fn a_newer_one_is_spoken_to_in_the_common_version() {
    let (link, _, said) = acquainted((1, 9));
    assert_eq!(said, Ok(()));
    let local = link.directors[0].local(link.now);
    assert_eq!(link.node(0).view(local).peers[0].version, Some(VERSION));
}

#[test]
fn an_older_one_hears_nothing_that_it_does_not_understand() {
    for (newest, expected) in [(1, 1), (2, 2), (9, 2)] {
        let (mut link, mut stranger, _) = acquainted((1, newest));
        // Every third one is sent on as it is: targets that differ in nothing but the backend.
        for n in 0..30 {
            link.directors[0].packet(&key(3 * n), Packet::Open, (n % 3) as u8, link.now);
        }
        link.run(5 * STEP);
        let mut updates = 0;
        for mut datagram in std::mem::take(&mut link.said) {
            let opened = stranger
                .opener
                .open(&mut datagram, link.now)
                .expect("it is sealed");
            let message = Message::parse(opened.payload).expect("it is well formed");
            let is_update = matches!(message.body, Body::Updates { .. });
            assert_eq!(opened.payload[1], if is_update { expected } else { 1 });
            updates += usize::from(is_update);
        }
        assert!(updates > 0);
    }
}

#[test]
fn a_clock_out_of_all_bounds_is_not_followed() {
    let (mut link, mut stranger, _) = acquainted((1, 1));
    let before = link.node(0).cluster_ms(Duration::ZERO);
    let survey = stranger.says(|to| write::survey(SurveyId(7), u64::MAX, to));
    assert_eq!(
        receive(&mut link, survey),
        Err(Rejected::Message(Refusal::ClockAhead))
    );
    assert_eq!(link.node(0).cluster_ms(Duration::ZERO), before);
}

proptest! {
    /// Somebody with the key says any bytes at all: nothing panics, and what is kept is bounded.
    #[test]
    fn no_bytes_of_a_proven_peer_make_it_panic(
        payloads in prop::collection::vec((0..12_u8, prop::collection::vec(any::<u8>(), 0..200)), 1..20),
    ) {
        let (mut link, mut stranger, said) = acquainted((1, 1));
        prop_assert_eq!(said, Ok(()));
        for (kind, bytes) in payloads {
            let datagram = stranger.says(|to| {
                to.extend_from_slice(&[kind, 1, 0, 0, 0, 0, 1]);
                to.extend_from_slice(&bytes);
            });
            let _ = receive(&mut link, datagram);
            link.run(2 * STEP);
        }
        link.run(Duration::from_millis(100));
    }
}
