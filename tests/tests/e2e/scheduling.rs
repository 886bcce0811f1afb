//! Schedulers that go by load, under real connections.

use std::time::Duration;

use anyhow::{Result, ensure};
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting},
    topology::{OneDirector, VIP4},
    wait_for,
};
use serde_json::Value;

use crate::config;

const PATIENCE: Duration = Duration::from_secs(10);

/// The usual service with another scheduler, and these lines more for its first backends.
fn with_scheduler(lab: &OneDirector, weights: &[u32], scheduler: &str, lines: &[&str]) -> String {
    let scheduler = format!("name = \"web\"\nscheduler = \"{scheduler}\"\n");
    let mut config = config::web(lab, weights).replacen("name = \"web\"\n", &scheduler, 1);
    for (number, lines) in (1..).zip(lines) {
        let name = format!("name = \"backend{number}\"\n");
        config = config.replacen(&name, &format!("{name}{lines}\n"), 1);
    }
    config
}

fn open(lab: &OneDirector, connections: usize) -> Result<Crowd> {
    let crowd = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        connections,
    )?;
    ensure!(crowd.len() == connections, "{:?}", crowd.failures());
    Ok(crowd)
}

/// Connections of each backend.
fn shares(crowd: &Crowd) -> [u64; 3] {
    let shares = crowd.by_backend();
    [1, 2, 3].map(|n| shares.get(&format!("backend{n}")).copied().unwrap_or(0))
}

/// What the scheduler goes by: active connections of each backend.
fn live(tandem: &Tandem) -> Result<Vec<Option<u64>>> {
    let backends = tandem.ask(&["backend"])?;
    let active = |backend: &Value| backend["live"]["active"].as_u64();
    Ok(backends.as_array().into_iter().flatten().map(active).collect())
}

/// A service that was scheduled otherwise finds out what its backends already have, and then evens it out to a connection.
#[test]
fn least_connections_fill_up_whoever_has_less() -> Result<()> {
    let lab = OneDirector::build("e2e-wlc", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 0, 0]))?;
    let _first = open(&lab, 200)?;
    assert_eq!(live(&tandem)?, [None; 3], "nobody asks, nobody counts");

    tandem.reload(&with_scheduler(&lab, &[100, 200, 300], "wlc", &[]))?;
    wait_for(PATIENCE, "the count of what was there before", || {
        live(&tandem).is_ok_and(|live| live == [Some(200), Some(0), Some(0)])
    })?;
    let second = open(&lab, 1000)?;
    assert_eq!(shares(&second), [0, 400, 600]);
    assert_eq!(live(&tandem)?, [Some(200), Some(400), Some(600)]);

    // Whoever loses connections gets the next ones.
    drop(second);
    wait_for(PATIENCE, "the connections to end", || {
        live(&tandem).is_ok_and(|live| live == [Some(200), Some(0), Some(0)])
    })?;
    let third = open(&lab, 100)?;
    assert_eq!(shares(&third)[0], 0);
    Ok(())
}

#[test]
fn thresholds_hold_and_a_backup_takes_the_rest() -> Result<()> {
    let lab = OneDirector::build("e2e-thresholds", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let limits = ["upper_threshold = 50", "upper_threshold = 70", "backup = true"];
    let tandem = Tandem::start(
        &lab.director,
        &with_scheduler(&lab, &[100, 100, 100], "rr", &limits),
    )?;
    let crowd = open(&lab, 200)?;
    assert_eq!(shares(&crowd), [50, 70, 80]);
    let shown = tandem.show(&["backend"])?;
    assert_eq!(shown.matches(" full ").count(), 2, "{shown}");
    assert_eq!(shown.matches(" standby ").count(), 1, "{shown}");
    Ok(())
}
