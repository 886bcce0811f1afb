//! Backends that operators drain: nothing breaks, nothing new comes, and the order outlives the daemon.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{Crowd, Dial, Greeting, Load, Rate},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};
use serde_json::Value;

use crate::config;

const PATIENCE: Duration = Duration::from_secs(30);

fn backend(tandem: &Tandem, name: &str) -> Result<Value> {
    Ok(tandem.ask(&["backend", "list", name])?[0].clone())
}

/// Exit code and what was said.
fn run(tandem: &Tandem, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = tandem.tandem(arguments)?.output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

/// Five thousand long-lived connections over three backends, clients that keep coming, and a daemon that is killed in the
/// middle.
#[test]
fn a_drained_backend_loses_no_connection_and_gets_no_new_one() -> Result<()> {
    let lab = OneDirector::build("e2e-drain", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    let mut held = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        5000,
    )?;
    ensure!(held.len() == 5000, "{:?}", held.failures());
    let before = held.by_backend();
    let rate = Rate {
        per_second: 200,
        hold: Duration::from_secs(2),
        ask_every: Duration::from_millis(500),
        most: 2000,
    };
    let load = Load::start(
        &lab.clients[0],
        &Dial::new((VIP6, 80).into(), Greeting::Http),
        &rate,
    )?;
    wait_for(PATIENCE, "clients to come", || load.tally().opened > 100)?;

    let order = [
        "backend",
        "drain",
        "backend1",
        "--reason",
        "kernel update",
        "--deadline",
        "30m",
    ];
    let answer = tandem.ask(&order)?;
    ensure!(answer["covers"][0]["backend"] == "backend1", "{answer}");
    ensure!(answer["remarks"] == serde_json::json!([]), "{answer}");
    // Connections that were being opened may still arrive: they have, once 200 in a row were opened to others.
    let (mut at_order, mut opened) = (None, u64::MAX);
    wait_for(PATIENCE, "those under way", || {
        let tally = load.tally();
        let here = tally.by_backend.get("backend1").copied();
        if here != at_order || opened == u64::MAX {
            (at_order, opened) = (here, tally.opened);
        }
        tally.opened >= opened + 200
    })?;

    wait_for(PATIENCE, "a census of the drain", || {
        backend(&tandem, "backend1").is_ok_and(|view| view["drain"]["flows"] == before["backend1"])
    })?;
    let view = backend(&tandem, "backend1")?;
    ensure!(view["state"] == "draining" && view["share"] == 0.0, "{view}");
    ensure!(
        view["order"]["why"] == "kernel update" && view["order"]["who"] == "root",
        "{view}"
    );
    ensure!(view["drain"]["new_flows_per_second"] == 0.0, "{view}");
    ensure!(
        view["drain"]["deadline_seconds"]
            .as_u64()
            .is_some_and(|left| (1700..=1800).contains(&left)),
        "{view}"
    );

    tandem.process().kill()?;
    let opened = load.tally().opened;
    wait_for(PATIENCE, "clients without a daemon", || {
        load.tally().opened > opened + 100
    })?;
    let tandem = Tandem::start_again(&lab.director)?;
    let opened = load.tally().opened;
    wait_for(PATIENCE, "clients with the next daemon", || {
        load.tally().opened > opened + 100
    })?;
    let view = backend(&tandem, "backend1")?;
    ensure!(
        view["state"] == "draining" && view["order"]["why"] == "kernel update",
        "{view}"
    );

    let answers = held.ask();
    ensure!(
        (answers.kept, answers.moved, answers.broken()) == (5000, 0, 0),
        "{answers:?}"
    );
    let tally = load.stop()?;
    ensure!(
        tally.failed.is_empty() && tally.broken.is_empty() && tally.moved == 0,
        "{tally:?}"
    );
    ensure!(
        tally.by_backend.get("backend1").copied() == at_order,
        "{tally:?}, {at_order:?} at the order"
    );
    ensure!(
        run(
            &tandem,
            &[
                "backend", "wait", "backend1", "--until", "drained", "--within", "100ms"
            ]
        )?
        .0 == Some(5)
    );

    // The clients leave: progress falls to nothing, and whoever waits learns of it.
    drop(held);
    let (code, said) = run(
        &tandem,
        &[
            "backend", "wait", "backend1", "--until", "drained", "--within", "60s",
        ],
    )?;
    ensure!(code == Some(0), "{said}");
    let view = backend(&tandem, "backend1")?;
    ensure!(
        view["drain"]["flows"] == 0 && view["drain"]["drained"] == true,
        "{view}"
    );
    let drained = tandem.ask(&["events", "--kind", "order.drained"])?;
    ensure!(drained[0]["backend"] == "backend1", "{drained}");

    tandem.ask(&["backend", "ready", "backend1"])?;
    let (code, said) = run(
        &tandem,
        &[
            "backend", "wait", "backend1", "--until", "healthy", "--within", "10s",
        ],
    )?;
    ensure!(code == Some(0), "{said}");
    let crowd = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        100,
    )?;
    ensure!(
        crowd.by_backend().contains_key("backend1"),
        "{:?}",
        crowd.by_backend()
    );
    Ok(())
}

#[test]
fn what_would_do_harm_is_refused_unless_it_is_forced() -> Result<()> {
    let lab = OneDirector::build("e2e-orders", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut crowd = Crowd::open(&lab.clients[0], &dial, 100)?;
    let address = lab.backends[0].ipv4().context("an address")?.to_string();

    let refused = |arguments: &[&str], words: &str| -> Result<()> {
        let (code, said) = run(&tandem, arguments)?;
        ensure!(
            code == Some(1) && said.contains(words),
            "{arguments:?}: {code:?} {said}"
        );
        Ok(())
    };
    refused(
        &["backend", "drain", "backend9"],
        "no backend is called `backend9`; there are `backend1`, `backend2`",
    )?;
    refused(&["service", "drain", "mail"], "no service is called `mail`")?;
    refused(
        &["service", "drain", "web"],
        "no backend of service `web` would be left",
    )?;
    refused(&["director", "drain"], "say --force")?;
    wait_for(PATIENCE, "a census", || {
        backend(&tandem, "backend1").is_ok_and(|view| view["flows"].as_u64() > Some(0))
    })?;
    refused(
        &["backend", "remove", "backend1"],
        "flows are left: web/backend1 has",
    )?;

    // By its address as well; and of the two that are left one is the last.
    tandem.ask(&["backend", "drain", &address])?;
    refused(&["backend", "drain", "backend2"], "would be left")?;
    refused(&["backend", "weight", "backend2", "0"], "would be left")?;
    tandem.ask(&[
        "backend",
        "offline",
        "backend2",
        "--at-deadline",
        "keep",
        "--force",
    ])?;
    let nobody = Crowd::open(
        &lab.clients[0],
        &Dial {
            timeout: Duration::from_millis(300),
            ..dial.clone()
        },
        3,
    )?;
    ensure!(nobody.is_empty(), "{:?}", nobody.by_backend());
    ensure!(crowd.ask().kept == 100, "those there are go on");
    let orders = tandem.ask(&["order"])?;
    ensure!(orders.as_array().map(Vec::len) == Some(2), "{orders}");

    tandem.ask(&["director", "ready"])?;
    ensure!(tandem.ask(&["order"])? == serde_json::json!([]));
    tandem.ask(&["backend", "weight", "backend1", "300", "--for", "1s"])?;
    let weight = |expected: u64| {
        wait_for(PATIENCE, format!("a weight of {expected}"), || {
            backend(&tandem, "backend1").is_ok_and(|view| view["effective_weight"] == expected)
        })
    };
    weight(300)?;
    weight(100)?;
    Ok(())
}

/// Drains that end by themselves, drains of a whole service and of the whole director, and backends that are taken away.
#[test]
fn drains_of_every_scope_hold_and_are_lifted() -> Result<()> {
    let lab = OneDirector::build("e2e-scopes", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let dial = Dial {
        timeout: Duration::from_millis(500),
        ..Dial::new((VIP4, 80).into(), Greeting::Http)
    };
    let states = |expected: [&str; 2]| {
        let mut last = [String::new(), String::new()];
        wait_for(PATIENCE, format!("{expected:?}"), || {
            last = ["backend1", "backend2"].map(|name| {
                let view = backend(&tandem, name).unwrap_or_default();
                view["state"].as_str().unwrap_or_default().to_owned()
            });
            last == expected
        })
        .with_context(|| format!("{last:?}"))
    };
    let serves = |any: bool| {
        wait_for(PATIENCE, "clients to be served, or not", || {
            Crowd::open(&lab.clients[0], &dial, 2).is_ok_and(|crowd| crowd.is_empty() != any)
        })
    };
    let ask = |words: &str| tandem.ask(&words.split_whitespace().collect::<Vec<_>>());
    states(["ready", "ready"])?;

    // One that ends by itself, and says so.
    ask("backend drain backend1 --for 2s --reason reboot")?;
    states(["draining", "ready"])?;
    states(["ready", "ready"])?;
    ensure!(ask("order")? == serde_json::json!([]));

    for scope in ["service drain web", "director drain"] {
        ask(&format!("{scope} --force --reason move"))?;
        states(["draining", "draining"])?;
        serves(false)?;
        // Who is drained by a wider order does not serve because a narrower one is lifted; the answer says so.
        let answer = ask("backend ready backend1")?;
        ensure!(answer["remarks"] != serde_json::json!([]), "{answer}");
        states(["draining", "draining"])?;
        ask(&scope.replace("drain", "ready"))?;
        states(["ready", "ready"])?;
        serves(true)?;
    }

    // Taken away, as if the configuration had it no more; and back.
    ask("backend drain backend1 --wait --deadline 1s")?;
    ask("backend remove backend1 --force --reason decommissioned")?;
    states(["removed", "ready"])?;
    ask("backend ready backend1")?;
    states(["ready", "ready"])?;
    serves(true)?;
    Ok(())
}

/// At the deadline the flows that are left are scheduled anew: for TCP that ends them, since the next backend knows nothing
/// of the connection.
#[test]
fn the_deadline_ends_what_is_left() -> Result<()> {
    let lab = OneDirector::build("e2e-deadline", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut crowd = Crowd::open(&lab.clients[0], &dial, 200)?;
    let mine = crowd.by_backend()["backend1"];
    wait_for(PATIENCE, "a census", || {
        backend(&tandem, "backend1").is_ok_and(|view| view["flows"] == mine)
    })?;
    tandem.ask(&[
        "backend",
        "drain",
        "backend1",
        "--deadline",
        "2s",
        "--at-deadline",
        "reschedule",
    ])?;
    let (code, said) = run(
        &tandem,
        &[
            "backend", "wait", "backend1", "--until", "drained", "--within", "20s",
        ],
    )?;
    ensure!(code == Some(0), "{said}");
    let answers = crowd.ask();
    ensure!(
        answers.kept as u64 == 200 - mine && answers.broken() == mine,
        "{answers:?}, {mine} on backend1"
    );
    let events = tandem.ask(&["events", "--kind", "order.*"])?;
    let kinds: Vec<_> = events
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    ensure!(
        kinds
            == [
                "order.placed",
                "order.deadline",
                "order.flows_ended",
                "order.drained"
            ],
        "{events}"
    );
    Ok(())
}

/// A backend that comes back takes more and more: as the service has it, or as the operator says this time.
#[test]
fn who_comes_back_starts_slowly() -> Result<()> {
    let lab = OneDirector::build("e2e-ramp", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let config =
        config::web(&lab, &[100, 100]).replace("name = \"web\"", "name = \"web\"\nslow_start = \"4s\"");
    let tandem = Tandem::start(&lab.director, &config)?;
    let state = |expected: &str| {
        wait_for(PATIENCE, format!("it to be {expected}"), || {
            backend(&tandem, "backend1").is_ok_and(|view| view["state"] == expected)
        })
    };
    // Whoever serves when the daemon begins is warm.
    ensure!(backend(&tandem, "backend1")?["state"] == "ready");
    for ramp in [None, Some("2s")] {
        tandem.ask(&["backend", "drain", "backend1"])?;
        state("draining")?;
        let ready = ["backend", "ready", "backend1"];
        match ramp {
            None => tandem.ask(&ready)?,
            Some(ramp) => tandem.ask(&[&ready[..], &["--ramp", ramp]].concat())?,
        };
        let mut weights = Vec::new();
        let mut shares = Vec::new();
        wait_for(PATIENCE, "it to be warm", || {
            backend(&tandem, "backend1").is_ok_and(|view| {
                weights.extend(view["effective_weight"].as_u64());
                shares.extend(view["share"].as_f64());
                view["state"] == "ready"
            })
        })?;
        ensure!(weights.is_sorted() && weights.last() == Some(&100), "{weights:?}");
        ensure!(weights[0] <= 50, "{ramp:?}: {weights:?}");
        weights.dedup();
        ensure!((2..=6).contains(&weights.len()), "{ramp:?}: {weights:?}");
        ensure!(
            shares[0] < 0.4 && shares.last().is_some_and(|share| (share - 0.5).abs() < 0.02),
            "{shares:?}"
        );
    }
    let (code, said) = run(&tandem, &["backend", "ready", "backend1", "--ramp", "1m"])?;
    ensure!(
        code != Some(0) && said.contains("serve already"),
        "{code:?} {said}"
    );
    Ok(())
}

/// At the deadline the connections that are left are reset, at both ends, though nobody says a word.
#[test]
fn the_deadline_resets_what_is_left() -> Result<()> {
    let lab = OneDirector::build("e2e-reset", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    for vip in [VIP4.into(), VIP6.into()] {
        let vip: std::net::IpAddr = vip;
        let mut crowd = Crowd::open(
            &lab.clients[0],
            &Dial::new((vip, 80).into(), Greeting::Http),
            1000,
        )?;
        let mine = crowd.by_backend()["backend1"];
        wait_for(PATIENCE, "a census", || {
            // Those that are being closed are among them.
            backend(&tandem, "backend1").is_ok_and(|view| view["flows"].as_u64() >= Some(mine))
        })?;
        let open = |host: &Host| -> Result<u64> {
            let mut command = host.command("ss")?;
            command.args(["-Htn", "state", "established", "sport", "=", ":80"]);
            Ok(String::from_utf8_lossy(&command.output()?.stdout).lines().count() as u64)
        };
        ensure!(
            open(&lab.backends[0])? == mine,
            "{} of {mine}",
            open(&lab.backends[0])?
        );
        let clients = || -> Result<u64> {
            let mut command = lab.clients[0].command("ss")?;
            command.args(["-Htn", "state", "established", "dport", "=", ":80"]);
            Ok(String::from_utf8_lossy(&command.output()?.stdout).lines().count() as u64)
        };
        ensure!(clients()? == 1000, "{}", clients()?);
        tandem.ask(&[
            "backend",
            "drain",
            "backend1",
            "--deadline",
            "1s",
            "--at-deadline",
            "reset",
        ])?;
        wait_for(PATIENCE, "both ends to be closed", || {
            open(&lab.backends[0]).is_ok_and(|open| open == 0)
                && clients().is_ok_and(|open| open == 1000 - mine)
        })?;
        let (code, said) = run(
            &tandem,
            &[
                "backend", "wait", "backend1", "--until", "drained", "--within", "20s",
            ],
        )?;
        ensure!(code == Some(0), "{said}");
        let answers = crowd.ask();
        ensure!(
            answers.kept as u64 == 1000 - mine && answers.broken() == mine,
            "{answers:?}, {mine} on backend1"
        );
        tandem.ask(&["backend", "ready", "backend1"])?;
        drop(crowd);
        wait_for(PATIENCE, "the clients to be gone", || {
            backend(&tandem, "backend2").is_ok_and(|view| view["state"] == "ready")
                && clients().is_ok_and(|open| open == 0)
        })?;
        // Their entries stay until they time out: the next family has others.
    }
    Ok(())
}
