//! How long a pair of directors needs: `cargo xtask bench ha`.
//!
//! Two directors, a client that sends without a pause, and a fault, again and again. A takeover is measured from the fault to the
//! client's first packet to the other director.

use std::{
    fmt,
    net::Ipv4Addr,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use super::stats::quantile;
use crate::{
    Capture, Host, Tandem,
    client::Stream,
    server::UdpEcho,
    topology::{Pair, VIP4},
    wait::wait_for,
};

/// For what ought to happen within a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// Packets a second while a takeover is measured.
const SLOW: u32 = 2000;
/// Packets a second during a handover.
const FAST: u32 = 20_000;
const PORT: u16 = 53;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Faults of each kind at each interval.
    pub rounds: usize,
    /// Handovers, there and back.
    pub handovers: usize,
}

/// What happens to the Active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Its daemon is killed (SIGKILL).
    Kill,
    /// Its daemon is stopped (SIGSTOP).
    Stop,
    /// All its cables are cut, as when the machine dies.
    Cut,
}

impl Fault {
    const ALL: [Self; 3] = [Self::Kill, Self::Stop, Self::Cut];

    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::Stop => "SIGSTOP",
            Self::Cut => "cables cut",
        }
    }
}

/// Takeovers after one kind of fault.
#[derive(Debug, Clone, Serialize)]
pub struct Failover {
    /// The fault.
    pub fault: Fault,
    /// Time between two advertisements, and between two heartbeats.
    pub interval_milliseconds: u64,
    /// What it should not exceed, at the 99th percentile.
    pub target_milliseconds: f64,
    /// Each, in the order in which they were measured.
    pub milliseconds: Vec<f64>,
}

impl Failover {
    fn at(&self, share: f64) -> f64 {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        quantile(&sorted, share).unwrap_or_default()
    }
}

/// Handovers under load.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Handover {
    /// How many there were, there and back counted apart.
    pub handovers: usize,
    /// Packets that the client sent.
    pub packets: u64,
    /// Packets that neither director forwarded.
    pub lost_packets: u64,
}

/// The whole result.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Takeovers.
    pub failover: Vec<Failover>,
    /// Handovers.
    pub handover: Handover,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<12} {:>8} {:>6} {:>10} {:>10} {:>10} {:>10}",
            "fault", "interval", "runs", "min", "median", "p99", "target"
        )?;
        for failover in &self.failover {
            let p99 = failover.at(0.99);
            writeln!(
                f,
                "{:<12} {:>5} ms {:>6} {:>7.1} ms {:>7.1} ms {:>7.1} ms {:>7.0} ms  {}",
                failover.fault.name(),
                failover.interval_milliseconds,
                failover.milliseconds.len(),
                failover.at(0.0),
                failover.at(0.5),
                p99,
                failover.target_milliseconds,
                if p99 <= failover.target_milliseconds {
                    "ok"
                } else {
                    "over"
                },
            )?;
        }
        let Handover {
            handovers,
            packets,
            lost_packets,
        } = self.handover;
        writeln!(
            f,
            "{handovers} planned handovers at {FAST} packets/s: {lost_packets} of {packets} packets lost"
        )
    }
}

/// A pair at work.
struct Stage {
    pair: Pair,
    a: Tandem,
    b: Tandem,
    _servers: Vec<UdpEcho>,
}

impl Stage {
    fn build(interval: Duration) -> Result<Self> {
        let pair = Pair::build("bench-ha", 1, 2)?;
        let key = pair.make_key()?;
        let servers = pair
            .backends
            .iter()
            .map(|backend| UdpEcho::start(backend, &[(VIP4, PORT).into()]))
            .collect::<Result<_, _>>()?;
        let a = start(&pair, 0, 150, &key, interval)?;
        let b = start(&pair, 1, 100, &key, interval)?;
        let stage = Self {
            pair,
            a,
            b,
            _servers: servers,
        };
        stage.expect_role(&stage.a, "active")?;
        stage.expect_role(&stage.b, "backup")?;
        stage.expect_peer()?;
        Ok(stage)
    }

    fn client(&self) -> &Host {
        &self.pair.clients[0]
    }

    fn expect_role(&self, director: &Tandem, role: &str) -> Result<()> {
        wait_for(PATIENCE, format!("a director to be {role}"), || {
            let view = director.ask(&["ha"]).unwrap_or_default();
            view["instances"][0]["role"] == role
        })?;
        Ok(())
    }

    /// Both hear each other, and believe it.
    fn expect_peer(&self) -> Result<()> {
        wait_for(PATIENCE, "the directors to hear each other", || {
            [&self.a, &self.b].iter().all(|director| {
                let view = director.ask(&["ha"]).unwrap_or_default();
                view["peers"][0]["alive"] == true && view["peers"][0]["proven"] == true
            })
        })?;
        Ok(())
    }

    /// Has the fault happen, and says how long it took until the client's packets went to the other director.
    fn fail(&mut self, fault: Fault) -> Result<Duration> {
        let other = self.pair.directors[1].interface("eth0")?.mac();
        let mut packets = Capture::start(self.client().namespace(), "eth0", move |frame| {
            is_for(frame, other)
        })?;
        let cables = ["eth1", "eth0"].map(|name| self.pair.directors[0].interface(name));
        let [private, public] = cables;
        let (private, public) = (private?, public?);
        let stream = Stream::start(self.client(), (VIP4, PORT).into(), SLOW)?;
        if fault == Fault::Cut {
            private.unplug()?;
        }
        let start = SystemTime::now();
        match fault {
            Fault::Kill => drop(self.a.process().kill()?),
            Fault::Stop => self.a.process().pause()?,
            Fault::Cut => public.unplug()?,
        }
        let frames = packets.wait_until(PATIENCE, "the other director to be sent to", |frames| {
            !frames.is_empty()
        });
        let first = frames?.first().context("a frame")?.at;
        let _ = stream.stop();
        match fault {
            Fault::Kill => self.a = Tandem::start_again(&self.pair.directors[0])?,
            Fault::Stop => self.a.process().resume()?,
            Fault::Cut => {
                public.plug_in()?;
                private.plug_in()?;
            }
        }
        self.expect_role(&self.a, "backup")?;
        self.expect_peer()?;
        self.a.ask(&["ha", "handover", "--to", "a"])?;
        self.expect_role(&self.a, "active")?;
        self.expect_role(&self.b, "backup")?;
        Ok(first.duration_since(start).unwrap_or_default())
    }

    /// Packets that both directors have forwarded.
    fn forwarded(&self) -> Result<u64> {
        let of = |director: &Tandem| -> Result<u64> {
            let backends = director.ask(&["backend"])?;
            let packets = backends.as_array().into_iter().flatten();
            Ok(packets.filter_map(|backend| backend["packets"].as_u64()).sum())
        };
        Ok(of(&self.a)? + of(&self.b)?)
    }

    /// Hands the VIPs over and back under load.
    fn hand_over(&self, times: usize) -> Result<Handover> {
        let before = self.forwarded()?;
        let stream = Stream::start(self.client(), (VIP4, PORT).into(), FAST)?;
        for _ in 0..times {
            for (giver, taker) in [(&self.a, &self.b), (&self.b, &self.a)] {
                // The other one may still say that it hands over itself, until its next heartbeat.
                wait_for(PATIENCE, "the VIPs to be handed over", || {
                    giver.ask(&["ha", "handover"]).is_ok()
                })?;
                self.expect_role(taker, "active")?;
                self.expect_role(giver, "backup")?;
            }
        }
        let passage = stream.stop();
        let forwarded = self.forwarded()? - before;
        Ok(Handover {
            handovers: 2 * times,
            packets: passage.sent,
            lost_packets: passage.sent.saturating_sub(forwarded),
        })
    }
}

fn start(pair: &Pair, director: usize, priority: u8, key: &Path, interval: Duration) -> Result<Tandem> {
    let interval = format!(
        "advert_interval = \"{}ms\"\nfailback = \"never\"",
        interval.as_millis()
    );
    let more = Pair::cluster(key, "") + &Pair::front(priority, &interval);
    Tandem::start(&pair.directors[director], &pair.config(director, &more))
}

/// Whether it is an IPv4 packet for the VIP, sent to this MAC address.
fn is_for(frame: &[u8], mac: [u8; 6]) -> bool {
    let destination = frame
        .get(30..34)
        .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
    frame.starts_with(&mac)
        && frame.get(12..14) == Some(&[0x08, 0x00])
        && destination.map(Ipv4Addr::from) == Some(VIP4)
}

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// What the lab or a director cannot do.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report> {
    let mut failover = Vec::new();
    for (milliseconds, target) in [(10, 60.0), (100, 450.0)] {
        let mut stage = Stage::build(Duration::from_millis(milliseconds))?;
        for fault in Fault::ALL {
            let mut times = Vec::new();
            for round in 1..=options.rounds {
                tell(&format!(
                    "{} at {milliseconds} ms: {round} of {}",
                    fault.name(),
                    options.rounds
                ));
                times.push(stage.fail(fault)?.as_secs_f64() * 1000.0);
            }
            failover.push(Failover {
                fault,
                interval_milliseconds: milliseconds,
                target_milliseconds: target,
                milliseconds: times,
            });
        }
    }
    tell("handovers");
    let stage = Stage::build(Duration::from_millis(100))?;
    let handover = stage.hand_over(options.handovers)?;
    Ok(Report { failover, handover })
}

/// What a machine finds in the JSON of a report.
#[must_use]
pub fn to_json(report: &Report) -> Value {
    let summaries = report.failover.iter().map(|failover| {
        serde_json::json!({
            "name": format!("{}, interval {} ms", failover.fault.name(), failover.interval_milliseconds),
            "fault": failover.fault,
            "interval_ms": failover.interval_milliseconds,
            "min_ms": failover.at(0.0),
            "median_ms": failover.at(0.5),
            "p99_ms": failover.at(0.99),
            "samples_ms": failover.milliseconds,
        })
    });
    serde_json::json!({
        "failover": summaries.collect::<Vec<_>>(),
        "handover": report.handover,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted() {
        let failover = Failover {
            fault: Fault::Kill,
            interval_milliseconds: 10,
            target_milliseconds: 60.0,
            milliseconds: vec![30.0, 10.0, 20.0],
        };
        assert_eq!(
            [0.0, 0.5, 1.0].map(|share| failover.at(share)),
            [10.0, 20.0, 30.0]
        );
        let handover = Handover {
            handovers: 2,
            packets: 9,
            lost_packets: 0,
        };
        let report = Report {
            failover: vec![failover],
            handover,
        };
        let json = to_json(&report);
        assert_eq!(json["failover"][0]["fault"], "kill");
        assert_eq!(json["failover"][0]["median_ms"], 20.0);
        assert_eq!(json["handover"]["lost_packets"], 0);
        let text = report.to_string();
        assert!(
            text.contains("kill -9") && text.contains("ok") && text.contains("0 of 9"),
            "{text}"
        );
    }
}
