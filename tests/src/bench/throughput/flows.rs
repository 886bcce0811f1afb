//! What more and more flows cost a director, on the whole path: each packet needs another entry of a table that no cache holds.

use std::{fmt, time::Duration};

use anyhow::{Result, ensure};
use lb_userspace::bench::{
    generator::{Flows, Pace},
    machine::ensure_memory,
};
use serde::{Deserialize, Serialize};

use super::{Lane, Options};
use crate::bench::{front::Wire, line::Cpus, stats::Summary, subject::Subject};

/// A director that is measured. The entry of its flows is all that its packets need.
const SUBJECT: Subject = Subject::Dr;
/// Numbers of flows that are measured, unless others are asked for.
pub const NUMBERS: [u32; 3] = [1, 1_000_000, 4_000_000];
/// Packets a second while each flow is made, and how often that is done: what is lost the first time comes the second.
const MAKING: f64 = 400_000.0;
const TIMES: usize = 2;
/// Bytes of a flow's place, of which there are twice as many as flows or more, and what the daemon keeps of each.
const PLACE: u64 = 32 + 8;

/// Packets of so many flows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// What it is called in comparisons.
    pub name: String,
    /// How many.
    pub flows: u32,
    /// Millions of packets a second of CPU time.
    pub mpps: Summary,
    /// Each sample of it, in the order of the rounds.
    pub samples: Vec<f64>,
    /// Times what a packet costs with the fewest flows.
    pub times: f64,
    /// Whether the samples are too far apart to say much.
    pub noisy: bool,
}

/// The same director with more and more flows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ByFlows {
    /// One a number, the fewest first.
    pub rows: Vec<Row>,
}

/// Most times the cost of one flow that a packet should cost among so many.
#[must_use]
pub fn target(flows: u32) -> Option<f64> {
    match flows {
        0..=1 => None,
        2..=1_000_000 => Some(2.5),
        _ => Some(3.0),
    }
}

impl ByFlows {
    /// Measures; `tell` hears what is being done.
    ///
    /// # Errors
    /// When the director does not forward, or there is no memory for so many flows.
    pub(super) fn measure(options: &Options, cpus: Cpus, tell: &mut impl FnMut(&str)) -> Result<Self> {
        let places: u64 = options
            .by_flows
            .iter()
            .map(|&flows| u64::from(flows.saturating_mul(2)).next_power_of_two())
            .sum();
        ensure_memory(places * PLACE, "fewer flows take less")?;
        let mut lanes = Vec::new();
        for &flows in &options.by_flows {
            tell(&format!("making {flows} flows"));
            lanes.push(Self::lane(options, cpus, flows)?);
        }
        for round in 1..=options.rounds {
            tell(&format!("by flows: round {round} of {}", options.rounds));
            for lane in &mut lanes {
                let trial = lane.stage.trial(&mut lane.generator, Pace::Full, options.turn)?;
                ensure!(trial.passage.received > 0, "{} forwards nothing", SUBJECT.name());
                lane.full.push(trial);
            }
        }
        let of = |(lane, &flows): (&Lane, &u32)| {
            let samples: Vec<f64> = lane.full.iter().map(|trial| trial.per_core() / 1e6).collect();
            let mpps = Summary::of(&samples)?;
            Some(Row {
                name: format!("{}, flows: {flows}", SUBJECT.name()),
                flows,
                noisy: mpps.is_noisy(),
                mpps,
                samples,
                times: 1.0,
            })
        };
        let rows = lanes.iter().zip(&options.by_flows).filter_map(of);
        Ok(Self {
            rows: compared(rows.collect()),
        })
    }

    fn lane(options: &Options, cpus: Cpus, flows: u32) -> Result<Lane> {
        let lane = Lane::start(SUBJECT, cpus, options, flows, Flows::Random(flows))?;
        let mut making = lane
            .stage
            .generator(&options.templates()?, Flows::Each, Wire::Plain)?;
        for _ in 0..TIMES {
            let duration = Duration::from_secs_f64(f64::from(flows) / MAKING);
            let trial = lane.stage.trial(&mut making, Pace::Rate(MAKING), duration)?;
            ensure!(
                trial.passage.received > 0,
                "{} forwarded none of {} packets",
                SUBJECT.name(),
                trial.passage.sent
            );
            if trial.passage.loss() < 0.001 {
                break;
            }
            making = lane
                .stage
                .generator(&options.templates()?, Flows::Each, Wire::Plain)?;
        }
        Ok(lane)
    }
}

fn compared(mut rows: Vec<Row>) -> Vec<Row> {
    let first = rows.first().map(|row| row.mpps.median);
    for row in &mut rows {
        row.times = first.map_or(1.0, |first| first / row.mpps.median);
    }
    rows
}

impl fmt::Display for ByFlows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:36} {:>9} {:>15} {:>9} {:>9} {:>7}",
            format!("{}, flows", SUBJECT.name()),
            "Mpps/core",
            "min .. max",
            "ns/packet",
            "times",
            "target"
        )?;
        for row in &self.rows {
            let Summary { min, median, max, .. } = row.mpps;
            let target = target(row.flows);
            let verdict = match target {
                Some(target) if row.times > target => "above",
                Some(_) => "ok",
                None => "",
            };
            writeln!(
                f,
                "{:36} {median:>9.2} {:>15} {:>9.0} {:>9.2} {:>7}  {verdict}{}",
                row.flows,
                format!("{min:.2} .. {max:.2}"),
                1000.0 / median,
                row.times,
                target.map(|target| format!("{target:.1}")).unwrap_or_default(),
                if row.noisy { " NOISY" } else { "" }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_costs_so_many_times_the_first() {
        let row = |flows, mpps| Row {
            name: String::new(),
            flows,
            mpps: Summary::of(&[mpps]).unwrap(),
            samples: vec![mpps],
            times: 1.0,
            noisy: false,
        };
        let report = ByFlows {
            rows: compared(vec![row(1, 3.0), row(1_000_000, 2.0), row(4_000_000, 0.9)]),
        };
        let times: Vec<f64> = report.rows.iter().map(|row| row.times).collect();
        assert_eq!(times[..2], [1.0, 1.5]);
        assert!(times[2] > 3.3);
        let text = report.to_string();
        assert!(text.contains("2.5  ok") && text.contains("3.0  above"), "{text}");
    }
}
