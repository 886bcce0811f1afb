//! The quick set on one page: `cargo xtask bench` without a word.
//!
//! The documents show such a page, too: [`documents`] puts a kept result into them, and a test compares.

mod aims;
pub mod documents;
mod markdown;

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{
    connections, fastpath, latency,
    picture::Picture,
    report,
    template::Family,
    throughput::{self, Frames},
};

/// Samples of each row: so many that the whole takes some five minutes.
const FASTPATH_ROUNDS: usize = 8;
const ROUNDS: usize = 10;
const LATENCY_ROUNDS: usize = 3;
const FLOWS: u32 = 1_000_000;
const SERVICES: u16 = 512;

/// The results that are on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    /// The program in memory.
    pub fastpath: report::Report,
    /// Packets through a director, and how long they take.
    pub throughput: throughput::report::Report,
    /// The same with IPv6.
    pub throughput6: throughput::report::Report,
    /// Requests and connections through it.
    pub connections: connections::report::Report,
    /// Requests while the director is changed.
    pub latency: latency::report::Report,
}

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// Those of the measurements.
pub fn run(mut tell: impl FnMut(&str)) -> Result<Page> {
    let throughput = throughput::run(
        &throughput::Options {
            flows: 10_000,
            new: None,
            family: Family::V4,
            frames: Frames::Of(Family::V4.shortest()),
            rounds: ROUNDS,
            turn: Duration::from_millis(300),
            tolerated: 0.001,
            delays: true,
            by_flows: throughput::flows::NUMBERS.to_vec(),
            filter: None,
        },
        |doing| tell(&format!("packets: {doing}")),
    )?;
    let throughput6 = throughput::run(
        &throughput::Options {
            flows: 10_000,
            new: None,
            family: Family::V6,
            frames: Frames::Of(Family::V6.shortest()),
            rounds: ROUNDS,
            turn: Duration::from_millis(300),
            tolerated: 0.001,
            delays: false,
            by_flows: Vec::new(),
            filter: None,
        },
        |doing| tell(&format!("packets, IPv6: {doing}")),
    )?;
    let connections = connections::run(
        &connections::Options {
            clients: 64,
            rounds: ROUNDS,
            turn: Duration::from_millis(500),
            filter: None,
        },
        |doing| tell(&format!("connections: {doing}")),
    )?;
    let latency = latency::run(
        &latency::Options {
            rate: 300.0,
            rounds: LATENCY_ROUNDS,
            turn: Duration::from_secs(2),
        },
        |doing| tell(&format!("requests: {doing}")),
    )?;
    // Last, since it keeps this thread on one CPU.
    let fastpath = fastpath::run(
        &fastpath::Options {
            flows: FLOWS,
            services: SERVICES,
            rounds: FASTPATH_ROUNDS,
            filter: None,
            cpu: None,
        },
        |doing| tell(&format!("the program: {doing}")),
    )?;
    Ok(Page {
        fastpath,
        throughput,
        throughput6,
        connections,
        latency,
    })
}

impl Page {
    /// Packets a second, as a picture.
    #[must_use]
    pub fn picture(&self) -> Picture {
        self.throughput.picture()
    }

    /// Names of rows whose samples lie too far apart to say much.
    #[must_use]
    pub fn noisy(&self) -> Vec<&str> {
        let rows = self.fastpath.rows.iter();
        let fastpath = rows.map(|row| (row.name.as_str(), row.noisy));
        let rows = self.throughput.rows.iter();
        let throughput = rows.map(|row| (row.name.as_str(), row.noisy));
        let rows = self
            .throughput
            .by_flows
            .iter()
            .flat_map(|by_flows| &by_flows.rows);
        let by_flows = rows.map(|row| (row.name.as_str(), row.noisy));
        let rows = self.latency.rows.iter();
        let latency = rows.map(|row| (row.name.as_str(), row.noisy));
        let rows = self.connections.rows.iter();
        let connections = rows.map(|row| (row.name.as_str(), row.noisy));
        fastpath
            .chain(throughput)
            .chain(by_flows)
            .chain(connections)
            .chain(latency)
            .filter(|(_, noisy)| *noisy)
            .map(|(name, _)| name)
            .collect()
    }
}

/// The page as the README has it.
impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&markdown::short(self))
    }
}
