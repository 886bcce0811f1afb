//! A director that takes over before its own checks have come to anything knows how the backends are.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting},
    topology::VIP4,
    wait_for,
};
use serde_json::Value;

use crate::{
    roles::{PATIENCE, expect_role},
    sync::{Cluster, SYNC, expect_in_sync},
};

/// A check that says on the first director that the first backend is dead, and on the second one has nothing to say for a
/// minute.
const SCRIPT: &str = "#!/bin/sh
if ip -4 -oneline address show dev eth1 | grep -q '10.9.0.3/'; then
    exec sleep 60
fi
test \"$TANDEM_ADDRESS\" != DEAD
";

fn check(tandem: &Tandem, backend: &str) -> Result<Value> {
    Ok(tandem.ask(&["backend", "list", backend])?[0]["health"]["checks"][0].clone())
}

/// Waits until the director holds the backend for this, by the word of that director, or by its own.
fn expect_check(tandem: &Tandem, backend: &str, state: &str, found_by: Option<&str>) -> Result<()> {
    let mut last = Value::Null;
    wait_for(PATIENCE, format!("{backend} to be {state}"), || {
        last = check(tandem, backend).unwrap_or_default();
        last["state"] == state && last["found_by"].as_str() == found_by
    })
    .with_context(|| format!("{last}\n{}", tandem.process().log()))?;
    Ok(())
}

#[test]
fn what_one_director_found_of_backends_holds_on_one_that_has_not_checked_yet() -> Result<()> {
    let cluster = Cluster::build("sync-verdicts", 1, 2)?;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let dead = cluster.pair.backends[0].ipv4().context("an IPv4 address")?;
    let script = cluster.pair.directors[0].run_dir().join("check.sh");
    fs::write(&script, SCRIPT.replace("DEAD", &dead.to_string()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let check = format!(
        "check = {{ type = \"script\", command = [{script:?}], interval = \"60s\", timeout = \"60s\", fall = 1, rise = 1 }}"
    );
    let config = |director| {
        let config = cluster.config(director, SYNC, 100);
        config.replace("name = \"web\"\n", &format!("name = \"web\"\n{check}\n"))
    };
    let directors = &cluster.pair.directors;
    let a = Tandem::start(&directors[0], &config(0))?;
    expect_role(&a, "active")?;
    expect_check(&a, "backend1", "down", None)?;
    expect_check(&a, "backend2", "up", None)?;

    let b = Tandem::start(&directors[1], &config(1))?;
    expect_in_sync(&b)?;
    expect_check(&b, "backend1", "down", Some("a"))?;
    expect_check(&b, "backend2", "up", Some("a"))?;
    let shown = b.show(&["backend"])?;
    ensure!(
        shown.contains("web/backend2: script: up, as a found; not checked here yet")
            && shown.contains("(found by a, not checked here yet)"),
        "{shown}"
    );

    cluster.cut_power(0, &a)?;
    expect_role(&b, "active")?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let crowd = Crowd::open(&cluster.pair.clients[0], &dial, 40)?;
    ensure!(crowd.len() == 40, "{:?}", crowd.failures());
    let spread = crowd.by_backend();
    ensure!(!spread.contains_key("backend1"), "{spread:?}");

    // What it finds out by itself counts from then on.
    fs::write(&script, "#!/bin/sh\nexit 0\n")?;
    b.process().kill()?;
    let b = Tandem::start_again(&directors[1])?;
    expect_check(&b, "backend1", "up", None)
}
