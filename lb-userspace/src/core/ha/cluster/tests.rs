use std::time::Duration;

use lb_common::wire::heartbeat::{Beat, MAX_LENGTH, Role};

use super::*;
use crate::core::model::Medium;

const MS: Duration = Duration::from_millis(1);
const START: Duration = Duration::from_secs(1000);
const OWN: NodeId = NodeId(1);
const A: NodeId = NodeId(2);
const B: NodeId = NodeId(3);

fn cluster() -> Cluster {
    let path = |name: &str| model::Heartbeat {
        name: name.to_owned(),
        interval: 100 * MS,
        medium: Medium::multicast(name),
    };
    let settings = ClusterSettings {
        node: OWN,
        epoch: 1,
        name: "own".to_owned(),
        version: "1".to_owned(),
        config: 7,
        paths: vec![path("eth1"), path("eth2")],
    };
    let mut cluster = Cluster::new(settings, START);
    cluster.set_path(0, true, START);
    cluster.set_path(1, true, START);
    cluster
}

fn report(node: NodeId, epoch: u64, number: u64, valid: u16) -> Report {
    Report {
        node,
        epoch,
        number,
        valid,
        config: 7,
        name: Text::new(if node == A { "a" } else { "b" }),
        ..Report::default()
    }
}

/// Hears a heartbeat with these reports, of which the first is the sender's.
fn hear(
    cluster: &mut Cluster,
    path: usize,
    standing: Standing,
    reports: &[Report],
    sequence: u32,
    now: Duration,
) {
    let beat = Beat {
        interval: 100,
        sequence,
        sent: 0,
    };
    let mut buffer = [0; MAX_LENGTH];
    let length = heartbeat::emit(beat, &Greeting::new(1), &[], reports, &mut buffer).expect("it fits");
    let heartbeat = Heartbeat::parse(&buffer[..length]).expect("it was written");
    cluster.receive(path, reports[0].node, standing, &heartbeat, now);
}

fn is_alive(cluster: &Cluster, node: NodeId, now: Duration) -> bool {
    cluster.peer(node).is_some_and(|peer| peer.is_alive(now))
}

fn events(cluster: &mut Cluster, now: Duration) -> Vec<Event> {
    let mut outputs = VecDeque::new();
    let own = cluster.report(now);
    cluster.tick(&own, now, &mut outputs);
    let events = outputs.into_iter().filter_map(|output| match output {
        Output::Report(event) => Some(event),
        _ => None,
    });
    events.collect()
}

#[test]
fn a_director_lives_for_as_long_as_it_says() {
    let mut cluster = cluster();
    hear(
        &mut cluster,
        0,
        Standing::Proven,
        &[report(A, 1, 1, 350)],
        1,
        START,
    );
    assert!(is_alive(&cluster, A, START + 349 * MS));
    assert!(!is_alive(&cluster, A, START + 350 * MS));
    assert!(cluster.paths()[0].hears(A, START + 349 * MS) && !cluster.paths()[1].hears(A, START));
}

/// Two who tell each other of a third one that died do not keep it alive.
#[test]
fn what_others_repeat_prolongs_no_life() {
    let mut cluster = cluster();
    hear(
        &mut cluster,
        0,
        Standing::Proven,
        &[report(A, 1, 9, 350)],
        1,
        START,
    );
    for beat in 1..20 {
        let now = START + 100 * MS * beat;
        let reports = [report(B, 1, u64::from(beat), 350), report(A, 1, 9, 350)];
        hear(&mut cluster, 0, Standing::Proven, &reports, beat, now);
    }
    let end = START + 1900 * MS;
    assert!(is_alive(&cluster, B, end) && !is_alive(&cluster, A, end));
    // News of it do.
    let reports = [report(B, 1, 99, 350), report(A, 1, 10, 200)];
    hear(&mut cluster, 0, Standing::Proven, &reports, 20, end);
    assert!(is_alive(&cluster, A, end + 199 * MS));
}

#[test]
fn a_recording_is_not_obeyed_and_displaces_nobody() {
    let mut cluster = cluster();
    hear(
        &mut cluster,
        0,
        Standing::Claimed,
        &[report(A, 5, 1, 350)],
        1,
        START,
    );
    let peer = cluster.peer(A).expect("it is heard");
    assert!(peer.is_alive(START) && !peer.is_proven());
    hear(
        &mut cluster,
        0,
        Standing::Proven,
        &[report(A, 6, 1, 350)],
        2,
        START,
    );
    assert!(cluster.peer(A).is_some_and(Peer::is_proven));
    // Of a later life, or so it says.
    let mut forged = report(A, 9, 9, 60_000);
    forged.leaving = true;
    hear(&mut cluster, 0, Standing::Claimed, &[forged], 3, START + MS);
    hear(&mut cluster, 0, Standing::Stale, &[forged], 4, START + MS);
    let peer = cluster.peer(A).expect("it is heard");
    assert!(peer.is_proven() && !peer.report().leaving && !peer.is_alive(START + 351 * MS));
}

#[test]
fn nobody_tells_a_director_of_itself_and_strangers_are_bounded() {
    let mut cluster = cluster();
    let mut own = report(OWN, 9, 9, 60_000);
    own.leaving = true;
    hear(
        &mut cluster,
        0,
        Standing::Proven,
        &[report(A, 1, 1, 350), own],
        1,
        START,
    );
    assert!(cluster.peer(OWN).is_none());
    for node in 100..200 {
        hear(
            &mut cluster,
            0,
            Standing::Proven,
            &[report(NodeId(node), 1, 1, 350)],
            1,
            START,
        );
    }
    assert_eq!(cluster.peers().count(), MAX_PEERS);
}

#[test]
fn a_silent_path_is_told_of_and_a_dead_director_otherwise() {
    let mut cluster = cluster();
    let both = |cluster: &mut Cluster, number: u64, paths: &[usize], now| {
        for &path in paths {
            hear(
                cluster,
                path,
                Standing::Proven,
                &[report(A, 1, number, 350)],
                number as u32,
                now,
            );
        }
    };
    both(&mut cluster, 1, &[0, 1], START);
    assert!(matches!(
        events(&mut cluster, START)[..],
        [Event::PeerHeard { .. }]
    ));
    for beat in 2..10 {
        both(&mut cluster, beat, &[0], START + 100 * MS * beat as u32);
    }
    let now = START + 900 * MS;
    assert!(
        matches!(&events(&mut cluster, now)[..], [Event::PathSilent { path, director }] if path == "eth2" && director == "a")
    );
    assert!(events(&mut cluster, now).is_empty(), "once");
    both(&mut cluster, 10, &[0, 1], now);
    assert!(matches!(events(&mut cluster, now)[..], [Event::PathHeard { .. }]));
    // Both fall silent at once.
    let dead = events(&mut cluster, now + 2000 * MS);
    assert!(
        matches!(dead[..], [Event::PeerLost { leaving: false, .. }]),
        "{dead:?}"
    );
}

#[test]
fn losses_and_the_way_s_length_are_counted() {
    let mut cluster = cluster();
    for (sequence, lost) in [(1, 0), (2, 0), (5, 2), (4, 1), (6, 1)] {
        hear(
            &mut cluster,
            0,
            Standing::Proven,
            &[report(A, 1, sequence, 350)],
            sequence as u32,
            START,
        );
        let heard = cluster.paths()[0].heard(A).expect("it is heard");
        assert_eq!(heard.lost, lost, "after {sequence}");
    }
}

#[test]
fn who_starts_listens_first_but_not_for_ever() {
    let mut cluster = cluster();
    assert!(cluster.is_listening(START + 349 * MS));
    assert!(!cluster.is_listening(START + 350 * MS));
    cluster.set_path(1, false, START);
    assert!(cluster.is_listening(START + 3349 * MS));
    assert!(!cluster.is_listening(START + 3350 * MS), "a path without a cable");
}

#[test]
fn a_change_is_said_at_once_and_others_in_time() {
    let mut cluster = cluster();
    let greeting = Greeting::new(1);
    let mut buffer = [0; MAX_LENGTH];
    let own = cluster.report(START);
    events(&mut cluster, START);
    for path in 0..2 {
        assert!(cluster.write(path, &greeting, own, START, &mut buffer).is_some());
    }
    assert_eq!(cluster.next_deadline(START + 350 * MS), Some(START + 100 * MS));
    // A quarter of the interval after the last one.
    let mut outputs = VecDeque::new();
    let changed = Report {
        leaving: true,
        groups: [heartbeat::Group {
            role: Role::Active,
            ..heartbeat::Group::default()
        }]
        .into_iter()
        .collect(),
        ..own
    };
    cluster.tick(&changed, START + MS, &mut outputs);
    assert_eq!(cluster.next_deadline(START + 350 * MS), Some(START + 25 * MS));
    assert!(
        cluster.write(9, &greeting, own, START, &mut buffer).is_none(),
        "no such path"
    );
}
