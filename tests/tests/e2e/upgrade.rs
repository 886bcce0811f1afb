//! Another binary takes over, forwards and back, and one that cannot says so: packets and connections do not notice.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Process, Tandem,
    client::{Crowd, Dial, Greeting, Load, Rate},
    tandem::binary,
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(30);

/// The binary as a package would replace it: another file of the same name.
fn installed_anew(director: &Host, version: &str) -> Result<PathBuf> {
    let directory = director.run_dir().join(version);
    fs::create_dir_all(&directory)?;
    let copy = directory.join("tandemd");
    fs::copy(binary("tandemd")?, &copy)?;
    Ok(copy)
}

fn start(director: &Host, daemon: &PathBuf, config: &str) -> Result<Process> {
    Tandem::write_config(director, config)?;
    let mut command = director.command(daemon)?;
    command
        .arg("--config")
        .arg(director.run_dir().join("tandem.toml"))
        .arg("--socket")
        .arg(director.run_dir().join("tandem.sock"))
        .env("STATE_DIRECTORY", director.run_dir().join("state"));
    Ok(director.spawn("upgraded", command)?)
}

fn program(director: &Host) -> Result<String> {
    let shown = director
        .command("ip")?
        .args(["-d", "link", "show", "dev", "eth0"])
        .output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let id = shown
        .split("prog/xdp id ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    id.map(str::to_owned)
        .with_context(|| format!("no program on eth0: {shown}"))
}

#[test]
fn another_binary_takes_over_and_back_and_nobody_notices() -> Result<()> {
    let lab = OneDirector::build("e2e-upgrade", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let director = &lab.director;
    let good = config::web(&lab, &[100, 100, 100]);
    let old = installed_anew(director, "1")?;
    let new = installed_anew(director, "2")?;
    let daemon = start(director, &old, &good)?;
    let adopted = |daemon: &Process, times: usize| {
        wait_for(PATIENCE, "a configuration in force", || {
            daemon.log().matches("configuration in force").count() >= times || daemon.status().is_some()
        })
    };
    adopted(&daemon, 1)?;
    let mut held = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        300,
    )?;
    let rate = Rate {
        per_second: 200,
        hold: Duration::from_secs(1),
        ask_every: Duration::from_millis(100),
        most: 1000,
    };
    let load = Load::start(
        &lab.clients[0],
        &Dial::new((VIP6, 80).into(), Greeting::Http),
        &rate,
    )?;
    let some_more = || -> Result<()> {
        let opened = load.tally().opened;
        Ok(wait_for(PATIENCE, "clients to come", || load.tally().opened > opened + 60).map(drop)?)
    };
    some_more()?;
    let mut programs = vec![program(director)?];
    let mut daemon = daemon;
    for (times, binary) in [(2, &new), (3, &old)] {
        daemon.terminate(Duration::from_secs(10))?;
        some_more()?;
        // One whose maps would be others says so, and leaves the old ones at work.
        let other = good.replace("\"256k\"", "\"512k\"");
        ensure!(other != good);
        let refused = start(director, binary, &other)?;
        let before = refused.wait(PATIENCE)?;
        let said = refused.log();
        ensure!(
            before.code() == Some(1) && said.contains("set it back") && said.contains("--detach"),
            "{before} {said}"
        );
        some_more()?;
        daemon = start(director, binary, &good)?;
        adopted(&daemon, times)?;
        daemon.ensure_running()?;
        programs.push(program(director)?);
        some_more()?;
    }
    programs.dedup();
    ensure!(
        programs.len() == 3,
        "each daemon put its own program in place: {programs:?}"
    );
    let answers = held.ask();
    ensure!(
        (answers.kept, answers.moved, answers.broken()) == (300, 0, 0),
        "{answers:?}"
    );
    let tally = load.stop()?;
    ensure!(
        tally.failed.is_empty() && tally.broken.is_empty() && tally.moved == 0,
        "{tally:?}"
    );
    Ok(())
}
