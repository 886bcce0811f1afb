//! What the attached program of a live director costs, on the packets that come anyway.
//!
//! Running the program once more on packets of our own would enter flows and count; so the kernel's stopwatch for BPF programs
//! is on for a while (`BPF_ENABLE_STATS`, Linux 5.8). It counts its users, and goes with this process: whoever had it on keeps
//! it on, and nobody else is left with it.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    EbpfLoader,
    programs::{TestRun as _, TestRunOptions, loaded_programs},
    sys::{Stats, enable_stats},
};
use serde::{Deserialize, Serialize};

use super::{
    front::{OBJECT, load, xdp},
    machine::Machine,
    picture::{Bar, Picture},
    stats::Summary,
};
use crate::net::link::{LinkFacts, XdpMode, XdpProgram};

/// Packets of an empty program, and how often: what the stopwatch itself costs.
const EMPTY: u32 = 200_000;
const TIMES: usize = 5;
/// Parts that the time is cut into, so that there is more than one figure.
const PARTS: u32 = 10;

/// What the packets of a part of the time cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// How many they were.
    pub packets: u64,
    /// Nanoseconds of each.
    pub nanoseconds: f64,
}

/// What one program did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What it is called in comparisons: the interface.
    pub name: String,
    /// The interface that it is attached to.
    pub interface: String,
    /// The driver of that, as `ethtool -i` names it.
    pub driver: Option<String>,
    /// Its name.
    pub program: Option<String>,
    /// Its ID, as `bpftool prog` shows it. One program may be on several interfaces, and is then measured on all of them.
    pub id: u32,
    /// Whether it runs in the driver.
    pub native: bool,
    /// Packets meanwhile.
    pub packets: u64,
    /// Nanoseconds a packet, the stopwatch's own not among them; `None` without packets.
    pub nanoseconds: Option<f64>,
    /// Nanoseconds a packet in the parts of the time; `None` without packets.
    pub range: Option<Summary>,
    /// The share of one CPU that it took.
    pub cpu: f64,
    /// The parts of the time in which packets came.
    pub samples: Vec<Sample>,
    /// Whether these are too far apart to say much.
    pub noisy: bool,
}

/// The whole result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How long.
    pub seconds: f64,
    /// Nanoseconds that the stopwatch says of a program which does nothing.
    pub stopwatch: f64,
    /// One an interface.
    pub rows: Vec<Row>,
}

/// Packets and nanoseconds of a program so far.
fn so_far(id: u32) -> Result<(u64, f64)> {
    let program = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id);
    let program = program.with_context(|| format!("the program with ID {id} is gone"))?;
    Ok((program.run_count(), program.run_time().as_nanos() as f64))
}

/// What the stopwatch says of nothing: its own share of each packet.
fn of_nothing() -> Result<f64> {
    let mut ebpf = EbpfLoader::new()
        .load(OBJECT)
        .context("the kernel refused the benchmark's maps")?;
    load(&mut ebpf, "floor_empty")?;
    let program = xdp(&mut ebpf, "floor_empty")?;
    let id = program.info()?.id();
    let mut least = f64::INFINITY;
    for _ in 0..TIMES {
        let (runs, nanoseconds) = so_far(id)?;
        let mut options = TestRunOptions::new();
        options.data_in = Some(&[0; 64]);
        options.repeat = EMPTY;
        program.test_run(options).context("running an empty program")?;
        let (runs_after, after) = so_far(id)?;
        least = least.min((after - nanoseconds) / (runs_after - runs).max(1) as f64);
    }
    Ok(least)
}

/// Watches the programs on these interfaces for a while; `tell` hears what is being done.
///
/// # Errors
/// Without permission, or when an interface has no program.
pub fn run(interfaces: &[LinkFacts], duration: Duration, mut tell: impl FnMut(&str)) -> Result<Report> {
    let mut programs = Vec::new();
    for facts in interfaces {
        let program = facts.xdp.first().with_context(|| {
            format!(
                "{} has no XDP program, so there is nothing to measure: is tandemd running, and is {0} among its interfaces?",
                facts.name
            )
        })?;
        programs.push((facts, program));
    }
    let _stopwatch = enable_stats(Stats::RunTime).context(
        "the kernel's stopwatch for BPF programs cannot be started (root, or CAP_SYS_ADMIN; Linux 5.8)",
    )?;
    let stopwatch = of_nothing()?;
    let mut watched = programs
        .into_iter()
        .map(|(facts, program)| Watched::new(facts, program))
        .collect::<Result<Vec<_>>>()?;
    let start = Instant::now();
    for part in 1..=PARTS {
        tell(&format!("watching, {part} of {PARTS}"));
        thread::sleep(duration / PARTS);
        for program in &mut watched {
            program.look(stopwatch)?;
        }
    }
    let elapsed = start.elapsed();
    Ok(Report {
        machine: Machine::describe(None)?,
        seconds: elapsed.as_secs_f64(),
        stopwatch,
        rows: watched
            .into_iter()
            .map(|program| program.row(elapsed, stopwatch))
            .collect(),
    })
}

/// A program that is being watched.
struct Watched<'a> {
    facts: &'a LinkFacts,
    program: &'a XdpProgram,
    /// What it had done at first, and when it was looked at last.
    first: (u64, f64),
    last: (u64, f64),
    samples: Vec<Sample>,
}

/// Packets from then to now, and nanoseconds of each without the stopwatch's; `None` without packets.
fn between(then: (u64, f64), now: (u64, f64), stopwatch: f64) -> Option<Sample> {
    let packets = now.0.saturating_sub(then.0);
    let each = (now.1 - then.1) / packets as f64 - stopwatch;
    (packets > 0).then_some(Sample {
        packets,
        nanoseconds: each.max(0.0),
    })
}

impl<'a> Watched<'a> {
    fn new(facts: &'a LinkFacts, program: &'a XdpProgram) -> Result<Self> {
        let first = so_far(program.id)?;
        Ok(Self {
            facts,
            program,
            first,
            last: first,
            samples: Vec::new(),
        })
    }

    fn look(&mut self, stopwatch: f64) -> Result<()> {
        let now = so_far(self.program.id)?;
        self.samples.extend(between(self.last, now, stopwatch));
        self.last = now;
        Ok(())
    }

    fn row(self, elapsed: Duration, stopwatch: f64) -> Row {
        let all = between(self.first, self.last, stopwatch);
        let each: Vec<f64> = self.samples.iter().map(|sample| sample.nanoseconds).collect();
        let range = Summary::of(&each);
        let taken = all.map_or(0.0, |all| all.nanoseconds * all.packets as f64);
        Row {
            name: self.facts.name.clone(),
            interface: self.facts.name.clone(),
            driver: self.facts.driver.clone(),
            program: self.program.name.clone(),
            id: self.program.id,
            native: self.program.mode == XdpMode::Native,
            packets: all.map_or(0, |all| all.packets),
            nanoseconds: all.map(|all| all.nanoseconds),
            noisy: range.is_some_and(|range| range.is_noisy()),
            range,
            cpu: taken / elapsed.as_nanos() as f64,
            samples: self.samples,
        }
    }
}

impl Report {
    /// For a slide.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let bars = self.rows.iter().filter_map(|row| {
            let bar = Bar::of(&row.name, row.range.as_ref()?, 0);
            Some(bar.own(true))
        });
        Picture::new("What the program costs, on the packets that come")
            .panel("nanoseconds a packet", bars.collect())
            .note(format!(
                "{:.1} seconds in {PARTS} parts, lines from least to most",
                self.seconds
            ))
            .note(self.machine.note())
            .warning(self.rows.iter().map(|row| row.noisy))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, Linux {}; {:.1} seconds",
            self.machine.cpu, self.machine.kernel, self.seconds
        )?;
        writeln!(
            f,
            "{:15} {:>15} {:>8} {:>12} {:>10} {:>10} {:>15} {:>12}",
            "INTERFACE", "PROGRAM", "MODE", "PACKETS", "PACKETS/s", "NS/PACKET", "MIN .. MAX", "OF ONE CPU"
        )?;
        for row in &self.rows {
            let each = row
                .nanoseconds
                .map_or_else(|| "no packets".to_owned(), |each| format!("{each:.0}"));
            let range = row.range.map_or_else(String::new, |range| {
                format!("{:.0} .. {:.0}", range.min, range.max)
            });
            let mode = if row.native { "native" } else { "generic" };
            writeln!(
                f,
                "{:15} {:>15} {mode:>8} {:>12} {:>10.0} {each:>10} {range:>15} {:>10.2} %",
                row.interface,
                row.program.as_deref().unwrap_or("?"),
                row.packets,
                row.packets as f64 / self.seconds,
                row.cpu * 100.0
            )?;
        }
        let shared = |row: &Row| self.rows.iter().filter(|other| other.id == row.id).count() > 1;
        if self.rows.iter().any(shared) {
            writeln!(
                f,
                "A program on several interfaces is measured as one: its figures are those of all of them."
            )?;
        }
        for row in self.rows.iter().filter(|row| row.noisy) {
            let quartiles = row.range.map(|range| (range.lower, range.upper));
            let (lower, upper) = quartiles.unwrap_or_default();
            writeln!(
                f,
                "NOISY: {}: in half of the parts of this time {lower:.0} .. {upper:.0}",
                row.name
            )?;
        }
        writeln!(
            f,
            "The kernel's stopwatch takes {:.0} ns of its own for each packet, which are not in the figures.",
            self.stopwatch
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_time_has_a_cost_of_its_own() {
        let sample = between((10, 1000.0), (20, 2000.0), 20.0).unwrap();
        assert_eq!((sample.packets, sample.nanoseconds), (10, 80.0));
        // The stopwatch is not that exact.
        assert_eq!(between((0, 0.0), (1, 15.0), 20.0).unwrap().nanoseconds, 0.0);
        assert_eq!(between((10, 1000.0), (10, 1000.0), 20.0), None);
    }

    #[test]
    fn what_saw_no_packets_says_so() {
        let row = |interface: &str, packets, nanoseconds| Row {
            name: interface.to_owned(),
            interface: interface.to_owned(),
            driver: Some("veth".to_owned()),
            program: Some("tandem".to_owned()),
            id: 7,
            native: true,
            packets,
            nanoseconds,
            range: nanoseconds.and_then(|each| Summary::of(&[each - 1.0, each, each + 90.0])),
            cpu: 0.25,
            samples: Vec::new(),
            noisy: nanoseconds.is_some(),
        };
        let report = Report {
            machine: Machine::describe(None).unwrap(),
            seconds: 2.0,
            stopwatch: 21.0,
            rows: vec![row("eth0", 1000, Some(80.4)), row("eth1", 0, None)],
        };
        let text = report.to_string();
        assert!(
            text.contains("500         80       79 .. 170      25.00 %"),
            "{text}"
        );
        assert!(text.contains("NOISY: eth0"), "{text}");
        let svg = report.picture().svg();
        assert!(svg.contains(">80<") && !svg.contains("eth1"), "{svg}");
        assert!(
            text.contains("no packets") && text.contains("measured as one"),
            "{text}"
        );
    }
}
