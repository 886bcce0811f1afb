//! How long requests take while a director is being changed: `cargo xtask bench latency`.
//!
//! Real clients ask real nginx through a director, each time by a connection of its own: what a change of tables would hold up. They
//! ask at a fixed rate, whether answers have come or not, and a request's time counts from the moment at which it was due: so a
//! pause of the director is felt by all requests that it held up, not by one.

mod client;
pub mod report;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use self::{
    client::{Asked, ask},
    report::{Report, Row, Settings},
};
use super::{line::Cpus, machine::Machine, throughput};
use crate::{
    Tandem,
    server::Nginx,
    topology::{OneDirector, VIP4},
    wait_for,
};

const BACKENDS: u8 = 3;
const PORT: u16 = 80;
/// For the director to have reached its backends.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests a second.
    pub rate: f64,
    /// Times that each situation has its turn.
    pub rounds: usize,
    /// How long a turn is.
    pub turn: Duration,
}

/// What goes on meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// No director: the client asks a backend itself.
    Direct,
    /// Nothing.
    Quiet,
    /// A backend gets another weight, so that the schedule is computed anew.
    Weights,
    /// A backend is drained and comes back.
    Flaps,
    /// The daemon reads another configuration.
    Reloads,
    /// The daemon is killed, and started again.
    Restarts,
}

impl Situation {
    /// All of them, the floor first.
    pub const ALL: [Self; 6] = [
        Self::Direct,
        Self::Quiet,
        Self::Weights,
        Self::Flaps,
        Self::Reloads,
        Self::Restarts,
    ];

    /// What it is called in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "no director",
            Self::Quiet => "a director, undisturbed",
            Self::Weights => "a weight is changed",
            Self::Flaps => "a backend is drained, comes back",
            Self::Reloads => "another configuration is loaded",
            Self::Restarts => "the daemon is killed, restarted",
        }
    }

    /// Time between two changes.
    const fn pause(self) -> Option<Duration> {
        match self {
            Self::Direct | Self::Quiet => None,
            Self::Weights | Self::Flaps | Self::Reloads => Some(Duration::from_millis(100)),
            Self::Restarts => Some(Duration::from_millis(500)),
        }
    }

    /// Makes the change with this number.
    fn change(self, place: &Place, number: u64) -> Result<()> {
        let mut tandem = place.tandem.lock().unwrap_or_else(PoisonError::into_inner);
        let other = number.is_multiple_of(2);
        let running = tandem.as_ref().context("the daemon is gone")?;
        match self {
            Self::Direct | Self::Quiet => Ok(()),
            Self::Weights => {
                let weight = if other { "50" } else { "100" };
                running.show(&["backend", "weight", "backend1", weight]).map(drop)
            }
            Self::Flaps => {
                let order = if other { "drain" } else { "ready" };
                running.show(&["backend", order, "backend1"]).map(drop)
            }
            Self::Reloads => running.reload(&config(if other { 50 } else { 100 })),
            Self::Restarts => {
                running.process().kill()?;
                // Gone before the next one takes its socket.
                drop(tandem.take());
                *tandem = Some(Tandem::start_again(&place.lab.director)?);
                Ok(())
            }
        }
    }
}

/// A client, a director and servers on one network.
struct Place {
    /// Before the hosts that it is on.
    tandem: Mutex<Option<Tandem>>,
    _servers: Vec<Nginx>,
    lab: OneDirector,
}

impl Place {
    fn build() -> Result<Self> {
        let lab = OneDirector::build("bench-latency", 1, BACKENDS)?;
        let servers = lab.serve_http_everywhere()?;
        let tandem = Tandem::start(&lab.director, &config(100))?;
        wait_for(PATIENCE, "all backends to be reached", || {
            tandem.ask(&["backend"]).is_ok_and(|backends| {
                let mut backends = backends.as_array().into_iter().flatten();
                backends.all(|backend| backend["state"] == "ready")
            })
        })?;
        Ok(Self {
            tandem: Mutex::new(Some(tandem)),
            _servers: servers,
            lab,
        })
    }

    /// Asks for a turn, while changes are made; what was asked, and how many changes there were.
    fn turn(&self, situation: Situation, cpus: Cpus, options: &Options) -> Result<(Asked, u64)> {
        let backend: IpAddr = self.lab.backends[0].ipv4().unwrap_or(Ipv4Addr::LOCALHOST).into();
        let to = match situation {
            Situation::Direct => SocketAddr::new(backend, PORT),
            _ => SocketAddr::new(VIP4.into(), PORT),
        };
        let (ended, changes) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let changing = scope.spawn(|| self.keep_changing(situation, &ended, &changes));
            let asked = ask(&self.lab.clients[0], cpus.ends, to, options.rate, options.turn);
            ended.store(true, Ordering::Relaxed);
            changing
                .join()
                .map_err(|_| anyhow::anyhow!("the thread that makes changes panicked"))??;
            Ok((asked?, changes.load(Ordering::Relaxed)))
        })
    }

    fn keep_changing(&self, situation: Situation, ended: &AtomicBool, changes: &AtomicU64) -> Result<()> {
        let Some(pause) = situation.pause() else {
            return Ok(());
        };
        // As many forth as back, so that the next situation finds the director as this one did.
        while !ended.load(Ordering::Relaxed) || !changes.load(Ordering::Relaxed).is_multiple_of(2) {
            let start = Instant::now();
            situation.change(self, changes.load(Ordering::Relaxed))?;
            changes.fetch_add(1, Ordering::Relaxed);
            thread::sleep(pause.saturating_sub(start.elapsed()));
        }
        Ok(())
    }
}

fn config(weight: u32) -> String {
    let mut config = format!(
        "[director]\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = 262144\n\n[[service]]\nname = \"web\"\nlisten = [\"{VIP4}:{PORT}\"]\n"
    );
    for number in 1..=BACKENDS {
        let weight = if number == 1 { weight } else { 100 };
        config += &format!(
            "\n[[service.backend]]\nname = \"backend{number}\"\naddress = \"192.0.2.{}\"\nweight = {weight}\n",
            20 + number
        );
    }
    config
}

/// How long packets are under way, and how long requests take.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Both {
    /// Packets, one way.
    pub packets: throughput::report::Report,
    /// Requests, there and back.
    pub requests: Report,
}

impl Both {
    /// Measures both; `tell` hears what is being done.
    ///
    /// # Errors
    /// Those of the measurements.
    pub fn measure(
        packets: &throughput::Options,
        requests: &Options,
        mut tell: impl FnMut(&str),
    ) -> Result<Self> {
        Ok(Self {
            packets: throughput::run(packets, |doing| tell(&format!("packets: {doing}")))?,
            requests: run(requests, |doing| tell(&format!("requests: {doing}")))?,
        })
    }
}

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.packets, self.requests)
    }
}

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// When something does not start, or the director cannot be changed.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report> {
    ensure!(options.rounds > 0, "without a round there is no result");
    let cpus = Cpus::choose()?;
    tell("setting up");
    let place = Place::build()?;
    // What is done once: caches, the first answers to who has an address.
    place.turn(Situation::Quiet, cpus, options)?;
    let mut turns: Vec<_> = Situation::ALL.map(|situation| (situation, Vec::new())).into();
    for round in 1..=options.rounds {
        for (situation, asked) in &mut turns {
            tell(&format!(
                "round {round} of {}: {}",
                options.rounds,
                situation.name()
            ));
            asked.push(place.turn(*situation, cpus, options)?);
        }
    }
    let rows = turns
        .iter()
        .filter_map(|(situation, asked)| Row::new(*situation, asked));
    Ok(Report {
        machine: Machine::describe(cpus.ends)?,
        settings: Settings {
            rate: options.rate,
            rounds: options.rounds,
            turn_milliseconds: options.turn.as_secs_f64() * 1000.0,
        },
        rows: rows.collect(),
    })
}
