//! What must not break a connection: the daemon's death, its return, another configuration, a backend that vanishes.

use std::time::Duration;

use anyhow::Result;
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting, Load, Rate, Tally},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(20);

fn load(lab: &OneDirector, per_second: u32) -> Result<Load> {
    let rate = Rate {
        per_second,
        hold: Duration::from_secs(60),
        ask_every: Duration::from_millis(500),
        most: 5000,
    };
    Ok(Load::start(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        &rate,
    )?)
}

fn opened(load: &Load, more: u64) -> Result<()> {
    let goal = load.tally().opened + more;
    wait_for(PATIENCE, "clients to open connections", || {
        load.tally().opened >= goal
    })?;
    Ok(())
}

fn assert_unharmed(tally: &Tally) {
    assert!(
        tally.failed.is_empty() && tally.broken.is_empty() && tally.moved == 0,
        "{tally:?}"
    );
    assert!(tally.kept > 0, "{tally:?}");
}

#[test]
fn a_killed_daemon_and_its_successor_break_nothing() -> Result<()> {
    let lab = OneDirector::build("e2e-kill", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let mut tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    let mut held = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP6, 80).into(), Greeting::Http),
        500,
    )?;
    let load = load(&lab, 200)?;
    opened(&load, 100)?;
    for _ in 0..4 {
        tandem.process().kill()?;
        opened(&load, 100)?;
        tandem = Tandem::start_again(&lab.director)?;
        opened(&load, 100)?;
    }
    assert_unharmed(&load.stop()?);
    assert_eq!(held.ask().kept, 500);
    Ok(())
}

/// A restart is a diff: with another set of backends, connections stay where they are, even those of a backend that is
/// no longer configured.
#[test]
fn a_restart_with_other_backends_moves_no_connection() -> Result<()> {
    let lab = OneDirector::build("e2e-restart", 1, 4)?;
    let _servers = lab.serve_http_everywhere()?;
    let first = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut held = Crowd::open(&lab.clients[0], &dial, 600)?;
    first.process().terminate(PATIENCE)?;
    let changed = config::web_over(&lab, &[(1, 100), (2, 50), (3, 100)]);
    let second = Tandem::start(&lab.director, &changed)?;
    let answers = held.ask();
    assert_eq!(
        (answers.kept, answers.moved, answers.broken()),
        (600, 0, 0),
        "{answers:?}"
    );
    let fresh = Crowd::open(&lab.clients[0], &dial, 300)?.by_backend();
    assert!(
        !fresh.contains_key("backend1") && fresh.contains_key("backend4"),
        "{fresh:?}"
    );
    second.process().ensure_running()?;
    Ok(())
}

#[test]
fn a_reload_that_replaces_every_backend_breaks_nothing() -> Result<()> {
    let lab = OneDirector::build("e2e-reload", 1, 4)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let load = load(&lab, 300)?;
    opened(&load, 200)?;
    for backends in [[(2, 100), (3, 100)], [(0, 100), (1, 100)], [(1, 10), (3, 1000)]] {
        tandem.reload(&config::web_over(&lab, &backends))?;
        opened(&load, 200)?;
    }
    assert_unharmed(&load.stop()?);
    Ok(())
}

#[test]
fn a_refused_reload_leaves_the_old_configuration_in_force() -> Result<()> {
    let lab = OneDirector::build("e2e-refuse", 1, 1)?;
    let _server = lab.serve_http(&lab.backends[0])?;
    let good = config::web(&lab, &[100]);
    let tandem = Tandem::start(&lab.director, &good)?;
    let refused = tandem
        .reload(&good.replace("weight = 100", "wait = 100"))
        .expect_err("an unknown key");
    assert!(refused.to_string().contains("wait"), "{refused}");
    let crowd = Crowd::open(&lab.clients[0], &Dial::new((VIP4, 80).into(), Greeting::Http), 10)?;
    assert_eq!(crowd.len(), 10);
    Ok(())
}

/// A backend whose neighbour vanishes is taken out of the schedule, and comes back with its cable. Connections to the
/// others never notice.
#[test]
fn an_unplugged_backend_gets_no_new_connections_until_it_is_back() -> Result<()> {
    let lab = OneDirector::build("e2e-unplug", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let _tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    let mut dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let held = Crowd::open(&lab.clients[0], &dial, 300)?;
    dial.timeout = Duration::from_millis(700);
    lab.backends[0].link_down("eth0")?;
    wait_for(PATIENCE, "new connections to avoid it", || {
        Crowd::open(&lab.clients[0], &dial, 20).is_ok_and(|crowd| crowd.len() == 20)
    })?;
    // A server may lose a SYN when so many come at once, and the next one comes after a second; a backend that is away answers neither.
    dial.timeout = PATIENCE;
    let without = Crowd::open(&lab.clients[0], &dial, 200)?;
    assert_eq!(
        (without.len(), without.by_backend().len()),
        (200, 2),
        "{:?}",
        without.failures()
    );
    lab.backends[0].link_up("eth0")?;
    wait_for(PATIENCE, "new connections to reach it again", || {
        Crowd::open(&lab.clients[0], &dial, 50).is_ok_and(|crowd| crowd.by_backend().len() == 3)
    })?;
    drop(held);
    Ok(())
}
