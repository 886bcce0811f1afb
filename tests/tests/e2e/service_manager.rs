//! What systemd hears of the daemon (sd_notify(3)).

use std::{io::ErrorKind, os::unix::net::UnixDatagram, time::Duration};

use anyhow::{Result, ensure};
use lb_tests::{Tandem, tandem::binary, topology::OneDirector, wait_for};
use nix::sys::signal::Signal;

use crate::config;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn the_service_manager_hears_how_the_daemon_is() -> Result<()> {
    let lab = OneDirector::build("e2e-notify", 1, 1)?;
    let director = &lab.director;
    let path = director.run_dir().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_nonblocking(true)?;
    let mut heard = Vec::new();
    let mut wait_for_words = |wanted: &[&str]| {
        wait_for(PATIENCE, format!("the daemon to say {wanted:?}"), || {
            let mut message = [0; 4096];
            loop {
                match socket.recv(&mut message) {
                    Ok(length) => heard.push(String::from_utf8_lossy(&message[..length]).into_owned()),
                    Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            let found = heard
                .iter()
                .position(|message| wanted.iter().all(|word| message.contains(word)));
            // What came before it has been heard.
            found.is_some_and(|at| heard.drain(..=at).count() > 0)
        })
    };

    Tandem::write_config(director, &config::web(&lab, &[100]))?;
    let mut command = director.command("sh")?;
    // As systemd does: it is meant for this process, and for none of those that inherit its environment.
    command
        .args(["-c", "WATCHDOG_PID=$$ exec \"$0\" \"$@\""])
        .arg(binary("tandemd")?);
    command.env("STATE_DIRECTORY", director.run_dir().join("state"));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    command
        .arg("--config")
        .arg(director.run_dir().join("tandem.toml"));
    command
        .arg("--socket")
        .arg(director.run_dir().join("tandem.sock"));
    let daemon = director.spawn("tandemd", command)?;
    wait_for_words(&["READY=1", "STATUS=balancing, services: 1"])?;
    wait_for(PATIENCE, "the log to say so, too", || {
        daemon.log().contains("configuration in force")
    })?;
    for _ in 0..3 {
        wait_for_words(&["WATCHDOG=1"])?;
    }

    daemon.signal(Signal::SIGHUP)?;
    wait_for_words(&["RELOADING=1", "MONOTONIC_USEC="])?;
    wait_for_words(&["READY=1", "STATUS=balancing, services: 1"])?;
    Tandem::write_config(director, "nonsense")?;
    daemon.signal(Signal::SIGHUP)?;
    wait_for_words(&["RELOADING=1"])?;
    wait_for_words(&["READY=1", "refused"])?;

    daemon.signal(Signal::SIGTERM)?;
    wait_for_words(&["STOPPING=1"])?;
    let status = daemon.wait(PATIENCE)?;
    ensure!(status.success(), "{status}");
    Ok(())
}
