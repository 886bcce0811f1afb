//! What was ordered on one director holds on the other, whichever of them lives.

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

fn order(tandem: &Tandem, backend: &str) -> Result<Value> {
    Ok(tandem.ask(&["backend", "list", backend])?[0]["order"].clone())
}

/// Waits until this is ordered of the backend, by an operator on that director; or nothing.
fn expect_order(tandem: &Tandem, backend: &str, expected: Option<(&str, &str)>) -> Result<()> {
    let mut last = Value::Null;
    wait_for(PATIENCE, format!("{backend} to be under {expected:?}"), || {
        last = order(tandem, backend).unwrap_or_default();
        match expected {
            Some((command, who)) => last["order"] == command && last["who"] == who,
            None => last.is_null(),
        }
    })
    .with_context(|| format!("{last}\n{}", tandem.process().log()))?;
    Ok(())
}

#[test]
fn what_is_ordered_on_one_director_holds_on_all() -> Result<()> {
    let cluster = Cluster::build("sync-orders", 1, 3)?;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let a = cluster.start(0, SYNC, 100)?;
    let b = cluster.start(1, SYNC, 100)?;
    expect_in_sync(&a)?;
    expect_in_sync(&b)?;
    a.ask(&[
        "backend",
        "drain",
        "backend1",
        "--reason",
        "kernel update",
        "--deadline",
        "30m",
    ])?;
    a.ask(&["backend", "drain", "backend2"])?;
    expect_order(&b, "backend1", Some(("drain", "root on a")))?;
    expect_order(&b, "backend2", Some(("drain", "root on a")))?;
    ensure!(order(&b, "backend1")?["why"] == "kernel update");

    // The last word counts, and everybody sees whose it was and what it came instead of.
    b.ask(&["backend", "offline", "backend1", "--reason", "it burns"])?;
    expect_order(&a, "backend1", Some(("offline", "root on b")))?;
    let events = a.show(&["events", "--kind", "order.placed"])?;
    ensure!(
        events.contains("takes the place of: drain ordered by root on a"),
        "{events}"
    );

    // What was lifted while a director was away does not come back with it.
    b.process().kill()?;
    a.ask(&["backend", "ready", "backend2"])?;
    let b = Tandem::start_again(&cluster.pair.directors[1])?;
    expect_order(&b, "backend1", Some(("offline", "root on b")))?;
    expect_order(&b, "backend2", None)?;
    expect_order(&a, "backend2", None)?;
    expect_in_sync(&b)?;
    expect_role(&b, "backup")?;

    // Nor does an order go with the director on which it was given last.
    a.ask(&["backend", "drain", "backend1"])?;
    expect_order(&b, "backend1", Some(("drain", "root on a")))?;
    cluster.cut_power(0, &a)?;
    expect_role(&b, "active")?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let crowd = Crowd::open(&cluster.pair.clients[0], &dial, 60)?;
    ensure!(crowd.len() == 60, "{:?}", crowd.failures());
    let spread = crowd.by_backend();
    ensure!(
        !spread.contains_key("backend1") && spread.contains_key("backend2"),
        "{spread:?}"
    );
    b.process().kill()?;
    let b = Tandem::start_again(&cluster.pair.directors[1])?;
    expect_order(&b, "backend1", Some(("drain", "root on a")))
}
