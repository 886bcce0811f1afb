//! When the others are told of a connection is its service's choice.

use super::*;
use crate::core::model::Telling;

fn pair_of(telling: [Telling; 2]) -> Link {
    let mut link = Link::new(2);
    for (index, telling) in telling.into_iter().enumerate() {
        link.directors[index].set_telling(telling, link.now);
        link.start(index);
    }
    link.run_until("both in sync", |link| link.is_in_sync(0) && link.is_in_sync(1));
    link
}

/// Numbers of clients that make a flow which is sent on as it is.
const CLIENTS: [u32; 5] = [3, 6, 9, 12, 15];

fn send(link: &mut Link, director: usize, packet: Packet) {
    for n in CLIENTS {
        link.directors[director].packet(&key(n), packet, 1, link.now);
    }
}

fn states(link: &Link, director: usize) -> Vec<FlowState> {
    let flows = link.directors[director].flows(link.now);
    flows.values().map(|flow| flow.state).collect()
}

/// How many differ, by a comparison; those that only one of both is to know are none.
fn compare(link: &mut Link, director: usize) -> (u64, u64, u64) {
    tell_node(link, director, |node, now| node.begin_comparison(now));
    let mut found = None;
    while found.is_none() {
        link.run(STEP);
        found = poll_comparison(link, director);
    }
    let found = found.expect("it ended");
    let divergence = found.directors[0].found.expect("it answered");
    (divergence.compared, divergence.total(), found.untold)
}

#[test]
fn half_open_connections_are_told_only_where_the_service_says_so() {
    for (telling, expected) in [(Telling::Established, 0), (Telling::FirstPacket, CLIENTS.len())] {
        let mut link = pair_of([telling; 2]);
        send(&mut link, 0, Packet::Syn);
        link.run(5 * STEP);
        assert_eq!(
            states(&link, 1),
            vec![FlowState::SynRecv; expected],
            "{telling:?}"
        );
        link.run(Duration::from_secs(5));
        // A handshake under way is no difference, whoever knows of it.
        assert_eq!(compare(&mut link, 0), (0, 0, 0), "{telling:?}");
        send(&mut link, 0, Packet::Open);
        link.run(5 * STEP);
        assert_eq!(
            states(&link, 1),
            [FlowState::Established; CLIENTS.len()],
            "{telling:?}"
        );
        link.run(Duration::from_secs(2));
        assert_eq!(compare(&mut link, 1), (CLIENTS.len() as u64, 0, 0), "{telling:?}");
        assert_eq!(link.node(1).counters().repaired, Default::default());
    }
}

/// One of both has been reloaded, and the other has not.
#[test]
fn who_does_not_want_half_open_connections_does_not_take_them() {
    let mut link = pair_of([Telling::FirstPacket, Telling::Established]);
    send(&mut link, 0, Packet::Syn);
    link.run(5 * STEP);
    assert_eq!(states(&link, 1), []);
    assert_eq!(link.node(1).counters().updated.expired, CLIENTS.len() as u64);
    send(&mut link, 0, Packet::Open);
    link.run(5 * STEP);
    assert!(link.are_equal());
}

#[test]
fn connections_of_a_service_that_is_off_are_told_to_nobody_and_missed_by_nobody() {
    let all = CLIENTS.len() as u64;
    for telling in [
        [Telling::Off; 2],
        [Telling::Off, Telling::Established],
        [Telling::Established, Telling::Off],
    ] {
        let mut link = pair_of(telling);
        send(&mut link, 0, Packet::Open);
        link.run(Duration::from_secs(6));
        assert_eq!(states(&link, 1), [], "{telling:?}");
        let untold = if telling[0] == Telling::Off { all } else { 0 };
        assert_eq!(compare(&mut link, 0), (0, 0, untold), "{telling:?}");
        assert_eq!(compare(&mut link, 1), (0, 0, 0), "{telling:?}");
        let sent = link.node(0).counters();
        assert_eq!(sent.records_sent + untold, all, "{telling:?}");
        assert_eq!(sent.bulk_records_sent, 0, "{telling:?}");
        // Who joins fetches none of them, and is in sync all the same.
        link.directors[1].forget();
        link.start(1);
        link.run_until("the second in sync", |link| link.is_in_sync(1));
        assert_eq!(states(&link, 1), [], "{telling:?}");
    }
}

#[test]
fn a_service_that_is_told_again_has_its_connections_everywhere() {
    let mut link = pair_of([Telling::Off; 2]);
    send(&mut link, 0, Packet::Open);
    link.run(Duration::from_secs(2));
    for index in 0..2 {
        link.directors[index].set_telling(Telling::Established, link.now);
    }
    link.run_until("both the same", |link| link.are_equal());
    assert_eq!(states(&link, 1).len(), CLIENTS.len());
}

/// More than can be told in time.
#[test]
fn under_pressure_established_connections_go_first_and_half_open_ones_not_at_all() {
    let mut link = pair_of([Telling::FirstPacket; 2]);
    let director = &mut link.directors[0];
    for (n, packet) in [(3, Packet::Syn), (6, Packet::Fin), (9, Packet::Open)] {
        director.packet(&key(n), packet, 1, link.now);
        director.note_often(&key(n), lb_common::abi::JOURNAL_SLOTS / 4);
    }
    link.run(5 * STEP);
    assert_eq!(states(&link, 1), [FlowState::FinWait, FlowState::Established]);
    let (_, replica) = link.directors[0].daemon.as_ref().expect("it runs");
    let (overwritten, passed_over) = replica.overrun();
    assert_eq!(
        (overwritten, passed_over),
        (0, 1 + lb_common::abi::JOURNAL_SLOTS as u64 / 4)
    );
}
