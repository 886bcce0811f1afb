//! What came out: for people, and for machines.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pressure::Pressure;
use crate::bench::{
    machine::Machine,
    measure::{Outcome, Sample},
    memory::{self, Memory},
    report::summarise,
    stats::Summary,
};

/// How it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Most flows.
    pub flows: u32,
    /// Samples of each row.
    pub rounds: usize,
    /// Places of the flow table that was overfilled.
    pub places: u32,
}

/// What it costs with so many of something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// How many of what.
    pub name: String,
    /// Of what.
    pub of: String,
    /// How many.
    pub number: u64,
    /// Nanoseconds for a packet of a known flow, with the front around it.
    pub nanoseconds: Summary,
    /// The same above a program that only sends back; `None` where that was not measured.
    pub above_floor: Option<f64>,
    /// Nanoseconds for the first packet of a flow, above the same.
    pub new_flow: Option<f64>,
    /// What a packet of a known flow costs beside what it costs with the fewest, both above the floor if that was measured.
    pub times: Option<f64>,
    /// Each sample, in the order of the rounds.
    pub samples: Vec<Sample>,
    /// Whether the samples are too far apart to say much.
    pub noisy: bool,
}

impl Row {
    pub(super) fn new(
        of: &str,
        number: u64,
        floor: &Outcome,
        established: &Outcome,
        new: Option<&Outcome>,
    ) -> Option<Self> {
        let median = |outcome: &Outcome| Some(summarise(&outcome.samples)?.0.median);
        let floor = median(floor)?;
        let (nanoseconds, is_still) = summarise(&established.samples)?;
        Some(Self {
            name: format!("{number} {of}"),
            of: of.to_owned(),
            number,
            above_floor: Some(nanoseconds.median - floor),
            new_flow: new.and_then(median).map(|new| new - floor),
            times: None,
            noisy: !is_still || nanoseconds.is_noisy(),
            nanoseconds,
            samples: established.samples.clone(),
        })
    }

    /// Without a floor.
    pub(super) fn in_all(of: &str, number: u64, nanoseconds: Summary, samples: Vec<f64>) -> Self {
        let still = |nanoseconds| Sample {
            nanoseconds,
            still: true,
        };
        Self {
            name: format!("{number} {of}"),
            of: of.to_owned(),
            number,
            above_floor: None,
            new_flow: None,
            times: None,
            noisy: nanoseconds.is_noisy(),
            nanoseconds,
            samples: samples.into_iter().map(still).collect(),
        }
    }

    fn cost(&self) -> f64 {
        self.above_floor.unwrap_or(self.nanoseconds.median)
    }
}

/// Each row beside the first of its kind.
pub(super) fn compared(mut rows: Vec<Row>) -> Vec<Row> {
    let firsts: Vec<f64> = rows
        .iter()
        .map(|row| {
            let first = rows.iter().find(|other| other.of == row.of);
            first.unwrap_or(row).cost()
        })
        .collect();
    for (row, first) in rows.iter_mut().zip(firsts) {
        row.times = (first > 0.0).then(|| row.cost() / first);
    }
    rows
}

/// The whole result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How.
    pub settings: Settings,
    /// By flows, services, backends and CPUs.
    pub rows: Vec<Row>,
    /// Memory of the flow table for the most flows.
    pub memory: Memory,
    /// What became of connections in a table that is too small.
    pub pressures: Vec<Pressure>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine, settings, ..
        } = self;
        writeln!(
            f,
            "{}, Linux {}, {}; {} rounds",
            machine.cpu,
            machine.kernel,
            machine.place(),
            settings.rounds
        )?;
        let mut of = "";
        for row in &self.rows {
            if row.of != of {
                of = &row.of;
                writeln!(f)?;
                writeln!(
                    f,
                    "{:>10} {:12} {:>8} {:>17} {:>8} {:>8} {:>9}",
                    "ns/packet", "with …", "median", "min .. max", "+ floor", "times", "new flow"
                )?;
            }
            let Summary { min, median, max, .. } = row.nanoseconds;
            let range = format!("{min:.1} .. {max:.1}");
            let number = |value: Option<f64>, digits: usize| {
                value.map_or_else(String::new, |value| format!("{value:.digits$}"))
            };
            writeln!(
                f,
                "{:>10} {:12} {median:>8.1} {range:>17} {:>8} {:>8} {:>9}",
                row.number,
                row.of,
                number(row.above_floor, 1),
                number(row.times, 2),
                number(row.new_flow, 1)
            )?;
        }
        writeln!(f)?;
        self.pressures(f)?;
        let memory = self.memory;
        writeln!(
            f,
            "\nmemory: {:.1} bytes for each place of the IPv4 flow table ({:.1} MB for {} flows)",
            memory.bytes as f64 / memory.places as f64,
            memory.bytes_for_target as f64 / 1e6,
            memory::FLOWS
        )?;
        for row in self.rows.iter().filter(|row| row.noisy) {
            let Summary { lower, upper, .. } = row.nanoseconds;
            writeln!(
                f,
                "NOISY: {}: half of the samples in {lower:.1} .. {upper:.1}",
                row.name
            )?;
        }
        Ok(())
    }
}

impl Report {
    fn pressures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:26} {:>11} {:>10} {:>9} {:>13} {:>15} {:>10}",
            format!("a table with {} places", self.settings.places),
            "connections",
            "evictions",
            "no place",
            "same backend",
            "a backend joins",
            "no memory"
        )?;
        for pressure in &self.pressures {
            let percent = |share: f64| format!("{:.2} %", share * 100.0);
            writeln!(
                f,
                "{:26} {:>11} {:>10} {:>9} {:>13} {:>15} {:>10}",
                pressure.name,
                pressure.connections,
                pressure.evictions,
                percent(pressure.without_place),
                percent(pressure.same_backend),
                percent(pressure.broken_by_change),
                percent(pressure.broken_without_memory)
            )?;
        }
        writeln!(
            f,
            "no place: connections whose entry went to another; same backend: their next packet goes where it went before;\n\
             a backend joins: it goes elsewhere after that, and the connection breaks; no memory: the same without a flow table"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_compared_with_the_first_of_its_kind() {
        let row = |of: &str, number, median: f64| {
            Row::in_all(of, number, Summary::of(&[median]).unwrap(), vec![median])
        };
        let rows = compared(vec![
            row("flows", 1, 10.0),
            row("flows", 9, 25.0),
            row("CPUs", 1, 40.0),
        ]);
        let times: Vec<_> = rows.iter().map(|row| row.times).collect();
        assert_eq!(times, [Some(1.0), Some(2.5), Some(1.0)]);
    }
}
