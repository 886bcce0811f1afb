//! What came out: for people, and for machines.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    LARGE_BACKENDS_EACH,
    measure::{Outcome, Sample},
    memory::{self, Memory},
};
use crate::bench::{machine::Machine, stats::Summary};

/// How it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Flows in each flow table.
    pub flows: u32,
    /// Services of the large director.
    pub services: u16,
    /// Samples of each case.
    pub rounds: usize,
    /// CPU time of a sample.
    pub turn_milliseconds: f64,
    /// The living director of which a copy was measured; else it was made up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub living: Option<Living>,
}

/// A director that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Living {
    /// Where its maps are pinned.
    pub directory: String,
    /// The interface that packets were said to come in by.
    pub interface: String,
    /// Flows that it had.
    pub flows: u64,
    /// Places for flows of IPv4 and of IPv6.
    pub places: [u64; 2],
    /// Whether the program on the interface is the one that was measured, by the kernel's digest of it; `None` where there is
    /// none, or the kernel does not say.
    pub same_program: Option<bool>,
    /// What was not measured, and why.
    pub left_out: Vec<String>,
}

/// The whole result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How.
    pub settings: Settings,
    /// One a case.
    pub rows: Vec<Row>,
    /// Memory of the flow table; `None` when only floors were measured.
    pub memory: Option<Memory>,
}

/// What a case cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Nanoseconds a packet, with the front and the test run around it, over the still samples, or over all where
    /// there are too few of those.
    pub nanoseconds: Summary,
    /// Samples during which the CPU was ours alone.
    pub still: usize,
    /// Millions of packets a second on one CPU at the median.
    pub mpps: f64,
    /// Name of the floor.
    pub floor: Option<String>,
    /// Nanoseconds by which its median lies above the floor's.
    pub above_floor: Option<f64>,
    /// Nanoseconds above the floor that it should not exceed.
    pub target: Option<f64>,
    /// Whether it does not.
    pub reached: Option<bool>,
    /// The share of packets whose flow took another's place in the flow table.
    pub evicting: f64,
    /// The same case on a small director, and how many times as much it costs here above the floor.
    pub small: Option<(String, f64)>,
    /// Whether the samples are too far apart, or too few of them still, to say much.
    pub noisy: bool,
    /// Each sample, in the order of the rounds.
    pub samples: Vec<Sample>,
}

impl Report {
    /// Draws the conclusions.
    #[must_use]
    pub fn new(machine: Machine, settings: Settings, outcomes: &[Outcome], memory: Option<Memory>) -> Self {
        Self {
            machine,
            settings,
            rows: outcomes
                .iter()
                .filter_map(|outcome| Row::new(outcome, outcomes))
                .collect(),
            memory,
        }
    }
}

impl Row {
    fn new(outcome: &Outcome, all: &[Outcome]) -> Option<Self> {
        let case = &outcome.case;
        let (nanoseconds, is_still) = summarise(&outcome.samples)?;
        let above_floor = above_floor(outcome, all);
        let small = case.small.and_then(|name| {
            let small = above_floor_of(name, all)?;
            Some((name.to_owned(), above_floor? / small))
        });
        Some(Self {
            name: case.name.clone(),
            nanoseconds,
            still: outcome.samples.iter().filter(|sample| sample.still).count(),
            mpps: 1000.0 / nanoseconds.median,
            floor: case.floor.map(str::to_owned),
            above_floor,
            target: case.target,
            reached: above_floor
                .zip(case.target)
                .map(|(above, target)| above <= target),
            evicting: outcome.evicting,
            small,
            noisy: !is_still || nanoseconds.is_noisy(),
            samples: outcome.samples.clone(),
        })
    }

    fn verdict(&self) -> String {
        match (self.above_floor, self.target) {
            (Some(above), Some(target)) if above <= target => "ok".to_owned(),
            (Some(above), Some(target)) => format!("over by {:.1}", above - target),
            _ => String::new(),
        }
    }
}

/// What the still samples say, and whether it is them: when they are less than a third, all are heard. `None` for no samples.
#[must_use]
pub fn summarise(samples: &[Sample]) -> Option<(Summary, bool)> {
    let of = |chosen: &dyn Fn(&Sample) -> bool| {
        let chosen = samples.iter().filter(|sample| chosen(sample));
        chosen.map(|sample| sample.nanoseconds).collect::<Vec<_>>()
    };
    let still = of(&|sample| sample.still);
    if still.len() * 3 >= samples.len() {
        Some((Summary::of(&still)?, true))
    } else {
        Some((Summary::of(&of(&|_| true))?, false))
    }
}

fn above_floor_of(name: &str, all: &[Outcome]) -> Option<f64> {
    above_floor(all.iter().find(|outcome| outcome.case.name == name)?, all)
}

fn above_floor(outcome: &Outcome, all: &[Outcome]) -> Option<f64> {
    let floor = all
        .iter()
        .find(|other| Some(other.case.name.as_str()) == outcome.case.floor)?;
    let ((case, _), (floor, _)) = (summarise(&outcome.samples)?, summarise(&floor.samples)?);
    Some(case.median - floor.median)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine, settings, ..
        } = self;
        let tables = settings.living.as_ref().map_or_else(
            || format!("{} flows in each table, which is half full", settings.flows),
            |living| format!("a copy of the director at {}", living.directory),
        );
        writeln!(
            f,
            "{}, Linux {}, {}; {tables}; {} rounds of {} ms",
            machine.cpu,
            machine.kernel,
            machine.place(),
            settings.rounds,
            settings.turn_milliseconds
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:34} {:>8} {:>17} {:>6} {:>6} {:>8} {:>7}",
            "ns a packet", "median", "min .. max", "still", "Mpps", "+ floor", "target"
        )?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        writeln!(f)?;
        self.notes(f)
    }
}

impl Report {
    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(living) = &self.settings.living {
            write!(f, "{living}")?;
        }
        for row in &self.rows {
            if let Some((small, times)) = &row.small {
                writeln!(
                    f,
                    "{} services with {} backends: {small} costs {times:.2} times as much as with one service",
                    self.settings.services,
                    u32::from(self.settings.services) * LARGE_BACKENDS_EACH
                )?;
            }
        }
        for row in self.rows.iter().filter(|row| row.evicting > 0.0) {
            writeln!(
                f,
                "{}: {:.3} % took the place of another flow",
                row.name,
                row.evicting * 100.0
            )?;
        }
        if let Some(memory) = self.memory {
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            writeln!(
                f,
                "memory: {:.1} MB for {} IPv4 flows (target {:.0} MB; measured: {:.1} MB for {} flows)",
                megabytes(memory.bytes_for_target),
                memory::FLOWS,
                megabytes(memory.target),
                megabytes(memory.bytes),
                memory.places
            )?;
        }
        let noisy: Vec<_> = self.rows.iter().filter(|row| row.noisy).collect();
        if !noisy.is_empty() {
            writeln!(
                f,
                "NOISY: these samples lie far apart, or during most of them something else was at work on the same core, \
                 or somebody had the kernel measure all BPF programs:"
            )?;
            for row in noisy {
                let Summary { lower, upper, .. } = row.nanoseconds;
                writeln!(f, "  {}: half of them in {lower:.1} .. {upper:.1}", row.name)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Living {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [v4, v6] = self.places;
        writeln!(
            f,
            "packets as if they came in by {}, to a copy of its configuration and of its {} flows (places for {v4} of IPv4, {v6} of \
             IPv6)",
            self.interface, self.flows
        )?;
        match self.same_program {
            Some(true) => writeln!(f, "the program is the one that runs on {}", self.interface)?,
            Some(false) => writeln!(
                f,
                "NOT THE SAME: the program that runs on {} is another than this version of tandem has: the figures are of this one",
                self.interface
            )?,
            None => writeln!(
                f,
                "no program of which the kernel tells runs on {}",
                self.interface
            )?,
        }
        self.left_out
            .iter()
            .try_for_each(|what| writeln!(f, "left out: {what}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { min, median, max, .. } = self.nanoseconds;
        let range = format!("{min:.1} .. {max:.1}");
        let still = format!("{}/{}", self.still, self.samples.len());
        let above = self.above_floor.map(|above| format!("{above:.1}"));
        let target = self.target.map(|target| format!("{target:.0}"));
        write!(
            f,
            "{:34} {median:>8.1} {range:>17} {still:>6} {:>6.1} {:>8} {:>7}  {}",
            self.name,
            self.mpps,
            above.unwrap_or_default(),
            target.unwrap_or_default(),
            self.verdict()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::measure::{Case, Expected, Subject},
        *,
    };
    use crate::bench::{
        front::{Floor, Wrapping},
        template::{Payload, Template},
    };

    fn outcome(
        name: &str,
        floor: Option<&'static str>,
        small: Option<&'static str>,
        samples: &[(f64, bool)],
    ) -> Outcome {
        let sample = |&(nanoseconds, still)| Sample { nanoseconds, still };
        Outcome {
            case: Case {
                name: name.to_owned(),
                subject: Subject::Floor(Floor::Empty),
                wrapping: Wrapping::Bare,
                template: Template::v4([198, 18], [192, 0, 2, 10], Payload::Udp(53)).unwrap(),
                flows: 1,
                expected: Expected::Forwarded,
                floor,
                target: floor.map(|_| 25.0),
                small,
            },
            samples: samples.iter().map(sample).collect(),
            evicting: 0.0,
        }
    }

    fn rows() -> Vec<Row> {
        let still = |ns| [(ns, true); 3];
        let outcomes = [
            outcome("floor", None, None, &still(10.0)),
            outcome("cheap", Some("floor"), None, &still(30.0)),
            outcome("dear", Some("floor"), Some("cheap"), &still(40.0)),
            outcome("half", None, None, &[(20.0, true), (90.0, false), (22.0, true)]),
            outcome("lost", None, None, &[(90.0, false), (91.0, false), (92.0, false)]),
        ];
        outcomes
            .iter()
            .filter_map(|one| Row::new(one, &outcomes))
            .collect()
    }

    #[test]
    fn what_counts_is_above_the_floor() {
        let rows = rows();
        assert_eq!((rows[0].above_floor, rows[0].reached), (None, None));
        assert_eq!((rows[1].above_floor, rows[1].reached), (Some(20.0), Some(true)));
        assert_eq!((rows[2].above_floor, rows[2].reached), (Some(30.0), Some(false)));
        assert_eq!(rows[2].small, Some(("cheap".to_owned(), 1.5)));
        assert_eq!(
            (rows[1].verdict().as_str(), rows[2].verdict().as_str()),
            ("ok", "over by 5.0")
        );
        assert_eq!(rows[2].mpps, 25.0);
    }

    #[test]
    fn disturbed_samples_count_only_where_there_are_no_others() {
        let rows = rows();
        let (half, lost) = (&rows[3], &rows[4]);
        assert_eq!(
            (half.nanoseconds.median, half.still, half.noisy),
            (21.0, 2, false)
        );
        assert_eq!((lost.nanoseconds.median, lost.still, lost.noisy), (91.0, 0, true));
    }
}
