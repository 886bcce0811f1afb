//! Packets out of an interface, as fast as one CPU makes them or at a given rate.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::{
    Host,
    bench::{
        front::{Front, Target, Wire, Wrapping},
        machine,
        template::{Order, Template},
    },
    xdp::interface_index,
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

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Sends packets of a template's flows, drawn at random, out of an interface of a host.
pub struct Generator {
    host: Host,
    interface: u32,
    cpu: usize,
    fronts: Vec<(Front, u32)>,
    /// Packets at once where there is a rate to keep: one by one where each is to tell when it was sent.
    at_once: u32,
}

impl Generator {
    /// Sends from `interface` of `host`, whose driver must have an XDP program, on this CPU. Of each template in turn as many
    /// packets as stand with it: a mix of sizes.
    ///
    /// # Errors
    /// When the kernel refuses, or there is no such interface.
    pub fn new(
        host: &Host,
        interface: &str,
        cpu: usize,
        mix: &[(Template, u32)],
        flows: u32,
        wire: Wire,
    ) -> Result<Self> {
        let index = host
            .enter(|| interface_index(interface))?
            .with_context(|| format!("there is no interface {interface}"))?;
        let front = |(template, parts): &(Template, u32)| {
            let front = Front::new(
                template,
                flows,
                Order::Random,
                &Target::Wire(wire),
                Wrapping::Bare,
            )?;
            Ok((front, *parts))
        };
        Ok(Self {
            host: host.clone(),
            interface: index,
            cpu,
            fronts: mix.iter().map(front).collect::<Result<_>>()?,
            at_once: match wire {
                Wire::Plain => PACED_AT_ONCE,
                Wire::Stamped => 1,
            },
        })
    }

    /// Sends for so long.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn send(&mut self, pace: Pace, duration: Duration) -> Result<Sent> {
        let Self {
            host,
            interface,
            cpu,
            fronts,
            at_once,
        } = self;
        host.enter(|| {
            machine::pin(Some(*cpu))?;
            machine::come_first(0)?;
            match pace {
                Pace::Full => flood(fronts, *interface, duration),
                Pace::Rate(rate) => keep(fronts, *interface, rate, duration, *at_once),
            }
        })?
    }
}

/// Whole rounds of the mix, call after call.
fn flood(fronts: &mut [(Front, u32)], interface: u32, duration: Duration) -> Result<Sent> {
    let parts: u32 = fronts.iter().map(|(_, parts)| parts).sum();
    let (start, mut packets) = (Instant::now(), 0_u64);
    while start.elapsed() < duration {
        for (front, share) in fronts.iter_mut() {
            let call = (CALL * *share / parts).next_multiple_of(AT_ONCE);
            front.send(call, AT_ONCE, None, interface)?;
            packets += u64::from(call);
        }
    }
    Ok(Sent {
        packets,
        elapsed: start.elapsed(),
    })
}

/// All packets of a size in one call, since it takes the kernel a while to begin one.
fn keep(
    fronts: &mut [(Front, u32)],
    interface: u32,
    rate: f64,
    duration: Duration,
    at_once: u32,
) -> Result<Sent> {
    let parts: u32 = fronts.iter().map(|(_, parts)| parts).sum();
    let all = rate * duration.as_secs_f64();
    let (start, mut packets) = (Instant::now(), 0_u64);
    for (front, share) in fronts.iter_mut() {
        let call = (all * f64::from(*share) / f64::from(parts)) as u32;
        let call = call.max(1).next_multiple_of(at_once);
        front.send(call, at_once, Some(rate), interface)?;
        packets += u64::from(call);
    }
    Ok(Sent {
        packets,
        elapsed: start.elapsed(),
    })
}
