//! Checks of backends that are out to do harm, and scripts that do it: bounded, ended in time, told of.

use std::{fs, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Tandem,
    server::{Hostile, Malice, Nginx},
    topology::{OneDirector, VIP4},
    wait_for,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);
const TIMES: &str =
    "target = \"backend\", interval = \"250ms\", timeout = \"250ms\", rise = 1, fall = 2, damping = \"0s\"";
/// Probes of each check that are waited for.
const ROUNDS: u64 = 20;
/// What a probe may take of a gigabyte: what it reads, and what kernels hold that was on its way.
const TAKEN: u64 = 16 << 20;
/// How much the daemon's memory may grow meanwhile. It is less than two of the answers would take.
const GROWTH: u64 = 32 << 20;
/// Seconds that nothing else in the lab sleeps for.
const SLEEP: &str = "86123";

/// Bytes of memory that a process has.
fn memory(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("a size")?
        .parse()?;
    Ok(kib << 10)
}

/// Processes with this among their arguments that are not dead.
fn sleepers() -> usize {
    let is_one = |entry: &fs::DirEntry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut arguments = command.split(|byte| *byte == 0);
        arguments.next() == Some(b"sleep") && arguments.next() == Some(SLEEP.as_bytes())
    };
    fs::read_dir("/proc").map_or(0, |all| all.flatten().filter(is_one).count())
}

#[test]
fn backends_and_scripts_that_mean_harm_are_bounded() -> Result<()> {
    let lab = OneDirector::build("e2e-bad-checks", 0, 1)?;
    let backend = &lab.backends[0];
    let address = backend.ipv4().context("an address")?;
    let at = |port: u16| SocketAddr::from((address, port));
    let _good = Nginx::start(backend, &[at(80)], None)?;
    let malices = [
        Malice::Silence,
        Malice::Gigabyte,
        Malice::Flood,
        Malice::Redirect,
        Malice::Reset,
    ];
    let servers = (1000..)
        .zip(malices)
        .map(|(port, malice)| Ok((malice, Hostile::start(backend, at(port), malice)?)))
        .collect::<Result<Vec<_>>>()?;
    // Names, checks, and what is said of the backend; nothing where it counts as well.
    let checks = [
        (
            "good",
            "type = \"http\", port = 80, path = \"/healthz\"".to_owned(),
            "",
        ),
        (
            "silence",
            "type = \"http\", port = 1000".to_owned(),
            "no answer within",
        ),
        ("gigabyte", "type = \"http\", port = 1001".to_owned(), ""),
        (
            "needle",
            "type = \"http\", port = 1001, contains = \"needle\"".to_owned(),
            "the body is not what it should be",
        ),
        ("flood", "type = \"http\", port = 1002".to_owned(), "http: "),
        ("smtp", "type = \"smtp\", port = 1002".to_owned(), "smtp: "),
        ("grpc", "type = \"grpc\", port = 1002".to_owned(), "grpc: "),
        (
            "tls",
            "type = \"tls\", port = 1002, verify = false".to_owned(),
            "tls: ",
        ),
        (
            "redirect",
            "type = \"http\", port = 1003".to_owned(),
            "HTTP status 302",
        ),
        ("reset", "type = \"http\", port = 1004".to_owned(), "http: "),
        (
            "hangs",
            format!(
                "type = \"script\", command = [\"/bin/sh\", \"-c\", \"sleep {SLEEP} & (setsid sleep {SLEEP} & sleep {SLEEP}) & yes\"]"
            ),
            "script: ",
        ),
        (
            "floods",
            "type = \"script\", command = [\"/bin/sh\", \"-c\", \"head -c 100000000 /dev/zero; exit 3\"]"
                .to_owned(),
            "script: ",
        ),
    ];
    let mut config = "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"64k\"\nflows_v6 = \"1k\"\n".to_owned();
    let mut healthy = config.clone();
    for (port, (name, check, _)) in (1000..).zip(&checks) {
        let service = format!(
            "\n[[service]]\nname = \"{name}\"\nlisten = [\"{VIP4}:{port}\"]\ntable_size = 251\ncheck = {{ {check}, {TIMES} }}\n\
             [[service.backend]]\nname = \"backend1\"\naddress = \"{address}\"\n"
        );
        config += &service;
        if *name == "good" {
            healthy += &service;
        }
    }
    let tandem = Tandem::start(&lab.director, &config)?;
    let mut last = Value::Null;
    let all_as_expected = |last: &mut Value| {
        *last = tandem.ask(&["backend"]).unwrap_or_default();
        let of = |name: &str| {
            last.as_array()
                .into_iter()
                .flatten()
                .find(|backend| backend["service"] == name)
        };
        checks.iter().all(|(name, _, words)| {
            of(name).is_some_and(|backend| {
                let reason = backend["reason"].as_str().unwrap_or_default();
                let state = if words.is_empty() { "ready" } else { "down" };
                backend["state"] == state && reason.contains(words)
            })
        })
    };
    wait_for(PATIENCE, "every check to be judged", || {
        all_as_expected(&mut last)
    })
    .with_context(|| format!("{last:#}"))?;
    let id = tandem.process().id();
    let before = memory(id)?;
    let connections = |malice: Malice| {
        let mut of = servers.iter().filter(|(which, _)| *which == malice);
        of.next().map_or(0, |(_, server)| server.connections())
    };
    let begun: Vec<u64> = malices.map(connections).to_vec();
    let mut most = 0;
    wait_for(PATIENCE, "many more probes", || {
        most = most.max(sleepers());
        malices
            .iter()
            .zip(&begun)
            .all(|(malice, begun)| connections(*malice) >= begun + ROUNDS)
    })?;
    let stats = tandem.ask(&["stats"])?;
    let (ended, failed) = (&stats["probes"]["ended"], &stats["probes"]["failed"]);
    ensure!(
        failed.as_u64() >= Some(ROUNDS * 7) && ended.as_u64() > failed.as_u64(),
        "{failed} of {ended} probes failed"
    );
    println!("{failed} of {ended} probes failed, and were counted");
    // One probe of it runs at a time, and takes with it what it started.
    ensure!((1..=6).contains(&most), "{most} processes at once");
    ensure!(all_as_expected(&mut last), "{last:#}");
    let grown = memory(id)?.saturating_sub(before);
    ensure!(grown < GROWTH, "the daemon grew by {grown} bytes");
    for (malice, server) in &servers {
        let taken = server.sent() / server.connections().max(1);
        println!(
            "{malice:?}: {} connections, {taken} bytes of a gigabyte were sent on each",
            server.connections()
        );
        ensure!(taken < TAKEN, "{malice:?}: {taken} bytes");
    }
    println!(
        "the daemon grew by {} KiB; {most} processes of scripts at once, at most",
        grown >> 10
    );

    // Nobody is left when the checks are gone; and the good one went on.
    tandem.reload(&healthy)?;
    wait_for(PATIENCE, "the scripts' processes to end", || sleepers() == 0)?;
    let view = tandem.ask(&["backend"])?;
    ensure!(
        view[0]["service"] == "good" && view[0]["state"] == "ready",
        "{view}"
    );
    let downs = tandem.ask(&["events", "--kind", "backend.down"])?;
    ensure!(
        downs
            .as_array()
            .is_some_and(|downs| downs.iter().all(|event| event["service"] != "good")),
        "{downs}"
    );
    Ok(())
}
