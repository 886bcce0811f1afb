//! A director that is taken out of service: its connections end first, and nothing is left behind.

use std::time::Duration;

use anyhow::{Result, ensure};
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting},
    topology::{OneDirector, VIP4},
    wait_for,
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(30);

/// Whether no VIP, no program and no map is left.
fn is_clean(lab: &OneDirector) -> Result<bool> {
    let links = lab
        .director
        .command("ip")?
        .args(["link", "show", "dev", "eth0"])
        .output()?;
    let attached = String::from_utf8_lossy(&links.stdout).contains("xdp");
    Ok(!attached && !lab.director.has_address(VIP4)? && !lab.director.bpffs().join("tandem").exists())
}

#[test]
fn a_director_that_leaves_waits_for_its_connections_and_takes_no_new_ones() -> Result<()> {
    let lab = OneDirector::build("e2e-exit", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut held = Crowd::open(&lab.clients[0], &dial, 50)?;
    // Who is served is not cut off by whoever does not say that he means it.
    let refused = lab
        .director
        .command("curl")?
        .args(["-s", "--unix-socket"])
        .arg(lab.director.run_dir().join("tandem.sock"))
        .args(["-d", "{}", "http://localhost/v1/exit"])
        .output()?;
    let refused = String::from_utf8_lossy(&refused.stdout).into_owned();
    ensure!(refused.contains("not drained"), "{refused}");

    let leave = tandem.tandem(&["director", "drain", "--exit", "--reason", "to be replaced"])?;
    let leave = lab.director.spawn("leave", leave)?;
    wait_for(PATIENCE, "the order", || {
        tandem
            .ask(&["order"])
            .is_ok_and(|orders| orders[0]["why"] == "to be replaced")
    })?;
    let late = Dial {
        timeout: Duration::from_millis(300),
        ..dial.clone()
    };
    ensure!(Crowd::open(&lab.clients[0], &late, 3)?.is_empty());
    ensure!(held.ask().kept == 50, "those there are go on");
    // Longer than it takes to find that nobody is left.
    wait_for(PATIENCE, "some censuses", || {
        tandem
            .ask(&["status"])
            .is_ok_and(|status| status["uptime_seconds"].as_u64() > Some(5))
    })?;
    ensure!(leave.status().is_none(), "it waits: {}", leave.log());
    ensure!(held.ask().kept == 50, "those there are go on");

    drop(held);
    let left = leave.wait(PATIENCE)?;
    ensure!(
        left.success() && leave.log().contains("balancing ends"),
        "{left} {}",
        leave.log()
    );
    ensure!(
        tandem.process().wait(PATIENCE)?.success(),
        "{}",
        tandem.process().log()
    );
    ensure!(is_clean(&lab)?, "{}", tandem.process().log());

    // Whoever comes back serves.
    let tandem = Tandem::start_again(&lab.director)?;
    ensure!(tandem.ask(&["order"])? == serde_json::json!([]));
    ensure!(Crowd::open(&lab.clients[0], &dial, 20)?.len() == 20);
    Ok(())
}

#[test]
fn the_deadline_ends_connections_that_stay_and_then_the_director() -> Result<()> {
    let lab = OneDirector::build("e2e-exit-deadline", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut held = Crowd::open(&lab.clients[0], &dial, 50)?;
    let ending = Tandem::refused(&lab.director, ["--drain-and-exit=1s"])?;
    ensure!(ending.code == Some(0), "{}", ending.said);
    ensure!(
        tandem.process().wait(PATIENCE)?.success(),
        "{}",
        tandem.process().log()
    );
    ensure!(is_clean(&lab)?, "{}", tandem.process().log());
    let answers = held.ask();
    ensure!(answers.kept == 0 && answers.broken() == 50, "{answers:?}");

    let ending = Tandem::refused(&lab.director, ["--drain-and-exit"])?;
    ensure!(
        ending.code == Some(3) && ending.said.contains("not running"),
        "{}",
        ending.said
    );
    Ok(())
}
