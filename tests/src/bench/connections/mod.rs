//! Requests and connections a second through a director, beside what one would take in its place: `cargo xtask bench connections`.
//!
//! Real clients ask real servers, both on one CPU; what forwards works on another, in threads of the kernel and, if it is a proxy,
//! in a process, whose CPU time is known. What counts is how many answers come for a second of that.

mod client;
pub mod report;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};

use self::{
    client::{Life, ask},
    report::{Report, Row, Sample, Settings},
};
use super::{
    line::{Cpus, Line, Poller, VIP},
    machine::Machine,
    subject::{AtWork, Subject, Task},
    template::Family,
};
use crate::{cable::take_frames, device, server::HoldServer, xdp::Link};

const PORT: u16 = 80;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections at a time.
    pub clients: u32,
    /// Times that each subject has its turn.
    pub rounds: usize,
    /// How long a turn is.
    pub turn: Duration,
    /// Only subjects whose name contains this, and the floor.
    pub filter: Option<String>,
}

/// A subject at work.
struct Lane {
    subject: Subject,
    requests: Vec<Sample>,
    connections: Vec<Sample>,
    at_work: AtWork,
    pollers: [Poller; 2],
    _server: HoldServer,
    _links: Vec<Link>,
    line: Line,
}

impl Lane {
    fn new(subject: Subject, cpus: Cpus, options: &Options) -> Result<Self> {
        let line = Line::build()?;
        let links = vec![
            take_frames(&line.source, &line.from)?,
            take_frames(&line.backend, &line.end)?,
        ];
        // What XDP forwards has its checksum already, or none (veth leaves it to a card that is not there).
        device::turn_off_transmit(line.source.namespace(), &line.from)?;
        device::turn_off_transmit(line.backend.namespace(), &line.end)?;
        let task = Task {
            protocol: "tcp",
            port: PORT,
            // Those of some turns: short ones stay for a while.
            flows: 1 << 20,
            family: Family::V4,
        };
        let server = HoldServer::start(&line.backend, &[SocketAddr::from(([0, 0, 0, 0], PORT))])?;
        let at_work = subject.put_to_work(&line, task, cpus)?;
        let poll = |interface| line.poll_apart(interface, cpus.forwarder);
        let lane = Self {
            subject,
            requests: Vec::new(),
            connections: Vec::new(),
            pollers: [poll(&line.near)?, poll(&line.far)?],
            at_work,
            _server: server,
            _links: links,
            line,
        };
        lane.turn(cpus, options, Life::Short)?;
        Ok(lane)
    }

    fn cpu_time(&self) -> Result<Duration> {
        let [near, far] = &self.pollers;
        Ok(near.cpu_time()? + far.cpu_time()? + self.at_work.cpu_time()?)
    }

    fn turn(&self, cpus: Cpus, options: &Options, life: Life) -> Result<Sample> {
        let (cpu, packets) = (self.cpu_time()?, self.packets()?);
        let to = SocketAddr::from((VIP, PORT));
        let (answers, elapsed) = ask(
            &self.line.source,
            cpus.ends,
            to,
            options.clients,
            life,
            options.turn,
        )?;
        ensure!(answers > 0, "{} lets nobody through", self.subject.name());
        Ok(Sample {
            answers,
            packets: self.packets()? - packets,
            seconds: elapsed.as_secs_f64(),
            cpu_seconds: (self.cpu_time()? - cpu).as_secs_f64(),
        })
    }

    /// Packets that came to the forwarder from both sides.
    fn packets(&self) -> Result<u64> {
        let Line {
            forwarder, near, far, ..
        } = &self.line;
        let came = |interface| device::packets_received(forwarder.namespace(), interface);
        Ok(came(near)? + came(far)?)
    }
}

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// When a subject cannot be put to work, or lets nobody through.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report> {
    ensure!(options.rounds > 0, "without a round there is no result");
    let cpus = Cpus::choose()?;
    let machine = Machine::describe(cpus.forwarder)?;
    let filter = options.filter.as_deref().unwrap_or_default();
    let mut left_out = Vec::new();
    let mut lanes = Vec::new();
    let is_wanted = |subject: &Subject| *subject == Subject::Stateless || subject.name().contains(filter);
    for subject in Subject::OF_CONNECTIONS.into_iter().filter(is_wanted) {
        if let Some(obstacle) = subject.obstacle(options.clients, Family::V4) {
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
            lane.requests.push(lane.turn(cpus, options, Life::Long)?);
            lane.connections.push(lane.turn(cpus, options, Life::Short)?);
        }
    }
    let settings = Settings {
        clients: options.clients,
        rounds: options.rounds,
        turn_milliseconds: options.turn.as_secs_f64() * 1000.0,
        ends_cpu: cpus.ends,
        forwarder_cpu: cpus.forwarder,
    };
    let rows = lanes.iter().filter_map(|lane| {
        Row::new(
            lane.subject,
            &lane.requests,
            &lane.connections,
            lane.at_work.how.clone(),
        )
    });
    Ok(Report {
        machine,
        settings,
        rows: rows.collect(),
        left_out,
    })
}
