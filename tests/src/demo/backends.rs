//! Two acts about backends: one is drained under load, and one is killed.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::screen::Screen;
use crate::{
    Tandem,
    client::{Dial, Greeting, Load, Rate, Tally},
    server::Nginx,
    topology::{OneDirector, VIP4},
    wait::wait_for,
};

/// What is checked, and how often.
const CHECK: &str = "check = { type = \"http\", path = \"/healthz\", interval = \"200ms\", timeout = \"150ms\", rise = 2, fall = 3 }";
/// For what ought to happen in seconds.
const PATIENCE: Duration = Duration::from_secs(40);
/// Backends that take part: numbers in the lab.
const CAST: [usize; 3] = [1, 2, 3];

/// What clients saw of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Drain {
    /// Connections that could not be opened, broke, or were answered by another backend than at first.
    pub client_errors: u64,
    /// From the order until the last flow had ended.
    pub seconds: f64,
}

/// What clients saw of a backend that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Failure {
    /// From its death until new connections avoided it, in milliseconds.
    pub detect_ms: f64,
    /// Connections that could not be opened, or broke: those to the dead backend.
    pub client_errors: u64,
    /// Connections to the others that broke or moved.
    pub others: u64,
}

/// Lets clients come and go, drains one backend, and kills another.
pub(super) fn acts(
    lab: &OneDirector,
    tandem: &Tandem,
    servers: &[Nginx],
    screen: &mut Screen,
) -> Result<(Drain, Failure)> {
    tandem.reload(&configuration(lab)?)?;
    wait_for(PATIENCE, "the checks to succeed", || {
        tandem
            .ask(&["service"])
            .is_ok_and(|services| services[0]["backends_ready"] == CAST.len())
    })?;
    let [first, second, _] = CAST.map(|index| lab.backends[index].name().to_owned());

    screen.act(&format!(
        "{first} is drained under load: `tandem backend drain {first} --wait`"
    ));
    let load = clients(lab)?;
    wait_for(PATIENCE, "clients to come", || load.tally().opened > 200)?;
    let began = Instant::now();
    let reason = ["--reason", "the demonstration"];
    tandem.show(&[&["backend", "drain", &first, "--wait"][..], &reason].concat())?;
    let seconds = began.elapsed().as_secs_f64();
    let tally = load.stop()?;
    let drain = Drain {
        client_errors: errors(&tally),
        seconds,
    };
    tandem.show(&["backend", "ready", &first])?;
    tandem.show(&["backend", "wait", &first, "--until", "healthy"])?;

    screen.act(&format!(
        "{second} is killed: its checks fail, and new connections avoid it"
    ));
    let load = clients(lab)?;
    wait_for(PATIENCE, "clients to come", || load.tally().opened > 200)?;
    let index = CAST[1];
    let died = Instant::now();
    servers[index].process().kill()?;
    wait_for(PATIENCE, "the failure to be detected", || {
        tandem
            .ask(&["backend", "list", &second])
            .is_ok_and(|view| view[0]["state"] == "down")
    })?;
    let detect_ms = died.elapsed().as_secs_f64() * 1000.0;
    let after = load.tally();
    let opened = after.opened;
    wait_for(PATIENCE, "clients to come", || load.tally().opened > opened + 300)?;
    let tally = load.stop()?;
    let failure = Failure {
        detect_ms,
        client_errors: errors(&tally),
        others: tally.moved,
    };
    Ok((drain, failure))
}

fn clients(lab: &OneDirector) -> Result<Load> {
    let rate = Rate {
        per_second: 300,
        hold: Duration::from_secs(1),
        ask_every: Duration::from_millis(250),
        most: 3000,
    };
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    Ok(Load::start(&lab.clients[0], &dial, &rate)?)
}

fn errors(tally: &Tally) -> u64 {
    tally.failed.values().sum::<u64>() + tally.broken.values().sum::<u64>() + tally.moved
}

fn configuration(lab: &OneDirector) -> Result<String> {
    let mut config = format!(
        "[director]\nname = \"demo\"\ninterfaces = [\"eth0\"]\n\n\
         [[service]]\nname = \"web\"\nlisten = [\"{VIP4}:80\"]\n{CHECK}\n"
    );
    for index in CAST {
        let host = &lab.backends[index];
        let (name, address) = (
            host.name(),
            host.ipv4().context("hosts of the lab have IPv4 addresses")?,
        );
        write!(
            config,
            "\n[[service.backend]]\nname = \"{name}\"\naddress = \"{address}\"\n"
        )?;
    }
    Ok(config)
}
