//! Clients that keep their backend, and connections of backends that left.

use std::time::Duration;

use anyhow::{Result, ensure};
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(20);

/// The usual service with these lines more.
fn with_lines(lab: &OneDirector, weights: &[u32], lines: &str) -> String {
    let name = "name = \"web\"\n";
    config::web(lab, weights).replacen(name, &format!("{name}{lines}\n"), 1)
}

fn open(
    lab: &OneDirector,
    client: usize,
    vip: impl Into<std::net::IpAddr>,
    connections: usize,
) -> Result<Crowd> {
    let dial = Dial::new((vip.into(), 80).into(), Greeting::Http);
    let crowd = Crowd::open(&lab.clients[client], &dial, connections)?;
    ensure!(crowd.len() == connections, "{:?}", crowd.failures());
    Ok(crowd)
}

/// The one backend that serves all of them.
fn only(crowd: &Crowd) -> Result<String> {
    let backends = crowd.by_backend();
    ensure!(backends.len() == 1, "{backends:?}");
    Ok(backends.into_keys().next().expect("one"))
}

/// Whatever ports the client has, whatever becomes of weights; but a drain moves it.
#[test]
fn a_client_keeps_its_backend_until_that_is_drained() -> Result<()> {
    let lab = OneDirector::build("e2e-persist", 2, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let lines = "scheduler = \"rr\"\npersistence = { timeout = \"10m\" }";
    let tandem = Tandem::start(&lab.director, &with_lines(&lab, &[100, 100, 100], lines))?;
    let (mut first, second) = (open(&lab, 0, VIP4, 60)?, open(&lab, 1, VIP4, 60)?);
    let (own, others) = (only(&first)?, only(&second)?);
    ensure!(own != others, "the second client's turn is another backend's");
    let own6 = only(&open(&lab, 0, VIP6, 20)?)?;
    ensure!(
        own6 != own && own6 != others,
        "a client of the other family is another client"
    );

    tandem.reload(&with_lines(&lab, &[1, 900, 50], lines))?;
    ensure!(only(&open(&lab, 0, VIP4, 60)?)? == own);

    tandem.ask(&["backend", "drain", &own])?;
    let moved = only(&open(&lab, 0, VIP4, 60)?)?;
    ensure!(moved != own);
    let answers = first.ask();
    ensure!(
        (answers.kept, answers.moved, answers.broken()) == (60, 0, 0),
        "{answers:?}"
    );
    // The template that is left keeps the backend from being drained no longer than its connections do.
    drop(first);
    let wait = ["backend", "wait", &own, "--until", "drained", "--within", "60s"];
    let output = tandem.tandem(&wait)?.output()?;
    ensure!(output.status.success(), "{output:?}");
    tandem.ask(&["backend", "ready", &own])?;
    ensure!(only(&open(&lab, 0, VIP4, 60)?)? == moved);
    Ok(())
}

/// A real TCP stack takes the reset for what it is: at once, and only on the connections of the backend that left.
#[test]
fn connections_of_a_backend_that_is_gone_are_reset() -> Result<()> {
    let lab = OneDirector::build("e2e-gone", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let lines = "on_gone = \"reset\"";
    let tandem = Tandem::start(&lab.director, &with_lines(&lab, &[100, 100, 100], lines))?;
    for vip in [std::net::IpAddr::from(VIP4), VIP6.into()] {
        tandem.reload(&with_lines(&lab, &[100, 100, 100], lines))?;
        let mut crowd = open(&lab, 0, vip, 90)?;
        let of_first = crowd.by_backend()["backend1"];
        let without = config::web_over(&lab, &[(1, 100), (2, 100)]);
        tandem.reload(&without.replacen("name = \"web\"\n", &format!("name = \"web\"\n{lines}\n"), 1))?;
        wait_for(PATIENCE, "the connections to be ended", || {
            let flows = tandem.ask(&["flow", "list", "--state", "established"]);
            flows.is_ok_and(|flows| {
                flows
                    .as_array()
                    .is_some_and(|flows| flows.len() as u64 == 90 - of_first)
            })
        })?;
        let answers = crowd.ask();
        ensure!(
            (answers.kept, answers.moved, answers.broken()) == (90 - of_first as usize, 0, of_first),
            "{answers:?}, {of_first} of the first"
        );
        ensure!(
            answers.broken.keys().all(|failure| failure.contains("reset")),
            "{answers:?}"
        );
        // They connect anew, elsewhere.
        ensure!(!open(&lab, 0, vip, 60)?.by_backend().contains_key("backend1"));
    }
    Ok(())
}
