//! Packets a second through a director, beside what a user would take in its place: `cargo xtask bench throughput`.
//!
//! Each [subject](super::subject) forwards on a [`stage`] of its own: three hosts in a row. The generator sends on one CPU; it
//! works on another, in a thread of the kernel whose CPU time is known; the sink counts what comes. Subjects take turns,
//! round after round.

pub mod flows;
pub mod report;
pub mod stage;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};

pub use lb_userspace::bench::frames::{Frames, Kind};
use lb_userspace::bench::{
    generator::{Flows, Generator, IN_A_PAGE, Pace},
    search::no_drop_rate,
    trial::{Delay, LOADS},
};

use self::{
    flows::ByFlows,
    report::{Report, Row, Settings},
    stage::{Stage, Trial},
};
use super::{
    front::Wire,
    line::{Cpus, vip},
    machine::Machine,
    subject::{AtWork, Subject, Task},
    template::{Family, Template},
};

/// Bytes of the longest frame: jumbo frames, and an Ethernet header.
const LONGEST: usize = 9014;
/// Port that datagrams go to.
const PORT: u16 = 53;
/// Packets of each flow before anything counts: drawn at random, hardly one is left out.
const WARM_UP: f64 = 12.0;
/// Packets a second meanwhile, and how often that is tried again at most.
const WARM_UP_RATE: f64 = 100_000.0;
const WARM_UPS: usize = 4;
/// Half as many flows as a table has places in which each packet begins another: as many places as conntrack has on most machines
/// (nf_conntrack_max), so that both are full.
pub const NEW_FLOWS: u32 = 1 << 17;
/// New flows a second until it is.
const FILLING: f64 = 400_000.0;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Flows that packets are drawn from; with `new`, half as many as tables have places.
    pub flows: u32,
    /// Each packet begins another flow, and is one of these.
    pub new: Option<Kind>,
    /// By which network protocol.
    pub family: Family,
    /// Which packets.
    pub frames: Frames,
    /// Times that each subject has its turn.
    pub rounds: usize,
    /// How long a turn is.
    pub turn: Duration,
    /// The share of packets that may be lost at the no-drop rate.
    pub tolerated: f64,
    /// Whether no-drop rates and delays are measured, which takes longer than all else.
    pub delays: bool,
    /// Numbers of flows, the fewest first, with which a director is measured beside the others; none: it is not.
    pub by_flows: Vec<u32>,
    /// Only subjects whose name contains this, and the floor.
    pub filter: Option<String>,
}

impl Options {
    fn templates(&self) -> Result<Vec<(Template, u32)>> {
        let to = SocketAddr::new(vip(self.family), PORT);
        self.frames.packets(self.new.unwrap_or_default(), to)
    }

    /// Whose packets are sent.
    fn drawn(&self) -> Flows {
        self.new.map_or(Flows::Random(self.flows), |_| Flows::Each)
    }

    /// Packets until everybody has seen what there is to see, and how many of them a second.
    fn warm_up(&self) -> (f64, f64) {
        match self.new {
            None => (f64::from(self.flows) * WARM_UP, WARM_UP_RATE),
            // The whole table.
            Some(_) => (f64::from(self.flows) * 2.5, FILLING),
        }
    }

    /// Why something cannot be measured with these packets.
    fn obstacle(&self, subject: Subject) -> Option<String> {
        if self.new.is_some() && subject == Subject::Nat {
            return Some(
                "a translation that is in use is never given up for another flow, so a full table takes no new ones; \
                 `cargo xtask bench connections` has connections that end"
                    .to_owned(),
            );
        }
        subject.obstacle(self.flows, self.family)
    }
}

/// A subject at work.
struct Lane {
    subject: Subject,
    stage: Stage,
    generator: Generator,
    full: Vec<Trial>,
    at_work: AtWork,
}

impl Lane {
    /// At work, with a generator of so many flows that nothing has seen yet.
    fn start(subject: Subject, cpus: Cpus, options: &Options, flows: u32, drawn: Flows) -> Result<Self> {
        let mut stage = Stage::build(cpus, options.family, options.frames.longest())?;
        let task = Task {
            protocol: options.new.unwrap_or_default().protocol(),
            port: PORT,
            flows,
            family: options.family,
        };
        let at_work = subject.put_to_work(&stage.line, task, cpus)?;
        if subject == Subject::Nftables && options.new == Some(Kind::Syns) {
            // They have no valid one.
            let namespace = stage.line.forwarder.namespace();
            namespace.set("netfilter/nf_conntrack_checksum", "0")?;
        }
        stage.poll_apart()?;
        Ok(Self {
            generator: stage.generator(&options.templates()?, drawn, Wire::Plain)?,
            subject,
            stage,
            full: Vec::new(),
            at_work,
        })
    }

    fn new(subject: Subject, cpus: Cpus, options: &Options) -> Result<Self> {
        let mut lane = Self::start(subject, cpus, options, options.flows, options.drawn())?;
        let Self { stage, generator, .. } = &mut lane;
        // At a rate that everybody can follow, so that each flow is seen; but a busy machine may not let them.
        let mut warm_up = || {
            let (packets, rate) = options.warm_up();
            let duration = Duration::from_secs_f64(packets / rate);
            stage.trial(generator, Pace::Rate(rate), duration)
        };
        let mut trial = warm_up()?;
        for _ in 0..WARM_UPS {
            if trial.passage.loss() < 0.05 {
                break;
            }
            trial = warm_up()?;
        }
        ensure!(
            trial.passage.received > 0,
            "{} forwarded none of {} packets",
            subject.name(),
            trial.passage.sent
        );
        Ok(lane)
    }

    /// The highest rate without loss, and delays below it.
    fn delays(&mut self, options: &Options) -> Result<(Option<f64>, Vec<Delay>)> {
        let highest = self
            .full
            .iter()
            .map(|trial| trial.passage.received as f64 / trial.passage.seconds)
            .fold(0.0, f64::max);
        let (stage, generator) = (&self.stage, &mut self.generator);
        let rate = no_drop_rate(highest * 1.05, options.tolerated, |rate| {
            Ok(stage.trial(generator, Pace::Rate(rate), options.turn)?.passage)
        })?;
        let Some(rate) = rate else {
            return Ok((None, Vec::new()));
        };
        let mut stamping = self
            .stage
            .generator(&options.templates()?, options.drawn(), Wire::Stamped)?;
        let mut delays = Vec::new();
        for load in LOADS {
            self.stage.sink().note_delays(true)?;
            self.stage
                .trial(&mut stamping, Pace::Rate(rate * load), options.turn)?;
            let seen = self.stage.sink().delays()?;
            delays.extend(Delay::of(load, &seen));
        }
        self.stage.sink().note_delays(false)?;
        Ok((Some(rate), delays))
    }
}

/// What sends these frames.
fn source(frames: Frames) -> &'static str {
    if frames.longest() > IN_A_PAGE {
        "a packet socket"
    } else {
        report::XDP
    }
}

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// When a subject cannot be put to work, or does not forward.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report> {
    ensure!(options.rounds > 0, "without a round there is no result");
    ensure!(
        options.frames.longest() <= LONGEST,
        "frames have up to {LONGEST} bytes, not {}",
        options.frames.longest()
    );
    let cpus = Cpus::choose()?;
    let machine = Machine::describe(cpus.forwarder)?;
    let mut left_out = Vec::new();
    let mut lanes = Vec::new();
    let is_wanted = |subject: &Subject| {
        let filter = options.filter.as_deref().unwrap_or_default();
        *subject == Subject::Redirect || subject.name().contains(filter)
    };
    for subject in Subject::OF_PACKETS.into_iter().filter(is_wanted) {
        if let Some(obstacle) = options.obstacle(subject) {
            left_out.push(format!("{}: {obstacle}", subject.name()));
            continue;
        }
        tell(&format!("setting up: {}", subject.name()));
        lanes.push(Lane::new(subject, cpus, options)?);
    }
    for round in 1..=options.rounds {
        for lane in &mut lanes {
            tell(&format!(
                "round {round} of {}: {}",
                options.rounds,
                lane.subject.name()
            ));
            let trial = lane.stage.trial(&mut lane.generator, Pace::Full, options.turn)?;
            ensure!(
                trial.passage.received > 0,
                "{} forwards nothing",
                lane.subject.name()
            );
            lane.full.push(trial);
        }
    }
    let mut rows = Vec::new();
    for lane in &mut lanes {
        let (no_drop, delays) = if options.delays {
            tell(&format!("no-drop rate and delays: {}", lane.subject.name()));
            lane.delays(options)?
        } else {
            (None, Vec::new())
        };
        rows.extend(Row::new(
            lane.subject,
            &lane.full,
            no_drop,
            delays,
            lane.at_work.how.clone(),
        ));
    }
    let settings = Settings {
        flows: options.flows,
        new: options.new.map(|kind| kind.name().to_owned()),
        family: options.family.name().to_owned(),
        frames: options.frames.describe(),
        source: source(options.frames).to_owned(),
        rounds: options.rounds,
        turn_milliseconds: options.turn.as_secs_f64() * 1000.0,
        tolerated_loss: options.tolerated,
        generator_cpu: cpus.ends,
        forwarder_cpu: cpus.forwarder,
    };
    drop(lanes);
    let mut report = Report::new(machine, settings, rows, left_out);
    if !options.by_flows.is_empty() {
        report.by_flows = Some(ByFlows::measure(options, cpus, &mut tell)?);
    }
    Ok(report)
}
