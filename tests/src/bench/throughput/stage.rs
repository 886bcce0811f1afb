//! A line of hosts with a generator at one end and a sink at the other.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::xdp::XdpMode;
use lb_userspace::bench::{
    front::InStep,
    generator::{Flows, Generator, IN_A_PAGE, Pace, Priority},
    sink::{Admit, Sink},
    trial,
};

use crate::{
    bench::{
        front::Wire,
        line::{Cpus, Line, Poller},
        template::{Family, Template},
    },
    cable::take_frames,
    xdp::{Link, interface_index},
};

/// Packets that may be under way at a time where there is no rate to keep. The queue of a veth holds 256, and its reader clears what
/// it took 16 by 16.
const WINDOW: u32 = 192;

/// What one trial showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// What was sent, and what came.
    pub passage: trial::Trial,
    /// CPU time that forwarding took.
    pub cpu_seconds: f64,
}

impl Trial {
    /// Packets a second of CPU time.
    #[must_use]
    pub fn per_core(&self) -> f64 {
        self.passage.received as f64 / self.cpu_seconds
    }
}

/// The hosts, and what is at work on them.
pub struct Stage {
    sink: Sink,
    step: InStep,
    cpus: Cpus,
    poller: Option<Poller>,
    _frames: Link,
    /// The hosts.
    pub line: Line,
}

impl Stage {
    /// Makes the hosts, with links for frames of so many bytes; nothing forwards yet. What comes to the end counts if it is of this
    /// family.
    ///
    /// # Errors
    /// What the lab says.
    pub fn build(cpus: Cpus, family: Family, longest: usize) -> Result<Self> {
        let line = Line::build()?;
        line.carry(longest)?;
        let admit = match family {
            Family::V4 => Admit::Ipv4,
            Family::V6 => Admit::Ipv6,
        };
        let attach = || Sink::attach(&line.end, admit, XdpMode::Driver);
        let mut sink = line.backend.enter(attach)??;
        Ok(Self {
            step: sink.in_step(WINDOW, cpus.forwarder)?,
            sink,
            cpus,
            poller: None,
            _frames: take_frames(&line.source, &line.from)?,
            line,
        })
    }

    /// Lets what forwards have its CPU; see [`Line::poll_apart`].
    ///
    /// # Errors
    /// What that says.
    pub fn poll_apart(&mut self) -> Result<()> {
        self.poller = Some(self.line.poll_apart(&self.line.near, self.cpus.forwarder)?);
        Ok(())
    }

    /// A generator of packets of this mix.
    ///
    /// # Errors
    /// What [`Generator::new`] says.
    pub fn generator(
        &self,
        mix: &[(Template, u32)],
        flows: impl Into<Flows>,
        wire: Wire,
    ) -> Result<Generator> {
        let Line { source, from, .. } = &self.line;
        let lengths = mix.iter().map(|(template, _)| template.first_packet().len());
        let by_socket = lengths.max() > Some(IN_A_PAGE);
        let (flows, cpu) = (flows.into(), self.cpus.ends);
        source.enter(|| {
            let index = interface_index(from)?;
            match wire {
                _ if by_socket => Generator::by_socket(index, cpu, Priority::First, mix, flows, wire),
                Wire::Plain => Generator::in_step(index, cpu, Priority::First, mix, flows, &self.step),
                Wire::Stamped => Generator::new(index, cpu, Priority::First, mix, flows, wire),
            }
        })?
    }

    /// Sends for so long, and waits until everything has come or was lost.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn trial(&self, generator: &mut Generator, pace: Pace, duration: Duration) -> Result<Trial> {
        let poller = self.poller.as_ref().context("nobody polls the interface")?;
        let cpu = poller.cpu_time()?;
        let send = || trial::Trial::run(generator, &self.sink, pace, duration);
        let passage = self.line.source.enter(send)??;
        Ok(Trial {
            passage,
            cpu_seconds: (poller.cpu_time()? - cpu).as_secs_f64(),
        })
    }

    /// Where packets end.
    pub fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }
}
