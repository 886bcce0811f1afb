//! What it costs to synchronise connections: the packet path's part, over test runs; then the daemon's own code, on tables in
//! plain memory, first between two directors in one thread, then between two threads on a network.

mod director;
mod journal;
mod report;
mod trials;
mod wire;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use self::director::{Director, LINK};
pub use self::{
    journal::Journal,
    report::Report,
    trials::{Garbage, Loss},
    wire::{Late, Wire},
};
use super::machine::Machine;

/// How much to measure.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Options {
    /// Connections that are told of in each measurement.
    pub flows: u32,
    /// Connections a second at which lateness is measured.
    pub pace: u32,
}

/// Connections that begin before the sender looks at its journal: what comes in some milliseconds at a high rate.
const AT_ONCE: u32 = 4096;
/// Connections that are older than this are part of a survey.
const SETTLED: Duration = Duration::from_millis(1_500);
/// For what takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each side costs, on one core without a network.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Costs {
    /// Nanoseconds a connection: reading the journal, making datagrams, sealing them.
    pub telling: f64,
    /// Nanoseconds a connection: opening datagrams, entering the flows.
    pub taking_in: f64,
    /// Of these, those for entering the flows.
    pub applying: f64,
    /// Bytes on the wire for a connection, with the headers of IP and UDP.
    pub bytes: f64,
}

/// A director that joins, and is told of everything; without a network.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Bulk {
    /// Connections.
    pub flows: u64,
    /// Seconds from when the two had met to the end, in one thread, at the usual `bulk_rate`.
    pub seconds: f64,
    /// Bytes on the wire.
    pub bytes: u64,
}

/// Measures all.
///
/// # Errors
/// When the directors do not find each other, or do not tell each other everything.
pub fn run(options: &Options) -> Result<Report> {
    let costs = costs(options.flows)?;
    Ok(Report {
        machine: Machine::describe(0)?,
        options: *options,
        // It keeps to one CPU, and the others must not.
        journal: thread::spawn(journal::run).join().expect("no panic")?,
        costs,
        bulk: bulk(options.flows)?,
        wire: wire::measure(options, costs.bytes)?,
    })
}

/// Lets both speak and hear, until something is the case; the bytes that went to and fro.
fn converse(a: &mut Director, b: &mut Director, until: impl Fn(&Director, &Director) -> bool) -> Result<u64> {
    let begun = Instant::now();
    let (mut bytes, mut said) = (0, Vec::new());
    while !until(a, b) {
        ensure!(begun.elapsed() < PATIENCE, "the directors do not come to an end");
        let mut is_idle = true;
        for is_reply in [false, true] {
            let (from, to) = if is_reply {
                (&mut *b, &mut *a)
            } else {
                (&mut *a, &mut *b)
            };
            bytes += from.say(&mut said);
            is_idle &= said.is_empty();
            said.iter_mut().for_each(|datagram| to.hear(datagram));
        }
        if is_idle && !a.is_busy() && !b.is_busy() {
            thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(bytes)
}

fn are_in_sync(a: &Director, b: &Director) -> bool {
    a.is_in_sync() && b.is_in_sync()
}

fn costs(flows: u32) -> Result<Costs> {
    let (mut a, mut b) = (Director::new("a", flows), Director::new("b", flows));
    converse(&mut a, &mut b, are_in_sync)?;
    let (mut telling, mut taking_in, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    let (mut said, mut replies) = (Vec::new(), Vec::new());
    for begun in (0..flows).step_by(AT_ONCE as usize) {
        // Whoever is silent for long is told nothing any more.
        b.say(&mut replies);
        replies.iter_mut().for_each(|datagram| a.hear(datagram));
        a.begin(begun..(begun + AT_ONCE).min(flows));
        let start = Instant::now();
        bytes += a.say(&mut said);
        telling += start.elapsed();
        let start = Instant::now();
        said.iter_mut().for_each(|datagram| b.hear(datagram));
        taking_in += start.elapsed();
    }
    let taken = b.taken_in();
    ensure!(
        taken + u64::from(AT_ONCE) >= flows.into(),
        "of {flows} connections {taken} arrived"
    );
    let each = |time: Duration| time.as_nanos() as f64 / taken as f64;
    Ok(Costs {
        telling: each(telling),
        taking_in: each(taking_in),
        applying: director::applying(flows)?,
        bytes: bytes as f64 / taken as f64,
    })
}

fn bulk(flows: u32) -> Result<Bulk> {
    let mut a = Director::new("a", flows);
    a.begin(0..flows);
    // What is younger is left to the next survey.
    thread::sleep(SETTLED);
    let mut b = Director::new("b", flows);
    converse(&mut a, &mut b, |_, b| b.has_met())?;
    let start = Instant::now();
    let bytes = converse(&mut a, &mut b, are_in_sync)?;
    let seconds = start.elapsed().as_secs_f64();
    let known = b.taken_in();
    ensure!(
        known * 1000 >= u64::from(flows) * 999,
        "of {flows} connections {known} were fetched"
    );
    Ok(Bulk {
        flows: known,
        seconds,
        bytes,
    })
}

/// What IP and UDP add to a datagram, in bytes.
const HEADERS: usize = LINK - director::DATAGRAM;
