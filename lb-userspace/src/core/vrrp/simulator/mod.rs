//! Two to four directors on one link over virtual time: messages are lost, late, doubled, damaged; the link falls into
//! parts, or one is deaf to another; directors crash, sleep, stop and come back; their clocks differ. All of it
//! follows from a seed.
//!
//! # What must hold
//! - Once everybody hears everybody again there is one Active, within the time that an advertisement takes to come.
//! - Whatever befell the Active, another one is there within four intervals.
//! - While nothing happens, nobody's role changes, and the greatest priority is Active if it preempts.
//! - VIPs are on the interface of the Active and of nobody else that runs.

mod director;
mod world;

use self::world::World;

const SEEDS: u64 = 200;
const FAULTS: usize = 30;

/// The history of one seed; what went wrong goes before the word of it.
#[track_caller]
fn live(seed: u64) -> String {
    World::new(seed)
        .live(FAULTS)
        .unwrap_or_else(|complaint| panic!("{complaint}\nagain with live({seed})"))
}

#[test]
fn at_most_one_active_and_soon_some_active() {
    for seed in 0..SEEDS {
        live(seed);
    }
}

#[test]
fn a_seed_gives_the_same_history_each_time() {
    for seed in [0, 7, 100] {
        let history = live(seed);
        assert_eq!(history, live(seed));
        assert!(history.contains("backup -> active"), "{history}");
        assert_ne!(history, live(seed + 1));
    }
}
