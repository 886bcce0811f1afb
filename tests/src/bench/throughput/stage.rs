//! A line of hosts with a generator at one end and a sink at the other.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    generator::{Generator, Pace},
    sink::Sink,
};
use crate::{
    bench::{
        front::Wire,
        line::{Cpus, Line, Poller},
        template::Template,
    },
    cable::take_frames,
    xdp::Link,
};

/// Nothing is under way any more when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(5);

/// What one trial showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that came to the end.
    pub received: u64,
    /// How long it took.
    pub seconds: f64,
    /// CPU time that forwarding took.
    pub cpu_seconds: f64,
}

impl Trial {
    /// Packets a second of CPU time.
    #[must_use]
    pub fn per_core(&self) -> f64 {
        self.received as f64 / self.cpu_seconds
    }

    /// The share that did not come.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.sent.saturating_sub(self.received) as f64 / self.sent.max(1) as f64
    }
}

/// The hosts, and what is at work on them.
pub struct Stage {
    sink: Sink,
    cpus: Cpus,
    poller: Option<Poller>,
    _frames: Link,
    /// The hosts.
    pub line: Line,
}

impl Stage {
    /// Makes the hosts; nothing forwards yet.
    ///
    /// # Errors
    /// What the lab says.
    pub fn build(cpus: Cpus) -> Result<Self> {
        let line = Line::build()?;
        Ok(Self {
            sink: Sink::attach(&line.backend, &line.end)?,
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
    pub fn generator(&self, mix: &[(Template, u32)], flows: u32, wire: Wire) -> Result<Generator> {
        let Line { source, from, .. } = &self.line;
        Generator::new(source, from, self.cpus.ends, mix, flows, wire)
    }

    /// Sends for so long, and waits until everything has come or was lost.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn trial(&self, generator: &mut Generator, pace: Pace, duration: Duration) -> Result<Trial> {
        let poller = self.poller.as_ref().context("nobody polls the interface")?;
        let (received, cpu) = (self.sink.packets()?, poller.cpu_time()?);
        let sent = generator.send(pace, duration)?;
        let mut last = self.sink.packets()?;
        loop {
            thread::sleep(QUIET);
            let now = self.sink.packets()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(Trial {
            sent: sent.packets,
            received: last - received,
            seconds: sent.elapsed.as_secs_f64(),
            cpu_seconds: (poller.cpu_time()? - cpu).as_secs_f64(),
        })
    }

    /// Where packets end.
    pub fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }
}
