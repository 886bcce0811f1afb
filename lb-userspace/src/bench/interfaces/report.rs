//! What came out: for people, and for machines.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::bench::{
    machine::Machine,
    stats::Summary,
    trial::{Delay, Trial},
};

/// One end of the path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub interface: String,
    /// Its driver, as `ethtool -i` names it.
    pub driver: Option<String>,
    /// Its MTU.
    pub mtu: u32,
    /// Where the benchmark's program ran, `native` or `generic`; or `packet socket` for what sent.
    pub mode: String,
}

/// How it was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// Service that packets were sent to; `None` for the receiving interface itself.
    pub to: Option<SocketAddr>,
    /// MAC address that they were sent to.
    pub mac: String,
    /// Flows that they were drawn from; `None`: each packet began another.
    pub flows: Option<u32>,
    /// What they were: datagrams or SYNs.
    pub kind: String,
    /// Which packets.
    pub frames: String,
    /// Their mean length in bytes.
    pub mean_length: f64,
    /// Times that as many were sent as could be.
    pub rounds: usize,
    /// How long each time.
    pub turn_milliseconds: f64,
    /// The share that might be lost at the no-drop rate.
    pub tolerated_loss: f64,
}

impl Settings {
    /// What was sent, for a sentence.
    pub(super) fn packets(&self) -> String {
        self.flows.map_or_else(
            || format!("{}, each a new flow", self.kind),
            |flows| format!("{} of {flows} flows", self.kind),
        )
    }

    /// What its rates are.
    pub(super) const fn unit(&self) -> &'static str {
        match self.flows {
            Some(_) => "millions of packets a second",
            None => "millions of new flows a second",
        }
    }

    pub(super) fn without_loss(&self) -> String {
        format!("without loss (up to {} %)", self.tolerated_loss * 100.0)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_deref().unwrap_or("unknown driver");
        write!(f, "{} ({driver}, {})", self.interface, self.mode)
    }
}

/// A rate while as many packets were sent as could be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Of what.
    pub name: String,
    /// Millions of packets a second.
    pub mpps: Summary,
    /// Each sample of it.
    pub samples: Vec<f64>,
    /// Whether the samples are too far apart to say much.
    pub noisy: bool,
}

impl Row {
    pub(super) fn of(trials: &[Trial]) -> Vec<Self> {
        let row = |name: &str, packets: &dyn Fn(&Trial) -> u64| {
            let rate = |trial| packets(trial) as f64 / trial.seconds / 1e6;
            let samples: Vec<f64> = trials.iter().map(rate).collect();
            let mpps = Summary::of(&samples)?;
            Some(Self {
                name: name.to_owned(),
                noisy: mpps.is_noisy(),
                mpps,
                samples,
            })
        };
        let rows = [
            row("sent", &|trial: &Trial| trial.sent),
            row("came back", &|trial: &Trial| trial.received),
        ];
        rows.into_iter().flatten().collect()
    }
}

/// The whole result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Where packets left.
    pub tx: Port,
    /// Where they came back.
    pub rx: Port,
    /// How.
    pub settings: Settings,
    /// What was sent and what came back, while as much was sent as could be.
    pub rows: Vec<Row>,
    /// The share that was lost meanwhile.
    pub loss_at_full: f64,
    /// Millions of packets a second without loss; `None` if there was no such rate.
    pub mpps_without_loss: Option<f64>,
    /// How long packets took, below that.
    pub delays: Vec<Delay>,
}

/// Bytes of a frame on the wire that are in no buffer: preamble, check sequence, and the gap behind it (IEEE 802.3).
const ON_THE_WIRE: f64 = 24.0;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine, settings, ..
        } = self;
        let to = settings.to.map_or_else(String::new, |to| format!(" to {to}"));
        writeln!(
            f,
            "{}{to} by {}, back by {}; {}, Linux {}, Tandem {}",
            self.tx, settings.mac, self.rx, machine.cpu, machine.kernel, machine.tandem
        )?;
        let flows = settings.packets();
        writeln!(
            f,
            "sent by {}; {flows}, {}; {} rounds of {} ms",
            machine.place(),
            settings.frames,
            settings.rounds,
            settings.turn_milliseconds
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:30} {:>8} {:>17} {:>8}",
            settings.unit(),
            "median",
            "min .. max",
            "Gbit/s"
        )?;
        let gigabits = |mpps: f64| mpps * (settings.mean_length + ON_THE_WIRE) * 8.0 / 1000.0;
        for row in &self.rows {
            let Summary { min, median, max, .. } = row.mpps;
            let range = format!("{min:.3} .. {max:.3}");
            writeln!(
                f,
                "{:30} {median:>8.3} {range:>17} {:>8.2}",
                row.name,
                gigabits(median)
            )?;
        }
        let tolerated = settings.without_loss();
        match self.mpps_without_loss {
            Some(rate) => writeln!(f, "{tolerated:30} {rate:>8.3} {:>17} {:>8.2}", "", gigabits(rate))?,
            None => writeln!(f, "{tolerated:30} {:>8}", "none")?,
        }
        writeln!(f, "lost at full load: {:.1} %", self.loss_at_full * 100.0)?;
        if !self.delays.is_empty() {
            writeln!(f)?;
            writeln!(
                f,
                "{:30} {:>8} {:>9} {:>9} {:>9}",
                "microseconds under way", "load", "median", "99 %", "99.9 %"
            )?;
        }
        for delay in &self.delays {
            let Delay {
                load,
                median_us,
                p99_us,
                p999_us,
            } = delay;
            let load = format!("{:.0} %", load * 100.0);
            writeln!(
                f,
                "{:30} {load:>8} {median_us:>9.1} {p99_us:>9.1} {p999_us:>9.1}",
                ""
            )?;
        }
        for row in self.rows.iter().filter(|row| row.noisy) {
            let Summary { lower, upper, .. } = row.mpps;
            writeln!(
                f,
                "NOISY: {}: half of the samples in {lower:.3} .. {upper:.3}",
                row.name
            )?;
        }
        Ok(())
    }
}
