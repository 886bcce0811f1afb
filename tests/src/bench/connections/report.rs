//! What came out: for people, and for machines.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bench::{
    machine::Machine,
    stats::Summary,
    subject::{Subject, write_configurations},
};

/// How it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Connections at a time.
    pub clients: u32,
    /// Samples of each subject.
    pub rounds: usize,
    /// Length of a sample.
    pub turn_milliseconds: f64,
    /// CPU of clients and servers.
    pub ends_cpu: usize,
    /// CPU of what forwards.
    pub forwarder_cpu: usize,
}

/// What one turn showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Answers that clients got.
    pub answers: u64,
    /// Packets that came to the forwarder, from both sides.
    pub packets: u64,
    /// How long it took.
    pub seconds: f64,
    /// CPU time that forwarding took.
    pub cpu_seconds: f64,
}

impl Sample {
    fn answers_per_core(&self) -> f64 {
        self.answers as f64 / self.cpu_seconds
    }
}

/// What a subject did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Thousands of requests over lasting connections for a second of CPU time.
    pub requests: Summary,
    /// Each sample of it.
    pub samples: Vec<f64>,
    /// Thousands of connections with one request each for a second of CPU time.
    pub connections: Summary,
    /// Each sample of it.
    pub connection_samples: Vec<f64>,
    /// Thousands of requests a second that there were.
    pub requests_per_second: f64,
    /// Packets that came to the forwarder for each request.
    pub packets_per_request: f64,
    /// How it was configured.
    pub how: String,
    /// Whether the samples are too far apart to say much.
    pub noisy: bool,
}

impl Row {
    /// `None` without samples.
    #[must_use]
    pub fn new(subject: Subject, requests: &[Sample], connections: &[Sample], how: String) -> Option<Self> {
        let thousands = |samples: &[Sample]| -> Vec<f64> {
            samples
                .iter()
                .map(|sample| sample.answers_per_core() / 1e3)
                .collect()
        };
        let of = |value: &dyn Fn(&Sample) -> f64| {
            let values: Vec<f64> = requests.iter().map(value).collect();
            Some(Summary::of(&values)?.median)
        };
        let (samples, connection_samples) = (thousands(requests), thousands(connections));
        let (requests, connections) = (Summary::of(&samples)?, Summary::of(&connection_samples)?);
        Some(Self {
            name: subject.name().to_owned(),
            requests_per_second: of(&|sample| sample.answers as f64 / sample.seconds / 1e3)?,
            packets_per_request: of(&|sample| sample.packets as f64 / sample.answers.max(1) as f64)?,
            noisy: requests.is_noisy() || connections.is_noisy(),
            requests,
            samples,
            connections,
            connection_samples,
            how,
        })
    }
}

/// The whole result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How.
    pub settings: Settings,
    /// One a subject.
    pub rows: Vec<Row>,
    /// Subjects that were not measured, and why.
    pub left_out: Vec<String>,
}

impl Report {
    /// A bar for each subject, for a picture.
    #[must_use]
    pub fn bars(&self) -> Vec<(&str, Summary)> {
        self.rows
            .iter()
            .map(|row| (row.name.as_str(), row.requests))
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            settings,
            rows,
            left_out,
        } = self;
        writeln!(
            f,
            "{}, Linux {}, veth; forwarding on CPU {} of {}; {} clients; {} rounds of {} ms",
            machine.cpu,
            machine.kernel,
            settings.forwarder_cpu,
            machine.cpus,
            settings.clients,
            settings.rounds,
            settings.turn_milliseconds
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:30} {:>12} {:>17} {:>16} {:>15} {:>12}",
            "thousands for a CPU second",
            "requests",
            "min .. max",
            "connections",
            "packets/request",
            "requests/s"
        )?;
        for row in rows {
            let Summary { min, median, max, .. } = row.requests;
            writeln!(
                f,
                "{:30} {median:>12.1} {:>17} {:>16.1} {:>15.1} {:>12.1}",
                row.name,
                format!("{min:.1} .. {max:.1}"),
                row.connections.median,
                row.packets_per_request,
                row.requests_per_second
            )?;
        }
        for reason in left_out {
            writeln!(f, "left out: {reason}")?;
        }
        for row in rows.iter().filter(|row| row.noisy) {
            writeln!(f, "NOISY: {}: the samples lie far apart", row.name)?;
        }
        let configurations = rows.iter().map(|row| (row.name.as_str(), row.how.as_str()));
        write_configurations(f, configurations)
    }
}
