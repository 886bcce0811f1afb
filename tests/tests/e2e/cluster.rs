//! A director's place in its cluster.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting},
    tandem::binary,
    topology::{OneDirector, VIP4},
    wait_for,
};
use serde_json::{Value, json};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(10);

/// `tandem key VERB FILE…`, as JSON.
fn key(lab: &OneDirector, arguments: &[&str]) -> Result<Value> {
    let mut command = lab.director.command(binary("tandem")?)?;
    let output = command.args(["key", "-j"]).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn in_cluster(lab: &OneDirector, files: &[&PathBuf]) -> String {
    format!(
        "{}\n[cluster]\nname = \"edge\"\nkey_files = {files:?}\n",
        config::web(lab, &[100, 100])
    )
}

fn keys(tandem: &Tandem) -> Result<Value> {
    Ok(tandem.ask(&["status"])?["cluster"]["keys"].clone())
}

/// A director that served alone gets a cluster, and its key is replaced, while connections go on.
#[test]
fn keys_come_and_go_without_a_connection_noticing() -> Result<()> {
    let lab = OneDirector::build("e2e-cluster", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let first = lab.director.run_dir().join("1.key");
    let second = lab.director.run_dir().join("2.key");
    let text = |path: &PathBuf| path.to_str().map(str::to_owned).context("a plain path");
    let made = key(&lab, &["new", &text(&first)?])?;
    let next = key(&lab, &["new", "--rotate", &text(&first)?, &text(&second)?])?;
    assert_eq!(made["seed_fingerprint"], next["seed_fingerprint"]);
    let view = |made: &Value| json!({ "id": made["id"], "fingerprint": made["fingerprint"] });

    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    assert_eq!(tandem.ask(&["status"])?["cluster"], Value::Null);
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut crowd = Crowd::open(&lab.clients[0], &dial, 100)?;
    ensure!(crowd.len() == 100, "{:?}", crowd.failures());

    // The schedule of a cluster is its key's: that takes a new daemon, and is said.
    Tandem::write_config(&lab.director, &in_cluster(&lab, &[&first]))?;
    tandem.process().signal(nix::sys::signal::Signal::SIGHUP)?;
    tandem.wait_until_it_says("cannot be changed while the daemon runs")?;
    tandem.process().terminate(PATIENCE)?;
    let tandem = Tandem::start_again(&lab.director)?;
    let status = tandem.ask(&["status"])?;
    assert_eq!(status["cluster"]["name"], "edge");
    assert_eq!(status["cluster"]["authentication"], "enforce");
    assert_eq!(status["cluster"]["keys"], json!([view(&made)]));

    for (files, expected) in [
        (&[&first, &second][..], json!([view(&made), view(&next)])),
        (&[&second, &first], json!([view(&next), view(&made)])),
        (&[&second], json!([view(&next)])),
    ] {
        tandem.reload(&in_cluster(&lab, files))?;
        assert_eq!(keys(&tandem)?, expected);
    }

    let answers = crowd.ask();
    assert_eq!(answers.kept, 100, "{answers:?}");
    wait_for(PATIENCE, "a later epoch than the first one", || {
        let epoch = std::fs::read_to_string(lab.director.run_dir().join("state/epoch"));
        epoch.is_ok_and(|epoch| epoch.trim().parse::<u64>().is_ok_and(|epoch| epoch > 1))
    })?;
    Ok(())
}

/// A key that others can read is no secret; the daemon says so and does not start.
#[test]
fn a_daemon_does_not_start_with_a_key_that_others_may_read() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let lab = OneDirector::build("e2e-key", 1, 2)?;
    let file = lab.director.run_dir().join("open.key");
    key(&lab, &["new", file.to_str().context("a plain path")?])?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    let ending = Tandem::refused_with(&lab.director, &in_cluster(&lab, &[&file]))?;
    assert_eq!(ending.code, Some(2), "{}", ending.said);
    ensure!(ending.said.contains("chmod 600"), "{}", ending.said);
    Ok(())
}
