//! The heartbeat does not notice who else wants something of the daemon.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{Tandem, topology::Pair, wait_for};

use crate::{
    probes::{INTERVAL, longest_gap},
    roles::{PATIENCE, count, expect_role, role},
};

/// Commands at the same time.
const CLIENTS: usize = 200;
const SLOW_READERS: usize = 20;
/// Bytes of a body that nobody wants.
const HUGE: usize = 100 << 20;

/// A request whose answer is never read.
fn ask_and_wait(socket: &Path, path: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")?;
    Ok(stream)
}

/// A request with a body of 100 MB, as far as it is taken; what was answered.
fn huge(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {HUGE}\r\n\r\n"
    )?;
    let piece = vec![b' '; 1 << 20];
    for _ in 0..HUGE / piece.len() {
        // Refused meanwhile.
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let mut answer = [0; 512];
    let length = stream.read(&mut answer).unwrap_or(0);
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[test]
fn two_hundred_clients_slow_readers_and_huge_requests_do_not_delay_the_heartbeat() -> Result<()> {
    let pair = Pair::build("ha-guests", 1, 1)?;
    let front = |priority: u8| {
        let fast = format!(
            "advert_interval = \"{}ms\"\nfailback = \"immediate\"",
            INTERVAL.as_millis()
        );
        Pair::front(priority, &fast)
    };
    let a = Tandem::start(&pair.directors[0], &pair.config(0, &front(150)))?;
    let b = Tandem::start(&pair.directors[1], &pair.config(1, &front(100)))?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    let without = longest_gap(&pair)?;
    let takeovers = count(&b, "ha.active")?;

    let socket = a.socket();
    let readers = (0..SLOW_READERS).map(|number| {
        let paths = ["/v1/events?follow=true", "/v1/flows", "/v1/metrics"];
        ask_and_wait(&socket, paths[number % paths.len()])
    });
    let readers = readers.collect::<io::Result<Vec<_>>>()?;
    let goes_on = Arc::new(AtomicBool::new(true));
    let refused = Arc::new(AtomicU64::new(0));
    let huge = {
        let (socket, goes_on, refused) = (socket.clone(), Arc::clone(&goes_on), Arc::clone(&refused));
        thread::spawn(move || -> io::Result<()> {
            while goes_on.load(Ordering::Relaxed) {
                let answer = huge(&socket)?;
                refused.fetch_add(u64::from(answer.starts_with("HTTP/1.1 400")), Ordering::Relaxed);
            }
            Ok(())
        })
    };
    // All of them are there at once; how many failed is said at the end.
    let mut crowd = pair.directors[0].command("sh")?;
    let tandem = lb_tests::tandem::binary("tandem")?;
    crowd
        .args([
            "-c",
            "for n in $(seq $1); do (\"$0\" backend --timeout 60 >/dev/null || echo failed) & done; wait; echo done",
        ])
        .arg(tandem)
        .arg(CLIENTS.to_string())
        .env("TANDEM_SOCKET", &socket);
    let crowd = pair.directors[0].spawn("crowd", crowd)?;
    let with = longest_gap(&pair)?;
    crowd.wait(3 * PATIENCE)?;
    goes_on.store(false, Ordering::Relaxed);
    huge.join().ok().context("the thread of huge requests")??;
    println!(
        "longest gap between two advertisements of {INTERVAL:?}: {without:?} alone, {with:?} beside {CLIENTS} clients; {} huge \
         requests refused",
        refused.load(Ordering::Relaxed)
    );
    let log = crowd.log();
    ensure!(log.contains("done") && !log.contains("failed"), "{log}");
    ensure!(
        refused.load(Ordering::Relaxed) > 0,
        "no huge request was answered"
    );
    drop(readers);
    assert_eq!(
        (role(&a).as_deref(), role(&b).as_deref()),
        (Some("active"), Some("backup"))
    );
    assert_eq!(count(&b, "ha.active")?, takeovers, "the Backup missed nothing");
    assert_eq!(count(&a, "ha.stalled")?, 0);
    wait_for(Duration::from_secs(5), "an answer as ever", || {
        a.ask(&["status"]).is_ok()
    })?;
    Ok(())
}
