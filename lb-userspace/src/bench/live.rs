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
};
use crate::net::link::{LinkFacts, XdpMode};

/// Packets of an empty program, and how often: what the stopwatch itself costs.
const EMPTY: u32 = 200_000;
const TIMES: usize = 5;

/// What one program did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The interface that it is attached to.
    pub interface: String,
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
    /// The share of one CPU that it took.
    pub cpu: f64,
}

/// The whole result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// CPU model, kernel and version.
    pub cpu: String,
    /// Release of the kernel.
    pub kernel: String,
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

/// Watches the programs on these interfaces for a while.
///
/// # Errors
/// Without permission, or when an interface has no program.
pub fn run(interfaces: &[LinkFacts], duration: Duration) -> Result<Report> {
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
    let before: Vec<_> = programs
        .iter()
        .map(|(_, program)| so_far(program.id))
        .collect::<Result<_>>()?;
    let start = Instant::now();
    thread::sleep(duration);
    let mut rows = Vec::new();
    for ((facts, program), (runs, nanoseconds)) in programs.into_iter().zip(before) {
        let (runs_after, after) = so_far(program.id)?;
        let packets = runs_after - runs;
        let each = (after - nanoseconds) / packets.max(1) as f64 - stopwatch;
        rows.push(Row {
            interface: facts.name.clone(),
            program: program.name.clone(),
            id: program.id,
            native: program.mode == XdpMode::Native,
            packets,
            nanoseconds: (packets > 0).then_some(each.max(0.0)),
            cpu: each.max(0.0) * packets as f64 / start.elapsed().as_nanos() as f64,
        });
    }
    let machine = Machine::describe(0)?;
    Ok(Report {
        cpu: machine.cpu,
        kernel: machine.kernel,
        seconds: start.elapsed().as_secs_f64(),
        stopwatch,
        rows,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, Linux {}; {:.1} seconds",
            self.cpu, self.kernel, self.seconds
        )?;
        writeln!(
            f,
            "{:15} {:>15} {:>8} {:>12} {:>10} {:>10} {:>12}",
            "INTERFACE", "PROGRAM", "MODE", "PACKETS", "PACKETS/s", "NS/PACKET", "OF ONE CPU"
        )?;
        for row in &self.rows {
            let each = row
                .nanoseconds
                .map_or_else(|| "no packets".to_owned(), |each| format!("{each:.0}"));
            let mode = if row.native { "native" } else { "generic" };
            writeln!(
                f,
                "{:15} {:>15} {mode:>8} {:>12} {:>10.0} {each:>10} {:>10.2} %",
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
    fn what_saw_no_packets_says_so() {
        let row = |interface: &str, packets, nanoseconds| Row {
            interface: interface.to_owned(),
            program: Some("tandem".to_owned()),
            id: 7,
            native: true,
            packets,
            nanoseconds,
            cpu: 0.25,
        };
        let report = Report {
            cpu: "a CPU".to_owned(),
            kernel: "6.18".to_owned(),
            seconds: 2.0,
            stopwatch: 21.0,
            rows: vec![row("eth0", 1000, Some(80.4)), row("eth1", 0, None)],
        };
        let text = report.to_string();
        assert!(text.contains("500         80      25.00 %"), "{text}");
        assert!(
            text.contains("no packets") && text.contains("measured as one"),
            "{text}"
        );
    }
}
