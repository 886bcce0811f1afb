//! VIPs that move on purpose, with the connections before them.

use anyhow::{Context as _, Result, ensure};
use lb_tests::{Tandem, wait_for};
use serde_json::Value;

use crate::{
    roles::{PATIENCE, expect_role},
    sync::{Cluster, SYNC, ask, expect_flows, expect_in_sync},
};

/// Waits until the director hears the other, and knows it for no recording.
pub(crate) fn expect_proven(tandem: &Tandem) -> Result<()> {
    wait_for(PATIENCE, "the other director to be heard", || {
        let view = tandem.ask(&["ha"]).unwrap_or_default();
        view["peers"][0]["proven"] == true
    })?;
    Ok(())
}

/// There and back, on either director's command: everybody had everything before, and it says so.
#[test]
fn a_handover_takes_all_connections_along_and_says_so() -> Result<()> {
    let mut cluster = Cluster::build("sync-handover", 1, 2)?;
    cluster.held = 200;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let a = cluster.start(0, SYNC, 100)?;
    let b = cluster.start(1, SYNC, 100)?;
    expect_role(&a, "active")?;
    for director in [&a, &b] {
        expect_in_sync(director)?;
        expect_proven(director)?;
    }
    let mut crowds = cluster.crowds()?;
    expect_flows(&b, 400)?;
    let verify = || -> Result<String> {
        let verified = b.tandem(&["sync", "verify"])?.output()?;
        ensure!(verified.status.success(), "{verified:?}");
        Ok(String::from_utf8_lossy(&verified.stdout).into_owned())
    };
    let is_all = |said: &str| said.contains("a: the same, all 400 connections");
    // What is younger than a second is not compared.
    wait_for(PATIENCE, "all to be compared", || {
        verify().is_ok_and(|said| is_all(&said))
    })?;
    for (on, arguments, taker) in [
        (&a, &["ha", "handover"][..], &b),
        (&a, &["ha", "handover", "--to", "a"], &a),
    ] {
        let answer = on.ask(arguments)?;
        let how = &answer["handover"];
        let connections = &how["connections"];
        ensure!(how["blackout_milliseconds"].is_u64(), "{answer}");
        ensure!(connections["behind"] == Value::Array(vec![]), "{answer}");
        ensure!(
            connections["unknown"] == 0 && connections["kept"] == 400,
            "{answer}"
        );
        expect_role(taker, "active")?;
        println!("{answer}");
        let answers = ask(&mut crowds);
        ensure!(answers.kept == 400, "{answers:?}");
    }
    let said = verify()?;
    ensure!(is_all(&said), "{said}");
    Ok(())
}

/// Who has just handed over may not have heard yet that it was taken: it cannot have the VIPs back before, and that is what is
/// said.
#[test]
fn handing_back_at_once_works_or_is_refused_for_what_it_is() -> Result<()> {
    let cluster = Cluster::build("ha-back", 1, 1)?;
    let a = cluster.start(0, "", 100)?;
    let b = cluster.start(1, "", 100)?;
    expect_role(&a, "active")?;
    for director in [&a, &b] {
        expect_proven(director)?;
    }
    let mut refused = 0;
    for (giver, taker) in [(&a, &b), (&b, &a)].into_iter().cycle().take(20) {
        wait_for(PATIENCE, "the VIPs to be handed over", || {
            let Ok(output) = giver
                .tandem(&["ha", "handover"])
                .and_then(|mut it| Ok(it.output()?))
            else {
                return false;
            };
            let said = String::from_utf8_lossy(&output.stderr);
            refused += usize::from(!output.status.success());
            assert!(
                output.status.success() || said.contains("has only just handed the VIPs"),
                "{said}"
            );
            output.status.success()
        })?;
        expect_role(taker, "active")?;
    }
    println!("refused {refused} times");
    Ok(())
}

/// The number of the first event of this kind.
fn first_event(tandem: &Tandem, kind: &str) -> Result<u64> {
    let events = tandem.ask(&["events", "--kind", kind])?;
    let number = events[0]["number"].as_u64();
    number.with_context(|| format!("no {kind}: {events}"))
}

/// Whoever comes back with the higher priority takes the VIPs when it has the connections, and not before.
#[test]
fn who_comes_back_takes_the_vips_once_it_has_the_connections() -> Result<()> {
    for (name, failback, waits) in [
        ("sync-after", "after-sync", true),
        ("sync-at-once", "immediate", false),
    ] {
        let mut cluster = Cluster::build(name, 1, 2)?;
        cluster.held = 100;
        cluster.failback = failback;
        let _servers = cluster.pair.serve_http_everywhere()?;
        let a = cluster.start(0, SYNC, 100)?;
        let b = cluster.start(1, SYNC, 100)?;
        expect_role(&a, "active")?;
        expect_in_sync(&b)?;
        let mut crowds = cluster.crowds()?;
        expect_flows(&b, 200)?;
        cluster.cut_power(0, &a)?;
        expect_role(&b, "active")?;
        cluster.forget(0)?;
        cluster.pair.reconnect(0)?;
        let a = cluster.start(0, SYNC, 100)?;
        expect_role(&a, "active")?;
        expect_in_sync(&a)?;
        let (complete, active) = (first_event(&a, "sync.complete")?, first_event(&a, "ha.active")?);
        ensure!(
            (complete < active) == waits,
            "{failback}: in sync by event {complete}, Active by {active}"
        );
        if waits {
            let answers = ask(&mut crowds);
            ensure!(answers.kept == 200, "{answers:?}");
        }
    }
    Ok(())
}

/// Whoever is taken out of service hands over first, and then has nobody to wait for.
#[test]
fn a_director_that_leaves_hands_its_clients_over() -> Result<()> {
    let mut cluster = Cluster::build("sync-leave", 1, 2)?;
    cluster.held = 100;
    let _servers = cluster.pair.serve_http_everywhere()?;
    let a = cluster.start(0, SYNC, 100)?;
    let b = cluster.start(1, SYNC, 100)?;
    expect_role(&a, "active")?;
    for director in [&a, &b] {
        expect_in_sync(director)?;
        expect_proven(director)?;
    }
    let mut crowds = cluster.crowds()?;
    expect_flows(&b, 200)?;
    let left = a.tandem(&["director", "drain", "--exit"])?.output()?;
    let said = String::from_utf8_lossy(&left.stderr).into_owned();
    ensure!(left.status.success() && said.is_empty(), "{said}");
    ensure!(a.process().wait(PATIENCE)?.success(), "{}", a.process().log());
    expect_role(&b, "active")?;
    let answers = ask(&mut crowds);
    ensure!(answers.kept == 200, "{answers:?}");
    Ok(())
}
