//! What came out: for people, and for machines.

use std::fmt;

use lb_userspace::bench::trial::Delay;
use serde::{Deserialize, Serialize};

use super::{flows::ByFlows, stage::Trial};
use crate::bench::{
    machine::Machine,
    picture::Picture,
    slide::of_subjects,
    stats::Summary,
    subject::{Subject, write_configurations},
};

/// What sends frames that fit into a page.
pub const XDP: &str = "XDP";

fn xdp() -> String {
    XDP.to_owned()
}

/// How it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Flows that packets were drawn from; or half as many as tables have places, if each packet began another.
    pub flows: u32,
    /// What each packet was with which another flow began; `None` if flows had more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// By which network protocol.
    pub family: String,
    /// Which packets.
    pub frames: String,
    /// What sent them.
    #[serde(default = "xdp")]
    pub source: String,
    /// Samples of each subject.
    pub rounds: usize,
    /// Length of a sample.
    pub turn_milliseconds: f64,
    /// The share of packets that may be lost at the no-drop rate.
    pub tolerated_loss: f64,
    /// CPU of the generator.
    pub generator_cpu: usize,
    /// CPU of what forwards.
    pub forwarder_cpu: usize,
}

impl Settings {
    /// What was sent, for a sentence.
    fn packets(&self) -> String {
        let flows = self.flows;
        self.new.as_ref().map_or_else(
            || format!("{flows} flows"),
            |kind| format!("{kind}, each a new flow; Tandem's table has {} places", 2 * flows),
        )
    }
}

/// What a subject did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Millions of packets a second of CPU time.
    pub mpps: Summary,
    /// Each sample of it, in the order of the rounds.
    pub samples: Vec<f64>,
    /// Millions of packets a second that came through while more were sent.
    pub mpps_at_full_load: f64,
    /// Millions of packets a second that came through without loss; `None` if not measured, or there was no such rate.
    pub mpps_without_loss: Option<f64>,
    /// Delays below that.
    pub delays: Vec<Delay>,
    /// The share of the bare redirect's packets a second.
    pub of_redirect: Option<f64>,
    /// The share of those of a redirect that writes MAC addresses; `None` where that was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_rewrite: Option<f64>,
    /// What the share of the bare redirect's should be.
    pub target: Option<f64>,
    /// How it was configured.
    pub how: String,
    /// Whether the samples are too far apart to say much.
    pub noisy: bool,
}

impl Row {
    /// `None` without samples.
    #[must_use]
    pub fn new(
        subject: Subject,
        full: &[Trial],
        no_drop: Option<f64>,
        delays: Vec<Delay>,
        how: String,
    ) -> Option<Self> {
        let samples: Vec<f64> = full.iter().map(|trial| trial.per_core() / 1e6).collect();
        let at_full_load: Vec<f64> = full
            .iter()
            .map(|trial| trial.passage.received as f64 / trial.passage.seconds / 1e6)
            .collect();
        let mpps = Summary::of(&samples)?;
        Some(Self {
            name: subject.name().to_owned(),
            noisy: mpps.is_noisy(),
            mpps,
            samples,
            mpps_at_full_load: Summary::of(&at_full_load)?.median,
            mpps_without_loss: no_drop.map(|rate| rate / 1e6),
            delays,
            of_redirect: None,
            of_rewrite: None,
            target: target(subject),
            how,
        })
    }

    fn verdict(&self) -> &'static str {
        match (self.of_redirect, self.target) {
            (Some(share), Some(target)) if share >= target => "ok",
            (Some(_), Some(_)) => "below",
            _ => "",
        }
    }
}

/// The share of the bare redirect's rate that a subject should reach.
const fn target(subject: Subject) -> Option<f64> {
    match subject {
        Subject::Dr | Subject::Ipip => Some(0.9),
        Subject::Redirect
        | Subject::Rewrite
        | Subject::Stateless
        | Subject::Late
        | Subject::Nat
        | Subject::Routing
        | Subject::Nftables
        | Subject::Ipvs
        | Subject::Haproxy
        | Subject::Nginx => None,
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
    /// What more and more flows cost a director, if that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_flows: Option<ByFlows>,
    /// Subjects that were not measured, and why.
    pub left_out: Vec<String>,
}

impl Report {
    /// Draws the conclusions.
    #[must_use]
    pub fn new(machine: Machine, settings: Settings, mut rows: Vec<Row>, left_out: Vec<String>) -> Self {
        let median = |subject: Subject| {
            let mut rows = rows.iter();
            let row = rows.find(|row| row.name == subject.name())?;
            Some(row.mpps.median)
        };
        let (redirect, rewrite) = (median(Subject::Redirect), median(Subject::Rewrite));
        for row in &mut rows {
            row.of_redirect = redirect.map(|floor| row.mpps.median / floor);
            row.of_rewrite = rewrite.map(|floor| row.mpps.median / floor);
            // What should be reached is about packets of flows that are known.
            row.target = row.target.filter(|_| settings.new.is_none());
        }
        Self {
            machine,
            settings,
            rows,
            by_flows: None,
            left_out,
        }
    }

    /// Microseconds that half of the packets took more than through a bare redirect at its own such load.
    #[must_use]
    pub fn added(&self, delay: &Delay) -> Option<f64> {
        let mut rows = self.rows.iter();
        let floor = rows.find(|row| row.name == Subject::Redirect.name())?;
        let least = floor.delays.iter().find(|least| least.load == delay.load)?;
        Some(delay.median_us - least.median_us)
    }

    /// A bar for each subject.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let rows = self.rows.iter().map(|row| (row.name.as_str(), row.mpps));
        let rows: Vec<_> = rows.collect();
        let (title, unit) = match self.settings.new {
            None => ("Packets through one core", "million packets for a CPU second"),
            Some(_) => ("New flows through one core", "million new flows for a CPU second"),
        };
        of_subjects(title, unit, &self.machine, &rows)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            settings,
            rows,
            by_flows,
            left_out,
        } = self;
        writeln!(
            f,
            "{}, Linux {}, veth; forwarding on CPU {} of {}; {}, {}, {} by {}; {} rounds of {} ms",
            machine.cpu,
            machine.kernel,
            settings.forwarder_cpu,
            machine.cpus,
            settings.family,
            settings.packets(),
            settings.frames,
            settings.source,
            settings.rounds,
            settings.turn_milliseconds
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:36} {:>9} {:>15} {:>9} {:>9} {:>12} {:>7} {:>12}",
            match settings.new {
                None => "packets a second",
                Some(_) => "new flows a second",
            },
            "Mpps/core",
            "min .. max",
            "ns/packet",
            "no loss",
            "of redirect",
            "target",
            "MACs written"
        )?;
        for row in rows {
            let Summary { min, median, max, .. } = row.mpps;
            let no_loss = row.mpps_without_loss.map(|rate| format!("{rate:.2}"));
            let share = row.of_redirect.map(|share| format!("{:.0} %", share * 100.0));
            let target = row.target.map(|target| format!("{:.0} %", target * 100.0));
            let of_rewrite = row.of_rewrite.map(|share| format!("{:.0} %", share * 100.0));
            writeln!(
                f,
                "{:36} {median:>9.2} {:>15} {:>9.0} {:>9} {:>12} {:>7} {:>12}  {}",
                row.name,
                format!("{min:.2} .. {max:.2}"),
                1000.0 / median,
                no_loss.unwrap_or_default(),
                share.unwrap_or_default(),
                target.unwrap_or_default(),
                of_rewrite.unwrap_or_default(),
                row.verdict()
            )?;
        }
        if rows.iter().any(|row| !row.delays.is_empty()) {
            writeln!(f)?;
            writeln!(
                f,
                "{:36} {:>8} {:>9} {:>9} {:>9} {:>9}",
                "microseconds under way", "load", "median", "added", "99 %", "99.9 %"
            )?;
            for row in rows {
                for delay in &row.delays {
                    let Delay {
                        load,
                        median_us,
                        p99_us,
                        p999_us,
                    } = delay;
                    let added = self.added(delay).map(|added| format!("{added:+.1}"));
                    writeln!(
                        f,
                        "{:36} {:>6.0} % {median_us:>9.1} {:>9} {p99_us:>9.1} {p999_us:>9.1}",
                        row.name,
                        load * 100.0,
                        added.unwrap_or_default()
                    )?;
                }
            }
        }
        if let Some(by_flows) = by_flows {
            write!(f, "\n{by_flows}")?;
        }
        for reason in left_out {
            writeln!(f, "left out: {reason}")?;
        }
        for row in rows.iter().filter(|row| row.noisy) {
            let Summary { lower, upper, .. } = row.mpps;
            writeln!(
                f,
                "NOISY: {}: half of the samples in {lower:.2} .. {upper:.2}",
                row.name
            )?;
        }
        let configurations = rows.iter().map(|row| (row.name.as_str(), row.how.as_str()));
        write_configurations(f, configurations)
    }
}
