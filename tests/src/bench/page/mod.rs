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
    connections, fastpath, picture, report,
    throughput::{self, Frames},
};

/// Samples of each row: so many that the whole takes some four minutes.
const FASTPATH_ROUNDS: usize = 8;
const ROUNDS: usize = 10;
const FLOWS: u32 = 1_000_000;
const SERVICES: u16 = 512;

/// The results that are on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page {
    /// The program in memory.
    pub fastpath: report::Report,
    /// Packets through a director, and how long they take.
    pub throughput: throughput::report::Report,
    /// Requests and connections through it.
    pub connections: connections::report::Report,
}

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// Those of the measurements.
pub fn run(mut tell: impl FnMut(&str)) -> Result<Page> {
    let throughput = throughput::run(
        &throughput::Options {
            flows: 10_000,
            frames: Frames::Of(64),
            rounds: ROUNDS,
            turn: Duration::from_millis(300),
            tolerated: 0.001,
            delays: true,
            filter: None,
        },
        |doing| tell(&format!("packets: {doing}")),
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
    let fastpath = fastpath::run(
        &fastpath::Options {
            flows: FLOWS,
            services: SERVICES,
            rounds: FASTPATH_ROUNDS,
            filter: None,
            cpu: None,
        },
        |round| {
            let round = round + 1;
            tell(&format!("the program: round {round} of {FASTPATH_ROUNDS}"));
        },
    )?;
    Ok(Page {
        fastpath,
        throughput,
        connections,
    })
}

impl Page {
    /// Packets a second, as a picture (SVG).
    #[must_use]
    pub fn picture(&self) -> String {
        picture::bars(
            "Packets through one core",
            "million packets for a CPU second",
            "Tandem",
            &self.throughput.bars(),
        )
    }

    /// Names of rows whose samples lie too far apart to say much.
    #[must_use]
    pub fn noisy(&self) -> Vec<&str> {
        let rows = self.fastpath.rows.iter();
        let fastpath = rows.map(|row| (row.name.as_str(), row.noisy));
        let rows = self.throughput.rows.iter();
        let throughput = rows.map(|row| (row.name.as_str(), row.noisy));
        let rows = self.connections.rows.iter();
        let connections = rows.map(|row| (row.name.as_str(), row.noisy));
        fastpath
            .chain(throughput)
            .chain(connections)
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
