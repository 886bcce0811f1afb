//! Censuses of the flow table, beside the daemon's loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex, PoisonError},
};

use lb_common::{
    abi::{BackendLoad, LoadCount, TimeoutTable},
    flow_table::{Bucket, Clock, Entry4, Entry6, Translation4, Translation6},
    hash::Seed,
    packet::{FlowKey4, FlowKey6},
};
use tokio::task::{JoinHandle, spawn_blocking};

use super::returns;
use crate::{
    core::load::{Auditor, Correction, Sighting},
    datapath::{Ages, Census, Holders, Kernel, Region, ages, census, silent, sweep},
};

/// Takes one census at a time on a thread of its own.
pub(super) struct Survey {
    flows_v4: Arc<Region<Bucket<Entry4>>>,
    flows_v6: Arc<Region<Bucket<Entry6>>>,
    translations_v4: Arc<Region<Bucket<Translation4>>>,
    translations_v6: Arc<Region<Bucket<Translation6>>>,
    seed: Seed,
    timeouts: Arc<Region<TimeoutTable>>,
    loads: Arc<Region<BackendLoad>>,
    /// What earlier censuses found of the live counts.
    auditor: Arc<Mutex<Auditor>>,
    hz: u32,
    /// How many there were.
    turn: usize,
    running: Option<JoinHandle<Census>>,
}

impl Survey {
    pub(super) fn new(kernel: &Kernel) -> Self {
        Self {
            flows_v4: Arc::clone(&kernel.tables.flows_v4),
            flows_v6: Arc::clone(&kernel.tables.flows_v6),
            translations_v4: Arc::clone(&kernel.tables.translations_v4),
            translations_v6: Arc::clone(&kernel.tables.translations_v6),
            seed: kernel.tables.seed,
            timeouts: Arc::clone(&kernel.tables.timeouts),
            loads: Arc::clone(&kernel.tables.loads),
            auditor: Arc::default(),
            hz: kernel.clock().hz(),
            turn: 0,
            running: None,
        }
    }

    /// Starts a census as of `jiffies`, unless one is still under way. It tells the flows of `watched` backends apart by
    /// their age.
    pub(super) fn start(&mut self, jiffies: u64, watched: &BTreeSet<u32>) {
        if self.running.is_some() {
            return;
        }
        let (flows_v4, flows_v6) = (Arc::clone(&self.flows_v4), Arc::clone(&self.flows_v6));
        let translations_v4 = Arc::clone(&self.translations_v4);
        let translations_v6 = Arc::clone(&self.translations_v6);
        self.turn = self.turn.wrapping_add(1);
        let (seed, turn) = (self.seed, self.turn);
        let (timeouts, hz) = (Arc::clone(&self.timeouts), self.hz);
        let (loads, auditor) = (Arc::clone(&self.loads), Arc::clone(&self.auditor));
        let mut watched: BTreeMap<u32, Ages> =
            watched.iter().map(|&number| (number, Ages::default())).collect();
        self.running = Some(spawn_blocking(move || {
            let clock = Clock {
                now: jiffies,
                timeouts: &timeouts[0],
            };
            let before: Vec<LoadCount> = loads.iter().map(BackendLoad::counts).collect();
            let mut holders = Holders::new(loads.len());
            let v4 = census(&flows_v4, &translations_v4, &clock, &loads, &mut holders);
            let v6 = census(&flows_v6, &translations_v6, &clock, &loads, &mut holders);
            sweep(&flows_v4, &translations_v4, FlowKey4::hash, &seed, &clock);
            sweep(&flows_v6, &translations_v6, FlowKey6::hash, &seed, &clock);
            if !watched.is_empty() {
                ages(&flows_v4, &translations_v4, &clock, hz, &mut watched);
                ages(&flows_v6, &translations_v6, &clock, hz, &mut watched);
            }
            let mut clients = BTreeSet::new();
            silent(&translations_v4, turn, returns::MOST / 2, &mut clients);
            silent(&translations_v6, turn, returns::MOST, &mut clients);
            let mut auditor = auditor.lock().unwrap_or_else(PoisonError::into_inner);
            audit(&mut auditor, &loads, &before, &holders);
            Census {
                v4,
                v6,
                holders,
                ages: watched,
                silent: clients,
            }
        }));
    }

    /// The census that was under way, when it is done; never, when none is. Cancelling loses nothing.
    pub(super) async fn finished(&mut self) -> Census {
        loop {
            let Some(running) = &mut self.running else {
                return pending().await;
            };
            let outcome = running.await;
            self.running = None;
            // A census that panicked is a fault of ours, and the next one may go well.
            if let Ok(census) = outcome {
                return census;
            }
        }
    }
}

/// Corrects the live counts of backends whose flows are counted.
fn audit(auditor: &mut Auditor, loads: &[BackendLoad], before: &[LoadCount], holders: &Holders) {
    let counts = before.iter().zip(&holders.loads);
    for (number, (load, (&before, &found))) in (0..).zip(loads.iter().zip(counts)) {
        if load.limits().counted {
            let after = load.counts();
            let correction = auditor.note(number, &Sighting { before, after, found });
            if correction != Correction::default() {
                load.correct(correction.active, correction.inactive);
            }
        }
    }
}
