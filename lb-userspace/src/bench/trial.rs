//! Sending for a while, and what came of it.

use std::{thread, time::Duration};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{
    generator::{Generator, Pace},
    sink::{Delays, Sink},
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
}

impl Trial {
    /// Sends for so long on the calling thread, and waits until everything has come or was lost.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn run(generator: &mut Generator, sink: &Sink, pace: Pace, duration: Duration) -> Result<Self> {
        let before = sink.packets()?;
        let sent = generator.send(pace, duration)?;
        let mut last = sink.packets()?;
        loop {
            thread::sleep(QUIET);
            let now = sink.packets()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(Self {
            sent: sent.packets,
            received: last - before,
            seconds: sent.elapsed.as_secs_f64(),
        })
    }

    /// Packets that were sent in a second.
    #[must_use]
    pub fn sent_rate(&self) -> f64 {
        self.sent as f64 / self.seconds
    }

    /// The share that did not come.
    #[must_use]
    pub fn loss(&self) -> f64 {
        Self::loss_of(&[*self])
    }

    /// The share that did not come in all of them.
    #[must_use]
    pub fn loss_of(trials: &[Self]) -> f64 {
        let sent: u64 = trials.iter().map(|trial| trial.sent).sum();
        let received: u64 = trials.iter().map(|trial| trial.received).sum();
        sent.saturating_sub(received) as f64 / sent.max(1) as f64
    }
}

/// Shares of the no-drop rate at which delays are measured.
pub const LOADS: [f64; 3] = [0.1, 0.5, 0.9];

/// How long packets were under way at a load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Delay {
    /// The load, as a share of the no-drop rate.
    pub load: f64,
    /// Microseconds that half of the packets did not exceed.
    pub median_us: f64,
    /// The same for 99 % of them.
    pub p99_us: f64,
    /// The same for 99.9 %.
    pub p999_us: f64,
}

impl Delay {
    /// `None` if no packet came.
    #[must_use]
    pub fn of(load: f64, delays: &Delays) -> Option<Self> {
        let at = |share| Some(delays.at(share)?.as_secs_f64() * 1e6);
        Some(Self {
            load,
            median_us: at(0.5)?,
            p99_us: at(0.99)?,
            p999_us: at(0.999)?,
        })
    }
}
