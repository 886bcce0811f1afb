//! Programs of the operator around each move of VIPs.

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use lb_tests::{Tandem, topology::Pair, wait_for};
use serde_json::Value;

use crate::roles::{PATIENCE, count, expect_events, expect_peers, expect_role, role};

const FAST: &str = "advert_interval = \"50ms\"\nfailback = \"immediate\"";
const STEPS: [&str; 5] = [
    "test",
    "pre_acquire",
    "post_acquire",
    "pre_release",
    "post_release",
];

/// A director whose hooks note in `log` that they were run. A test says no while there is a file `no` in `directory`, and a
/// hook hangs while there is one called like it.
fn start(pair: &Pair, director: usize, priority: u8, key: &Path, directory: &Path) -> Result<Tandem> {
    let script = directory.join("hook");
    let text = format!(
        "#!/bin/sh\ncd {}\necho \"$TANDEM_HOOK $TANDEM_DIRECTION\" >> log\n\
         echo \"$TANDEM_DIRECTOR $TANDEM_INSTANCE $TANDEM_GROUP $TANDEM_INTERFACE $TANDEM_VIPS\" > environment\n\
         test -e \"$TANDEM_HOOK\" && sleep 60\n\
         test \"$TANDEM_HOOK\" = test && test -e no && echo not today && exit 3\nexit 0\n",
        directory.display()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let hooks: Vec<_> = STEPS
        .iter()
        .map(|step| format!("{step} = [{script:?}]"))
        .collect();
    let front = format!("{FAST}\nhooks = {{ {}, timeout = \"2s\" }}", hooks.join(", "));
    let more = Pair::cluster(key, "") + &Pair::front(priority, &front);
    Tandem::start(&pair.directors[director], &pair.config(director, &more))
}

/// Waits until exactly these hooks were run since the last call.
fn expect_runs(directory: &Path, expected: &[&str]) -> Result<()> {
    let log = directory.join("log");
    let mut found = String::new();
    let done = wait_for(PATIENCE, "hooks", || {
        found = fs::read_to_string(&log).unwrap_or_default();
        found.lines().eq(expected.iter().copied())
    });
    done.map_err(|timeout| anyhow::anyhow!("{timeout}: expected {expected:?}, found {found:?}"))?;
    fs::remove_file(log)?;
    Ok(())
}

#[test]
fn hooks_are_run_in_their_order_and_a_test_can_say_no() -> Result<()> {
    let pair = Pair::build("ha-hooks", 1, 1)?;
    let key = pair.make_key()?;
    let directories = [0, 1].map(|director: usize| pair.directors[director].run_dir().join("hooks"));
    for directory in &directories {
        fs::create_dir(directory)?;
    }
    let [of_a, of_b] = &directories;
    let a = start(&pair, 0, 150, &key, of_a)?;
    expect_role(&a, "active")?;
    expect_runs(
        of_a,
        &["test acquire", "pre_acquire acquire", "post_acquire acquire"],
    )?;
    let environment = fs::read_to_string(of_a.join("environment"))?;
    assert_eq!(
        environment.trim_end(),
        "a front front eth0 192.0.2.10 2001:db8::10"
    );
    let b = start(&pair, 1, 100, &key, of_b)?;
    for director in [&a, &b] {
        expect_peers(director, 1)?;
    }

    // Given away as ordered: both are asked, one after the other.
    let answer = a.ask(&["ha", "handover"])?;
    assert_eq!(answer["handed_over"][0]["waits"], true, "{answer}");
    expect_role(&b, "active")?;
    expect_runs(
        of_a,
        &["test release", "pre_release release", "post_release release"],
    )?;
    expect_runs(
        of_b,
        &["test acquire", "pre_acquire acquire", "post_acquire acquire"],
    )?;

    // A test that says no keeps the VIPs where they are, and is told.
    fs::write(of_b.join("no"), "")?;
    a.ask(&["ha", "handover", "--to", "a"])?;
    expect_events(&b, "ha.hook_veto", 1)?;
    expect_runs(of_b, &["test release"])?;
    assert_eq!(role(&b).as_deref(), Some("active"));
    let view = b.ask(&["ha"])?;
    let remarks = view["instances"][0]["remarks"].to_string();
    ensure!(
        remarks.contains("does not give away the VIPs, as its test says: code 3: not today"),
        "{remarks}"
    );
    fs::remove_file(of_b.join("no"))?;
    b.ask(&["ha", "handover"])?;
    expect_role(&a, "active")?;
    expect_runs(
        of_b,
        &["test release", "pre_release release", "post_release release"],
    )?;
    expect_runs(
        of_a,
        &["test acquire", "pre_acquire acquire", "post_acquire acquire"],
    )?;

    // Who says no does not succeed even the dead; and nobody waits for it.
    fs::write(of_b.join("no"), "")?;
    a.process().kill()?;
    expect_runs(of_b, &["test acquire"])?;
    expect_events(&b, "ha.hook_veto", 2)?;
    assert_eq!(role(&b).as_deref(), Some("backup"));
    let a = Tandem::start_again(&pair.directors[0])?;
    expect_role(&a, "active")?;
    expect_runs(
        of_a,
        &["test acquire", "pre_acquire acquire", "post_acquire acquire"],
    )?;
    fs::remove_file(of_b.join("no"))?;

    // What is lost is lost, and hooks that hang are killed: nobody waits for them longer than they may take, and no beat is
    // missed meanwhile.
    for step in ["post_acquire", "pre_release"] {
        fs::write(of_a.join(step), "")?;
    }
    expect_peers(&a, 1)?;
    let stalled = count(&a, "ha.stalled")?;
    pair.directors[0].interface("eth0")?.unplug()?;
    expect_role(&a, "out")?;
    expect_events(&a, "ha.hook_failed", 1)?;
    expect_runs(of_a, &["pre_release release", "post_release release"])?;
    a.wait_until_it_says("was killed: it had not ended after 2 s")?;
    pair.directors[0].interface("eth0")?.plug_in()?;
    wait_for(Duration::from_secs(60), "a to be active again", || {
        role(&a).as_deref() == Some("active")
    })?;
    expect_events(&a, "ha.hook_failed", 2)?;
    assert_eq!(count(&a, "ha.stalled")?, stalled);
    let view: Value = a.ask(&["ha"])?;
    let lost = &view["peers"][0]["paths"][0]["lost"];
    ensure!(lost.as_u64() < Some(20), "{lost} heartbeats were lost");
    println!("{}", a.show(&["events", "--kind", "ha.*"])?);
    Ok(())
}
