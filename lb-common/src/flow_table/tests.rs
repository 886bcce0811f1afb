//! The table against a model, and under several writers at once.

use std::{
    boxed::Box,
    collections::HashMap,
    sync::{
        Barrier, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    vec::Vec,
};

use proptest::prelude::*;

use super::*;
use crate::{
    abi::TimeoutTable,
    flow_state::{FlowState, Worth},
    hash::Seed,
    packet::FlowKey4,
};

const SEED: Seed = Seed::TEST;
/// The timeout class of every flow here, whose timeouts are the defaults in seconds.
const CLASS: u8 = 7;

fn table(buckets: usize) -> Box<[Bucket<Entry4>]> {
    (0..buckets).map(|_| Bucket::default()).collect()
}

fn key(n: u32) -> FlowKey4 {
    FlowKey4::new(n, 0x0A00_0001, n.rotate_left(16) | 0x5000_0001, 6)
}

fn flow(n: u32, backend: u32, state: FlowState) -> NewFlow<FlowKey4> {
    let key = key(n);
    NewFlow {
        key,
        hash: key.hash(&SEED),
        target: Target::Backend(backend),
        state,
        class: CLASS,
    }
}

fn at(now: u64) -> Clock<'static> {
    static TIMEOUTS: LazyLock<TimeoutTable> = LazyLock::new(|| {
        let table = TimeoutTable::default();
        let mut timeouts = [0; FlowState::LIMIT];
        for state in FlowState::ALL {
            timeouts[state as usize] = state.default_timeout();
        }
        table.set_class(CLASS, &timeouts);
        table
    });
    Clock {
        now,
        timeouts: &TIMEOUTS,
    }
}

fn get(table: &[Bucket<Entry4>], n: u32) -> Option<Control> {
    lookup(table, &key(n), key(n).hash(&SEED)).map(|hit| hit.control)
}

fn live(table: &[Bucket<Entry4>]) -> Vec<Snapshot<FlowKey4>> {
    table
        .iter()
        .flat_map(|b| &b.entries)
        .filter_map(Entry::snapshot)
        .collect()
}

#[test]
fn what_is_inserted_is_found_with_its_backend_and_state() {
    let table = table(64);
    assert_eq!(
        insert(&*table, &flow(1, 42, FlowState::SynRecv), &at(1000)),
        Insertion::Inserted
    );
    let control = get(&table, 1).unwrap();
    assert_eq!(
        (control.backend(), control.state()),
        (Some(42), FlowState::SynRecv)
    );
    assert!(get(&table, 2).is_none());
}

#[test]
fn inserting_twice_keeps_the_first_backend() {
    let table = table(64);
    insert(&*table, &flow(1, 42, FlowState::Established), &at(0));
    let Insertion::Existing(control) = insert(&*table, &flow(1, 43, FlowState::Established), &at(0)) else {
        panic!("the flow stands there already");
    };
    assert_eq!(control.backend(), Some(42));
    assert_eq!(live(&table).len(), 1);
}

#[test]
fn a_removed_flow_is_gone_and_its_place_is_used_again() {
    let table = table(2);
    insert(&*table, &flow(1, 42, FlowState::Established), &at(0));
    let hit = lookup(&*table, &key(1), key(1).hash(&SEED)).unwrap();
    assert!(hit.entry.remove(hit.control));
    assert!(get(&table, 1).is_none());
    assert!(
        !hit.entry.remove(hit.control),
        "a second removal must notice the first"
    );
    assert_eq!(
        insert(&*table, &flow(1, 43, FlowState::Established), &at(0)),
        Insertion::Inserted
    );
    assert_eq!(get(&table, 1).unwrap().backend(), Some(43));
}

/// Two buckets take eight flows; the ninth costs the cheapest of them its place.
#[test]
fn a_table_half_full_costs_hardly_a_flow_and_few_lie_in_their_second_bucket() {
    const BUCKETS: usize = 1 << 14;
    const FLOWS: u32 = (BUCKETS * WAYS / 2) as u32;
    let table = table(BUCKETS);
    let mut evicted = 0;
    for n in 0..FLOWS {
        match insert(&*table, &flow(n, 1, FlowState::Established), &at(0)) {
            Insertion::Inserted => {}
            Insertion::Evicted(..) => evicted += 1,
            other => panic!("{other:?}"),
        }
    }
    let second = (0..FLOWS)
        .filter(|&n| {
            let first = &table[places(key(n).hash(&SEED), table.mask()).0 as usize];
            get(&table, n).is_some() && !first.entries.iter().any(|entry| entry.holds(&key(n)))
        })
        .count();
    assert_eq!(live(&table).len(), (FLOWS - evicted) as usize);
    assert!(
        evicted * 1000 < FLOWS,
        "{evicted} of {FLOWS} flows evicted another"
    );
    assert!(
        second * 8 < FLOWS as usize,
        "{second} of {FLOWS} flows in second buckets"
    );
}

#[test]
fn a_full_table_evicts_by_worth_and_then_by_silence() {
    let states = [
        (FlowState::Established, 990),
        (FlowState::Established, 980),
        (FlowState::Udp, 990),
        (FlowState::Udp, 900),
        (FlowState::FinWait, 990),
        (FlowState::SynRecv, 999),
        (FlowState::SynRecv, 998),
        (FlowState::Close, 900),
    ];
    let table = table(2);
    for (n, (state, seen)) in (0..).zip(states) {
        assert_eq!(
            insert(&*table, &flow(n, n, state), &at(seen)),
            Insertion::Inserted
        );
    }
    // The closed one ran out, then the half-open ones by silence, the closing one, the idle datagrams, and last the
    // established or active flow that was silent longest.
    let expected = [
        (7, Worth::Expired),
        (6, Worth::HalfOpen),
        (5, Worth::HalfOpen),
        (4, Worth::Closing),
        (3, Worth::IdleDatagram),
        (1, Worth::Active),
    ];
    for (n, (victim, worth)) in (100..).zip(expected) {
        let before = get(&table, victim);
        let outcome = insert(&*table, &flow(n, 0, FlowState::Established), &at(1000));
        let Insertion::Evicted(of, control) = outcome else {
            panic!("{outcome:?}, inserting {n}");
        };
        assert_eq!(of, worth, "inserting {n}");
        assert_eq!(Some(control), before, "inserting {n}");
        assert!(get(&table, victim).is_none(), "{victim} should be gone");
        assert!(get(&table, n).is_some());
        assert_eq!(live(&table).len(), 8);
    }
}

/// Where nobody minds, whoever was silent longest goes.
#[test]
fn what_is_put_takes_the_place_of_the_oldest() {
    let table = table(2);
    let template = |n| NewFlow {
        hash: 0,
        ..flow(n, n, FlowState::Template)
    };
    for n in 0..7 {
        put(&*table, &template(n), 1000 + u64::from(n));
    }
    let mut left: Vec<_> = live(&table)
        .iter()
        .filter_map(|flow| flow.control.backend())
        .collect();
    left.sort_unstable();
    assert_eq!(left, [3, 4, 5, 6]);
    let hit = lookup(&*table, &key(5), 0).expect("it is there");
    assert!(hit.entry.remove(hit.control));
    put(&*table, &template(9), 2000);
    assert!(lookup(&*table, &key(3), 0).is_some(), "there was a free place");
    assert!(lookup(&*table, &key(9), 0).is_some());
}

#[test]
fn a_stamp_from_the_future_is_no_age() {
    assert_eq!(at(1000).idle(1001), 0);
    assert_eq!(at(1000).idle(990), 10);
    // The lower half of jiffies wraps.
    assert_eq!(at(0x1_0000_0005).idle(u32::MAX - 4), 10);
}

#[test]
fn both_places_differ_even_in_the_smallest_table() {
    for hash in [0u64, 1, u64::MAX, 0x1_0000_0001, 0x8000_0000_0000_0000] {
        for mask in [1, 3, 0xFFFF] {
            let (a, b) = places(hash, mask);
            assert!(a != b && a <= mask && b <= mask);
        }
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Insert(u32, u32),
    Remove(u32),
    Advance(u32, FlowState),
}

fn operation() -> impl Strategy<Value = Operation> {
    let state = prop_oneof![
        Just(FlowState::Established),
        Just(FlowState::FinWait),
        Just(FlowState::SynRecv)
    ];
    prop_oneof![
        (0..64u32, any::<u32>()).prop_map(|(n, backend)| Operation::Insert(n, backend)),
        (0..64u32).prop_map(Operation::Remove),
        (0..64u32, state).prop_map(|(n, state)| Operation::Advance(n, state)),
    ]
}

proptest! {
    /// A table with room for all behaves like a map.
    #[test]
    fn with_room_it_is_a_map(operations in proptest::collection::vec(operation(), 0..400)) {
        let table = table(256);
        let mut model: HashMap<u32, (u32, FlowState)> = HashMap::new();
        for operation in operations {
            match operation {
                Operation::Insert(n, backend) => {
                    let outcome = insert(&*table, &flow(n, backend, FlowState::Established), &at(0));
                    match model.get(&n) {
                        Some(&(present, _)) => {
                            let Insertion::Existing(control) = outcome else { panic!("{outcome:?}") };
                            prop_assert_eq!(control.backend(), Some(present));
                        }
                        None => {
                            prop_assert_eq!(outcome, Insertion::Inserted);
                            model.insert(n, (backend, FlowState::Established));
                        }
                    }
                }
                Operation::Remove(n) => {
                    let removed = lookup(&*table, &key(n), key(n).hash(&SEED))
                        .is_some_and(|hit| hit.entry.remove(hit.control));
                    prop_assert_eq!(removed, model.remove(&n).is_some());
                }
                Operation::Advance(n, state) => {
                    if let Some(hit) = lookup(&*table, &key(n), key(n).hash(&SEED)) {
                        prop_assert!(hit.entry.change(hit.control, hit.control.with_state(state)));
                        model.get_mut(&n).unwrap().1 = state;
                    }
                }
            }
            for (&n, &(backend, state)) in &model {
                let control = get(&table, n).expect("in the model, so in the table");
                prop_assert_eq!((control.backend(), control.state()), (Some(backend), state));
            }
            prop_assert_eq!(live(&table).len(), model.len());
        }
    }

    /// A table that is too small loses flows, but never mixes them up and never holds one twice.
    #[test]
    fn without_room_it_forgets_but_never_lies(keys in proptest::collection::vec(0..200u32, 1..400)) {
        let table = table(8);
        for (now, n) in (0..).zip(keys) {
            let outcome = insert(&*table, &flow(n, n + 7, FlowState::Established), &at(now));
            prop_assert_ne!(outcome, Insertion::Contended);
            prop_assert_eq!(get(&table, n).and_then(Control::backend), Some(n + 7));
            let mut held: Vec<_> = live(&table).iter().map(|s| s.key.words[0] as u32).collect();
            held.sort_unstable();
            let all = held.len();
            held.dedup();
            prop_assert_eq!(held.len(), all, "a flow stands twice");
            for snapshot in live(&table) {
                prop_assert_eq!(snapshot.control.backend(), Some(snapshot.key.words[0] as u32 + 7));
            }
        }
    }
}

/// Several threads insert, look up and remove the same few flows in a tight table. Each flow's backend carries the
/// flow's number, so a reader that got another flow's entry would notice.
#[test]
fn several_writers_never_mix_flows_up_and_leave_none_twice() {
    const THREADS: u32 = 4;
    const FLOWS: u32 = 24;
    let rounds: u32 = if cfg!(miri) { 40 } else { 40_000 };
    let table = table(4);
    let barrier = Barrier::new(THREADS as usize);
    let found = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (table, barrier, found) = (&table, &barrier, &found);
            scope.spawn(move || {
                barrier.wait();
                for round in 0..rounds {
                    let n = (round.wrapping_mul(2_654_435_761) >> 16).wrapping_add(thread) % FLOWS;
                    match round % 4 {
                        0 | 1 => {
                            let new = flow(n, n | (thread + 1) << 16, FlowState::Established);
                            if let Insertion::Existing(control) =
                                insert(&**table, &new, &at(u64::from(round)))
                            {
                                assert_eq!(control.backend().unwrap() & 0xFFFF, n);
                            }
                        }
                        2 => {
                            if let Some(control) = get(table, n) {
                                assert_eq!(control.backend().unwrap() & 0xFFFF, n);
                                found.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        _ => {
                            if let Some(hit) = lookup(&**table, &key(n), key(n).hash(&SEED)) {
                                hit.entry.remove(hit.control);
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(
        found.load(Ordering::Relaxed) > 0,
        "the readers never found anything"
    );
    let mut keys: Vec<_> = live(&table).iter().map(|s| s.key.words[0]).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all, "a flow stands twice");
    for entry in table.iter().flat_map(|b| &b.entries) {
        assert!(
            matches!(entry.state().phase(), Phase::Free | Phase::Live),
            "an entry was left half-made"
        );
    }
}

/// All threads insert the same new flow at the same moment, each with its own backend: one entry remains, and those
/// who were told of it were told its backend.
#[test]
fn a_race_for_one_flow_has_one_winner() {
    const THREADS: u32 = 4;
    let rounds = if cfg!(miri) { 4 } else { 2_000 };
    for round in 0..rounds {
        let table = table(2);
        let barrier = Barrier::new(THREADS as usize);
        let outcomes: Vec<(u32, Insertion)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (table, barrier) = (&table, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        (
                            thread,
                            insert(&**table, &flow(round, thread, FlowState::Established), &at(0)),
                        )
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let left = live(&table);
        assert!(left.len() <= 1, "round {round}: {left:?}");
        let winners = outcomes
            .iter()
            .filter(|(_, outcome)| matches!(outcome, Insertion::Inserted))
            .count();
        assert!(winners <= 1, "round {round}: {outcomes:?}");
        if let (Some(left), Some((thread, _))) = (
            left.first(),
            outcomes
                .iter()
                .find(|(_, outcome)| matches!(outcome, Insertion::Inserted)),
        ) {
            assert_eq!(left.control.backend(), Some(*thread));
        }
    }
}
