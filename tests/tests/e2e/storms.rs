//! Unlucky nights: reloads and deaths in quick succession, tables that are full, and guests who abuse the API.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting, Load, Rate},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};
use nix::sys::signal::Signal;

use crate::config;

const PATIENCE: Duration = Duration::from_secs(20);

/// Chance that can be had again: `TANDEM_TEST_SEED` repeats a run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new() -> Result<Self> {
        let seed = match std::env::var("TANDEM_TEST_SEED") {
            Ok(seed) => seed.parse().context("TANDEM_TEST_SEED is no number")?,
            Err(_) => SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)?
                .as_micros() as u64,
        };
        println!("TANDEM_TEST_SEED={seed}");
        Ok(Self(seed))
    }

    /// Below `limit`: SplitMix64 (Steele, Lea, Flood 2014).
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) >> 32) as u32 % limit
    }

    /// At least one of the lab's backends, each with some weight.
    pub(crate) fn backends(&mut self, number: usize) -> Vec<(usize, u32)> {
        let certain = self.below(number as u32) as usize;
        let chosen = (0..number).filter(|&index| index == certain || self.below(2) == 0);
        let chosen: BTreeSet<usize> = chosen.collect();
        chosen
            .into_iter()
            .map(|index| (index, 1 + self.below(1000)))
            .collect()
    }
}

fn load(lab: &OneDirector, per_second: u32) -> Result<Load> {
    let rate = Rate {
        per_second,
        hold: Duration::from_secs(20),
        ask_every: Duration::from_secs(1),
        most: 100_000,
    };
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    Ok(Load::start(&lab.clients[0], &dial, &rate)?)
}

/// Waits until that many more connections have been tried: the time that traffic takes.
fn tried(load: &Load, more: u64) -> Result<()> {
    let count = || {
        let tally = load.tally();
        tally.opened + tally.failed.values().sum::<u64>()
    };
    let goal = count() + more;
    wait_for(PATIENCE, "clients to open connections", || count() >= goal)?;
    Ok(())
}

fn assert_unharmed(load: Load) -> Result<()> {
    let tally = load.stop()?;
    ensure!(
        tally.failed.is_empty() && tally.broken.is_empty() && tally.moved == 0 && tally.kept > 0,
        "{tally:?}"
    );
    Ok(())
}

#[test]
fn reloads_deaths_and_standstills_break_no_connection() -> Result<()> {
    const BACKENDS: usize = 4;
    let mut chance = Chance::new()?;
    let lab = OneDirector::build("e2e-storm", 1, BACKENDS as u8)?;
    let _servers = lab.serve_http_everywhere()?;
    let director = &lab.director;
    let mut tandem = Tandem::start(director, &config::web(&lab, &[100; BACKENDS]))?;
    let six = Dial::new((VIP6, 80).into(), Greeting::Http);
    let mut held = Crowd::open(&lab.clients[0], &six, 300)?;
    let load = load(&lab, 100)?;

    let (mut reloads, mut deaths) = (0, 0);
    while reloads < 40 || deaths < 3 {
        Tandem::write_config(director, &config::web_over(&lab, &chance.backends(BACKENDS)))?;
        tandem.process().signal(Signal::SIGHUP)?;
        reloads += 1;
        tried(&load, 5)?;
        if chance.below(10) == 0 {
            tandem.process().kill()?;
            deaths += 1;
            tandem = Tandem::start_again(director)?;
        }
    }

    for restart in 0..20 {
        match restart % 3 {
            0 => drop(tandem.process().kill()?),
            ask => {
                let signal = if ask == 1 { Signal::SIGTERM } else { Signal::SIGINT };
                tandem.process().signal(signal)?;
                let status = tandem.process().wait(PATIENCE)?;
                assert_eq!(status.code(), Some(0), "{signal}");
            }
        }
        tandem = Tandem::start_again(director)?;
    }

    tandem.process().pause()?;
    tried(&load, 200)?;
    let answer = tandem.tandem(&["--timeout", "1", "backend"])?.output()?;
    assert_eq!(answer.status.code(), Some(5), "{answer:?}");
    tandem.process().resume()?;
    wait_for(PATIENCE, "the daemon to answer again", || {
        tandem.ask(&["backend"]).is_ok()
    })?;

    assert_unharmed(load)?;
    assert_eq!(held.ask().kept, 300);
    Ok(())
}

/// A signal that comes before the daemon is ready is not lost, and not its end.
#[test]
fn signals_during_the_start_do_what_they_say() -> Result<()> {
    let lab = OneDirector::build("e2e-signals", 1, 1)?;
    let director = &lab.director;
    let good = config::web(&lab, &[100]);
    drop(Tandem::start(director, &good)?);
    for (n, signal) in [Signal::SIGHUP, Signal::SIGTERM].into_iter().enumerate() {
        let mut command = Tandem::command(director)?;
        command
            .arg("--config")
            .arg(director.run_dir().join("tandem.toml"));
        command.arg("--socket").arg(director.run_dir().join("early.sock"));
        let process = director.spawn(&format!("early{n}"), command)?;
        // It catches signals before it does anything else: bit 0 is SIGHUP.
        wait_for(PATIENCE, "the daemon to catch signals", || {
            let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
        })?;
        process.signal(signal)?;
        if signal == Signal::SIGTERM {
            let status = process.wait(PATIENCE)?;
            ensure!(status.code() == Some(0), "{status}: {}", process.log());
        } else {
            wait_for(PATIENCE, "the reload", || process.log().contains("reloading"))?;
            process.terminate(PATIENCE)?;
        }
    }
    Ok(())
}

#[test]
fn fifty_reloads_leak_nothing_and_one_that_does_not_fit_changes_nothing() -> Result<()> {
    let lab = OneDirector::build("e2e-leak", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let director = &lab.director;
    // Room for two tables, and for a third while one of them changes.
    let tight = |config: String| config.replace("[limits]", "[limits]\nslots = \"200k\"");
    let config = |weight| tight(config::web(&lab, &[100, weight]));
    let tandem = Tandem::start(director, &config(1))?;
    let mut held = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        100,
    )?;
    let measure = || -> Result<(usize, u64)> {
        let process = format!("/proc/{}", tandem.process().id());
        let files = fs::read_dir(format!("{process}/fd"))?.count();
        let status = fs::read_to_string(format!("{process}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let memory = memory.and_then(|text| text.trim().strip_suffix(" kB"));
        Ok((files, memory.context("RssAnon")?.trim().parse()?))
    };
    for weight in 2..12 {
        tandem.reload(&config(weight))?;
    }
    let (files, memory) = measure()?;
    for weight in 12..62 {
        tandem.reload(&config(weight))?;
    }
    // The daemon closes the connection of a client that has gone a moment later.
    wait_for(PATIENCE, format!("no more open files than {files}"), || {
        measure().is_ok_and(|(files_after, _)| files_after <= files)
    })?;
    let (_, memory_after) = measure()?;
    assert!(
        memory_after < memory + 2048,
        "{memory} kB of memory became {memory_after}"
    );

    let service = |name: &str, port: u16| {
        let address = lab.backends[0].ipv4().expect("an address");
        format!(
            "\n[[service]]\nname = \"{name}\"\nlisten = [\"{VIP4}:{port}\"]\n[[service.backend]]\naddress = \"{address}\"\n"
        )
    };
    tandem.reload(&(config(70) + &service("more", 81)))?;
    let base = config(70);
    let (head, _) = base.split_once("[[service]]").context("a service")?;
    let others = format!("{head}{}{}", service("c", 80), service("d", 81));
    let refused = tandem.reload(&others).expect_err("four tables");
    ensure!(
        refused
            .to_string()
            .contains("service `d`: no room for a schedule"),
        "{refused}"
    );
    let services = tandem.ask(&["service"])?;
    assert_eq!(
        (&services[0]["name"], &services[1]["name"]),
        (&"web".into(), &"more".into())
    );
    assert_eq!(held.ask().kept, 100);
    let fresh = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        100,
    )?;
    assert_eq!(
        fresh.by_backend().len(),
        2,
        "the old weights: {:?}",
        fresh.failures()
    );
    tandem.reload(&format!("{head}{}", service("c", 80)))?;
    tandem.reload(&others)?;
    assert_eq!(held.ask().kept, 100);
    Ok(())
}

/// Connections that have lost their place go where Maglev sends them again, which is where they were.
#[test]
fn a_flow_table_that_is_full_still_forwards_everything() -> Result<()> {
    let lab = OneDirector::build("e2e-full", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let config = config::web(&lab, &[100, 100, 100]).replace("flows_v4 = \"256k\"", "flows_v4 = \"1k\"");
    let tandem = Tandem::start(&lab.director, &config)?;
    let mut crowd = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        5000,
    )?;
    assert_eq!((crowd.len(), crowd.failures().len()), (5000, 0));
    for _ in 0..2 {
        let answers = crowd.ask();
        assert_eq!(
            (answers.kept, answers.moved, answers.broken()),
            (5000, 0, 0),
            "{answers:?}"
        );
    }
    assert!(tandem.count("evicted_active")? >= 3900);
    let mut seen = 0;
    wait_for(PATIENCE, "a census of the full table", || {
        let flows = tandem.ask(&["flow", "--count"]);
        seen = flows.ok().and_then(|flows| flows["flows"].as_u64()).unwrap_or(0);
        seen > 900
    })?;
    assert!(seen <= 1024, "{seen} flows in 1024 places");
    Ok(())
}

#[test]
fn guests_who_abuse_the_api_hinder_neither_packets_nor_others_for_long() -> Result<()> {
    let lab = OneDirector::build("e2e-guests", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let load = load(&lab, 100)?;

    let mut endless = UnixStream::connect(tandem.socket())?;
    endless.set_write_timeout(Some(PATIENCE))?;
    endless.write_all(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Endless: ")?;
    let piece = vec![b'x'; 1 << 20];
    let sent = (0..100).try_for_each(|_| endless.write_all(&piece));
    let sent = sent.expect_err("100 MB of one header");
    ensure!(
        matches!(
            sent.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ),
        "{sent}"
    );
    let mut garbage = UnixStream::connect(tandem.socket())?;
    garbage.write_all(&[0xff; 4096])?;
    garbage.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    // Reset, or an answer that says no.
    let read = garbage.read_to_end(&mut answer);
    ensure!(
        read.is_err() || answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );

    let idle = (0..100).map(|_| UnixStream::connect(tandem.socket()));
    let idle = idle.collect::<io::Result<Vec<_>>>()?;
    let asked = Instant::now();
    tandem.ask(&["backend"])?;
    println!("an answer beside 100 idle guests took {:?}", asked.elapsed());
    drop(idle);
    tried(&load, 100)?;
    assert_unharmed(load)
}
