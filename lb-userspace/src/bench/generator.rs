//! Packets out of an interface, as fast as one CPU makes them or at a given rate.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    front::{Front, InStep, Target, Wire, Wrapping},
    machine,
    socket::Sender,
    template::{Order, Template},
};

/// Packets that the kernel sends at once where there is no rate to keep (its own choice, `NAPI_POLL_WEIGHT`).
const AT_ONCE: u32 = 64;
/// The same where there is one: fewer, so that they are not a burst that no wire would bring.
const PACED_AT_ONCE: u32 = 16;
/// Packets of one call where there is no rate to keep.
const CALL: u32 = 1 << 17;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as it goes.
    Full,
    /// So many packets a second.
    Rate(f64),
}

/// Bytes of the longest frame that the kernel sends for XDP: it has one page, with room in front and behind.
pub const IN_A_PAGE: usize = 3000;

/// Whose packets are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flows {
    /// Of so many flows, drawn at random.
    Random(u32),
    /// Each packet begins another: so nobody knows it yet.
    Each,
}

impl Flows {
    /// How many, and in which order.
    pub(super) const fn drawn(self) -> (u32, Order) {
        match self {
            Self::Random(flows) => (flows, Order::Random),
            Self::Each => (1, Order::Rising),
        }
    }
}

impl From<u32> for Flows {
    fn from(flows: u32) -> Self {
        Self::Random(flows)
    }
}

/// Whose work comes first on the generator's CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// As with every process.
    Ordinary,
    /// The generator's, before all ordinary work: for machines that do nothing else.
    First,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// How packets get onto the wire.
enum Source {
    /// The kernel runs fronts on frames, and sends those. As many of each as stand with it in a round.
    Frames(Vec<(Front, u32)>),
    /// A socket.
    Socket(Sender),
}

/// Sends packets of a template's flows, drawn at random, out of an interface.
pub struct Generator {
    interface: u32,
    cpu: usize,
    priority: Priority,
    source: Source,
    /// Packets at once where there is a rate to keep: one by one where each is to tell when it was sent.
    at_once: u32,
}

impl Generator {
    /// Sends from the interface of this index, whose driver must have an XDP program, on this CPU. Of each template in turn as
    /// many packets as stand with it: a mix of sizes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(
        interface: u32,
        cpu: usize,
        priority: Priority,
        mix: &[(Template, u32)],
        flows: Flows,
        wire: Wire,
    ) -> Result<Self> {
        let at_once = match wire {
            Wire::Plain => PACED_AT_ONCE,
            Wire::Stamped => 1,
        };
        Self::behind(interface, cpu, priority, mix, flows, &Target::Wire(wire), at_once)
    }

    /// The same, which waits for room on the way to a sink where it has no rate to keep.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn in_step(
        interface: u32,
        cpu: usize,
        priority: Priority,
        mix: &[(Template, u32)],
        flows: Flows,
        step: &InStep,
    ) -> Result<Self> {
        let target = Target::InStep(step);
        Self::behind(interface, cpu, priority, mix, flows, &target, PACED_AT_ONCE)
    }

    fn behind(
        interface: u32,
        cpu: usize,
        priority: Priority,
        mix: &[(Template, u32)],
        flows: Flows,
        target: &Target<'_>,
        at_once: u32,
    ) -> Result<Self> {
        let front = |(template, parts): &(Template, u32)| {
            let (flows, order) = flows.drawn();
            let front = Front::new(template, flows, order, target, Wrapping::Bare)?;
            Ok((front, *parts))
        };
        Ok(Self {
            interface,
            cpu,
            priority,
            source: Source::Frames(mix.iter().map(front).collect::<Result<_>>()?),
            at_once,
        })
    }

    /// The same by a packet socket, for drivers without XDP; several times slower, and of some thousand packets that are made before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn by_socket(
        interface: u32,
        cpu: usize,
        priority: Priority,
        mix: &[(Template, u32)],
        flows: Flows,
        wire: Wire,
    ) -> Result<Self> {
        Ok(Self {
            interface,
            cpu,
            priority,
            source: Source::Socket(Sender::open(interface, mix, flows, wire)?),
            at_once: 1,
        })
    }

    /// Sends for so long, on the calling thread, which is in the interface's network and stays on the generator's CPU.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn send(&mut self, pace: Pace, duration: Duration) -> Result<Sent> {
        machine::pin(Some(self.cpu))?;
        if self.priority == Priority::First {
            machine::come_first(0)?;
        }
        match pace {
            Pace::Full => self.flood(duration),
            Pace::Rate(rate) => self.keep(rate, duration),
        }
    }

    /// Whole rounds of the mix, call after call.
    fn flood(&mut self, duration: Duration) -> Result<Sent> {
        let (start, mut packets) = (Instant::now(), 0_u64);
        match &mut self.source {
            Source::Socket(sender) => packets = sender.flood(duration)?,
            Source::Frames(fronts) => {
                let parts: u32 = fronts.iter().map(|(_, parts)| parts).sum();
                while start.elapsed() < duration {
                    for (front, share) in &mut *fronts {
                        let call = (CALL * *share / parts).next_multiple_of(AT_ONCE);
                        front.send(call, AT_ONCE, None, self.interface)?;
                        packets += u64::from(call);
                    }
                }
            }
        }
        Ok(Sent {
            packets,
            elapsed: start.elapsed(),
        })
    }

    /// All packets of a size in one call, since it takes the kernel a while to begin one.
    fn keep(&mut self, rate: f64, duration: Duration) -> Result<Sent> {
        let all = rate * duration.as_secs_f64();
        let (start, mut packets) = (Instant::now(), 0_u64);
        match &mut self.source {
            Source::Socket(sender) => {
                packets = (all as u64).max(1);
                sender.keep(packets, rate)?;
            }
            Source::Frames(fronts) => {
                let parts: u32 = fronts.iter().map(|(_, parts)| parts).sum();
                for (front, share) in fronts {
                    let call = (all * f64::from(*share) / f64::from(parts)) as u32;
                    let call = call.max(1).next_multiple_of(self.at_once);
                    front.send(call, self.at_once, Some(rate), self.interface)?;
                    packets += u64::from(call);
                }
            }
        }
        Ok(Sent {
            packets,
            elapsed: start.elapsed(),
        })
    }
}
