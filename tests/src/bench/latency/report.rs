//! What came out: for people, and for machines.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Situation, client::Asked};
use crate::bench::{
    machine::Machine,
    measure::Sample,
    stats::{Summary, quantile},
};

/// How it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Requests a second.
    pub rate: f64,
    /// Samples of each situation.
    pub rounds: usize,
    /// Length of a sample.
    pub turn_milliseconds: f64,
}

/// How long requests took in a situation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Changes that were made meanwhile.
    pub changes: u64,
    /// Requests that were answered.
    pub requests: usize,
    /// Requests that were not.
    pub failed: usize,
    /// What was said of the first of those.
    pub failure: Option<String>,
    /// Microseconds that half of the answered ones did not exceed.
    pub median_us: f64,
    /// The same for 99 % of them.
    pub p99_us: f64,
    /// The same for 99.9 %.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
    /// The median of each turn.
    pub samples: Vec<Sample>,
    /// Whether those lie too far apart to say much.
    pub noisy: bool,
}

impl Row {
    /// `None` when nobody was answered.
    #[must_use]
    pub fn new(situation: Situation, turns: &[(Asked, u64)]) -> Option<Self> {
        let sorted = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            all
        };
        let asked = || turns.iter().map(|(asked, _)| asked);
        let all = sorted(asked().flat_map(|asked| asked.microseconds.clone()).collect());
        let medians: Vec<f64> = asked()
            .filter_map(|asked| quantile(&sorted(asked.microseconds.clone()), 0.5))
            .collect();
        let failures = || asked().flat_map(|asked| &asked.failed);
        Some(Self {
            name: situation.name().to_owned(),
            changes: turns.iter().map(|(_, changes)| changes).sum(),
            requests: all.len(),
            failed: failures().count(),
            failure: failures().next().cloned(),
            median_us: quantile(&all, 0.5)?,
            p99_us: quantile(&all, 0.99)?,
            p999_us: quantile(&all, 0.999)?,
            max_us: *all.last()?,
            noisy: Summary::of(&medians)?.is_noisy(),
            samples: medians
                .into_iter()
                .map(|median| Sample {
                    nanoseconds: median * 1000.0,
                    still: true,
                })
                .collect(),
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
    /// One a situation.
    pub rows: Vec<Row>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            settings,
            rows,
        } = self;
        writeln!(
            f,
            "{}, Linux {}; {} requests a second, each by a connection of its own; {} rounds of {} ms",
            machine.cpu, machine.kernel, settings.rate, settings.rounds, settings.turn_milliseconds
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:34} {:>8} {:>9} {:>7} {:>8} {:>8} {:>8} {:>9}",
            "microseconds for a request",
            "changes",
            "requests",
            "failed",
            "median",
            "99 %",
            "99.9 %",
            "longest"
        )?;
        for row in rows {
            writeln!(
                f,
                "{:34} {:>8} {:>9} {:>7} {:>8.0} {:>8.0} {:>8.0} {:>9.0}",
                row.name,
                row.changes,
                row.requests,
                row.failed,
                row.median_us,
                row.p99_us,
                row.p999_us,
                row.max_us
            )?;
        }
        for row in rows {
            if let Some(failure) = &row.failure {
                writeln!(
                    f,
                    "{}: {} failed, the first with: {failure}",
                    row.name, row.failed
                )?;
            }
            if row.noisy {
                writeln!(f, "NOISY: {}: the medians of the rounds lie far apart", row.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_turns_count_as_one_and_failures_are_told() {
        let turn = |from: u32, failed: &[&str]| Asked {
            microseconds: (from..from + 100).map(f64::from).collect(),
            failed: failed.iter().map(|&text| text.to_owned()).collect(),
        };
        let turns = [(turn(1, &[]), 3), (turn(101, &["no answer"]), 4)];
        let row = Row::new(Situation::Flaps, &turns).unwrap();
        assert_eq!((row.changes, row.requests, row.failed), (7, 200, 1));
        assert_eq!((row.median_us, row.max_us), (100.5, 200.0));
        assert_eq!(row.failure.as_deref(), Some("no answer"));
        assert_eq!(row.samples[0].nanoseconds, 50_500.0);
        assert!(Row::new(Situation::Flaps, &[]).is_none());
    }
}
