//! What moves nobody, and what moves weights little by little.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{Crowd, Dial, Greeting},
    topology::{OneDirector, VIP4},
    wait_for,
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(40);
/// Milliseconds that an answer usually takes: long beside what a busy machine adds.
const USUAL: u64 = 100;

/// Ten thousand connections, while backends come, change their weights, fail, are drained, and go.
#[test]
fn of_ten_thousand_connections_none_moves_because_backends_come_and_go() -> Result<()> {
    const FLOWS: usize = 10_000;
    let lab = OneDirector::build("e2e-steady", 1, 4)?;
    let servers = lab.serve_http_everywhere()?;
    let check = "check = { type = \"tcp\", target = \"backend\", interval = \"200ms\", timeout = \"200ms\", fall = 2, rise = 1 }\n";
    let over = |backends: &[(usize, u32)]| {
        let config = config::web_over(&lab, backends);
        config.replacen("name = \"web\"\n", &format!("name = \"web\"\n{check}"), 1)
    };
    let three = [(0, 100), (1, 100), (2, 100)];
    let tandem = Tandem::start(&lab.director, &over(&three))?;
    let mut held = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        FLOWS,
    )?;
    ensure!(held.len() == FLOWS, "{:?}", held.failures());
    println!("{:?}", held.by_backend());

    // One comes, and others get other weights.
    tandem.reload(&over(&[(0, 10), (1, 400), (2, 100), (3, 200)]))?;
    // It fails, and comes back.
    let state = |expected: &str| {
        wait_for(PATIENCE, format!("backend4 to be {expected}"), || {
            let view = tandem.ask(&["backend", "list", "backend4"]);
            view.is_ok_and(|view| view[0]["state"] == expected)
        })
    };
    state("ready")?;
    servers[3].process().kill()?;
    state("down")?;
    // Another one is drained, and the new one goes.
    tandem.ask(&["backend", "drain", "backend2"])?;
    tandem.reload(&over(&three))?;
    // One of the first leaves the configuration; its connections are its own until they end.
    tandem.reload(&over(&three[..2]))?;
    tandem.ask(&["backend", "ready", "backend2"])?;
    let answers = held.ask();
    println!("{answers:?}");
    ensure!(
        (answers.kept, answers.moved, answers.broken()) == (FLOWS, 0, 0),
        "{answers:?}"
    );
    Ok(())
}

/// An HTTP server that takes so many milliseconds for each answer; it ends with the test.
fn slow_server(host: &Host, port: u16, delay: Arc<AtomicU64>) -> Result<()> {
    let address = SocketAddr::new(host.ipv4().context("an address")?.into(), port);
    let listener = host.enter(|| TcpListener::bind(address))??;
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let delay = Arc::clone(&delay);
            thread::spawn(move || {
                let mut connection = connection;
                // Whoever hangs up meanwhile has heard enough.
                let _ = connection.read(&mut [0; 1024]);
                thread::sleep(Duration::from_millis(delay.load(Ordering::Relaxed)));
                let _ = connection
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            });
        }
    });
    Ok(())
}

/// A backend whose answers to checks take long gets less, in bounded steps, and all of it again when they do not.
#[test]
fn weights_follow_the_time_that_answers_take() -> Result<()> {
    let lab = OneDirector::build("e2e-latency", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let delays: Vec<_> = (0..3).map(|_| Arc::new(AtomicU64::new(USUAL))).collect();
    for (host, delay) in lab.backends.iter().zip(&delays) {
        slow_server(host, 8081, Arc::clone(delay))?;
    }
    let lines = "check = { type = \"http\", port = 8081, target = \"backend\", interval = \"500ms\", timeout = \"500ms\" }\n\
                 health = { weights = \"latency\" }\n";
    let config = config::web(&lab, &[100, 100, 100]).replacen(
        "name = \"web\"\n",
        &format!("name = \"web\"\n{lines}"),
        1,
    );
    let tandem = Tandem::start(&lab.director, &config)?;
    let weight = |name: &str| -> Option<u64> {
        let view = tandem.ask(&["backend", "list", name]).ok()?;
        view[0]["effective_weight"].as_u64()
    };
    let first = weight("backend1").context("no such backend")?;
    ensure!(first >= 90, "{first}");

    delays[0].store(3 * USUAL, Ordering::Relaxed);
    let mut seen = vec![first];
    wait_for(PATIENCE, "the slow backend to get less", || {
        seen.extend(weight("backend1"));
        seen.last().is_some_and(|weight| *weight <= 50)
    })?;
    ensure!(weight("backend2") >= Some(90) && weight("backend3") >= Some(90));
    // What is nearly the whole of it may still come and go with the machine's other work.
    ensure!(
        seen.is_sorted_by(|before, after| before >= after || *before >= 90),
        "{seen:?}"
    );
    // A step a second, of a tenth at most; what is asked may miss one.
    ensure!(seen.windows(2).all(|pair| pair[0] - pair[1] <= 20), "{seen:?}");
    ensure!(seen.iter().all(|weight| *weight >= 25), "{seen:?}");
    delays[0].store(USUAL, Ordering::Relaxed);
    // On a busy machine answers of one may be slow for no fault of its own.
    wait_for(2 * PATIENCE, "it to get all of it again", || {
        seen.extend(weight("backend1"));
        seen.last().is_some_and(|weight| *weight >= 90)
    })
    .with_context(|| format!("{seen:?}"))?;
    seen.dedup();
    println!("{seen:?}");
    Ok(())
}
