//! The acts of the demonstration.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    Connections, Share, Summary, backends,
    cost::Cost,
    pair,
    screen::{Row, Screen},
};
use crate::{
    Tandem,
    client::{Crowd, Dial, Greeting, Load, Rate},
    topology::{OneDirector, VIP4, VIP6},
    wait::wait_for,
};

/// How the demonstration runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that clients open every second.
    pub per_second: u32,
    /// Connections that are opened at the beginning and held to the end.
    pub held: usize,
    /// Length of an act.
    pub act: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            per_second: 300,
            held: 1000,
            act: Duration::from_secs(6),
        }
    }
}

/// Backends of an act: number in the lab, and weight.
type Cast = [(usize, u32)];

/// Runs the demonstration.
///
/// # Errors
/// What the lab or the daemon cannot do, in a sentence.
pub fn run(options: &Options, screen: &mut Screen) -> Result<Summary> {
    screen.act("a director, three nginx servers, and clients on one network");
    let lab = OneDirector::build("demo", 1, 4).context("building the lab")?;
    let servers = lab.serve_http_everywhere().context("starting nginx")?;
    let three = [(0, 100), (1, 100), (2, 200)];
    let tandem = Tandem::start(&lab.director, &configuration(&lab, &three))?;
    let cost = Cost::start(&lab.director, "eth0")?;
    let mut held = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP6, 80).into(), Greeting::Http),
        options.held,
    )?;

    let rate = Rate {
        per_second: options.per_second,
        hold: Duration::from_secs(300),
        ask_every: Duration::from_secs(1),
        most: usize::MAX,
    };
    let load = Load::start(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        &rate,
    )?;
    let mut show = Show {
        lab: &lab,
        load: &load,
        screen,
        options,
        expected: BTreeMap::new(),
        counted: BTreeMap::new(),
    };

    show.act("connections spread by weight: 100, 100, 200", &three)?;
    let four = [(0, 100), (1, 100), (2, 200), (3, 400)];
    tandem.reload(&configuration(&lab, &four))?;
    show.act("a fourth backend joins, with weight 400", &four)?;
    let without = [(1, 100), (2, 200), (3, 400)];
    tandem.reload(&configuration(&lab, &without))?;
    show.act(
        "backend1 is removed: its connections stay, no new ones come",
        &without,
    )?;
    // The program of the next daemon is another one, with a stopwatch of its own.
    let measured = cost.read();
    tandem.process().kill()?;
    show.act(
        "the daemon is killed (-9): the kernel goes on balancing",
        &without,
    )?;
    let tandem = Tandem::start_again(&lab.director)?;
    show.act("the daemon is back, and took up what it found", &without)?;

    let (rows, total, expected) = (show.overall(), show.total(), show.expected);
    let first = held.failures().values().sum::<u64>();
    let answers = held.ask();
    let tally = load.stop()?;
    // Whoever is drained waits for these as well.
    drop(held);
    let (drain, backend_failure) = backends::acts(&lab, &tandem, &servers, screen)?;
    screen.end(&rows, &total);
    tandem.process().ensure_running()?;

    let made = tally.opened + (answers.kept + answers.moved) as u64 + answers.broken();
    let total: f64 = tally.opened.max(1) as f64;
    let share = |(backend, expected): (&String, &f64)| {
        let got = tally.by_backend.get(backend).copied().unwrap_or(0) as f64;
        (
            backend.clone(),
            Share {
                weight: expected / total * 100.0,
                got: got / total * 100.0,
            },
        )
    };
    let (failover, handover) = pair::run(screen)?;
    Ok(Summary {
        connections: Connections {
            made,
            kept: tally.kept + answers.kept as u64,
            broken: tally.failed.values().sum::<u64>()
                + tally.broken.values().sum::<u64>()
                + tally.moved
                + first
                + answers.moved as u64
                + answers.broken(),
        },
        share: expected.iter().map(share).collect(),
        drain,
        backend_failure,
        ns_per_packet: measured.map(|(cost, _)| cost),
        packets: measured.map_or(0, |(_, packets)| packets),
        failover,
        handover,
    })
}

/// What an act needs to be shown.
struct Show<'a> {
    lab: &'a OneDirector,
    load: &'a Load,
    screen: &'a mut Screen,
    options: &'a Options,
    /// Connections that each backend should have got so far, by the weights in force when they were opened.
    expected: BTreeMap<String, f64>,
    /// Connections by backend up to the end of the last act.
    counted: BTreeMap<String, u64>,
}

impl Show<'_> {
    /// Lets clients come for the length of an act.
    fn act(&mut self, title: &str, cast: &Cast) -> Result<()> {
        self.screen.act(title);
        let end = Instant::now() + self.options.act;
        wait_for(self.options.act * 2, "the act to end", || {
            let (rows, total) = (self.rows(cast), self.total());
            self.screen.draw(&rows, &total);
            Instant::now() >= end
        })?;
        let now = self.load.tally().by_backend;
        let opened = now.values().sum::<u64>() - self.counted.values().sum::<u64>();
        for (backend, share) in self.shares(cast) {
            *self.expected.entry(backend).or_default() += share * opened as f64;
        }
        self.counted = now;
        Ok(())
    }

    fn shares(&self, cast: &Cast) -> Vec<(String, f64)> {
        let sum: u32 = cast.iter().map(|(_, weight)| weight).sum();
        let share = |&(index, weight): &(usize, u32)| {
            (
                self.lab.backends[index].name().to_owned(),
                f64::from(weight) / f64::from(sum),
            )
        };
        cast.iter().map(share).collect()
    }

    /// All acts together.
    fn overall(&self) -> Vec<Row> {
        let now = self.load.tally().by_backend;
        let sum = now.values().sum::<u64>().max(1) as f64;
        let row = |(backend, expected): (&String, &f64)| {
            let connections = now.get(backend).copied().unwrap_or(0);
            let (got, expected) = (connections as f64 / sum, expected / sum);
            Row {
                name: backend.clone(),
                note: "in all".to_owned(),
                connections,
                got,
                expected,
            }
        };
        self.expected.iter().map(row).collect()
    }

    fn rows(&self, cast: &Cast) -> Vec<Row> {
        let now = self.load.tally().by_backend;
        let opened = (now.values().sum::<u64>() - self.counted.values().sum::<u64>()).max(1);
        let shares: BTreeMap<_, _> = self.shares(cast).into_iter().collect();
        let row = |(index, host): (usize, &crate::Host)| {
            let count = |counts: &BTreeMap<String, u64>| counts.get(host.name()).copied().unwrap_or(0);
            let weight = cast
                .iter()
                .find(|(number, _)| *number == index)
                .map(|(_, weight)| weight);
            Row {
                name: host.name().to_owned(),
                note: weight.map_or(String::new(), |weight| format!("w {weight}")),
                connections: count(&now),
                got: (count(&now) - count(&self.counted)) as f64 / opened as f64,
                expected: shares.get(host.name()).copied().unwrap_or(0.0),
            }
        };
        self.lab.backends.iter().enumerate().map(row).collect()
    }

    fn total(&self) -> String {
        let tally = self.load.tally();
        let broken = tally.failed.values().sum::<u64>() + tally.broken.values().sum::<u64>() + tally.moved;
        format!(
            "{} connections opened, {} open now, {broken} broken",
            tally.opened, tally.open
        )
    }
}

fn configuration(lab: &OneDirector, cast: &Cast) -> String {
    let mut config = format!(
        "[director]\nname = \"demo\"\ninterfaces = [\"eth0\"]\n\n\
         [[service]]\nname = \"web\"\nlisten = [\"{VIP4}:80\", \"[{VIP6}]:80\"]\n"
    );
    for &(index, weight) in cast {
        let host = &lab.backends[index];
        if let Some(address) = host.ipv4() {
            let name = host.name();
            let _ = write!(
                config,
                "\n[[service.backend]]\nname = \"{name}\"\naddress = \"{address}\"\nweight = {weight}\n"
            );
        }
    }
    config
}
