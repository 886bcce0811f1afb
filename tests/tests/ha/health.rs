//! Who reaches more of what is behind the VIPs takes them over.

use std::path::Path;

use anyhow::{Result, ensure};
use lb_tests::{Host, Tandem, topology::Pair, wait_for};
use serde_json::Value;

use crate::roles::{PATIENCE, expect_peers, expect_role, role};

const FAST: &str = "advert_interval = \"50ms\"\nfailback = \"immediate\"";
const CHECK: &str = "check = { type = \"tcp\", target = \"backend\", interval = \"200ms\", timeout = \"200ms\", fall = 2, rise = 1 }";

/// A director of this priority that checks the backends. `director` stands below `[director]`, `front` in the instance.
fn config(pair: &Pair, number: usize, key: &Path, priority: u8, director: &str, front: &str) -> String {
    let more = Pair::cluster(key, "") + &Pair::front(priority, &format!("{FAST}\n{front}"));
    let config = pair.config(number, &more);
    let config = config.replace("name = \"web\"\n", &format!("name = \"web\"\n{CHECK}\n"));
    config.replace("[director]\n", &format!("[director]\n{director}\n"))
}

/// Has a director reach a backend no more, or again.
fn block(director: &Host, backend: &Host, blocked: bool) -> Result<()> {
    let verb = if blocked { "add" } else { "del" };
    let address = backend.ipv4().expect("an IPv4 address").to_string();
    let output = director
        .command("ip")?
        .args(["route", verb, "unreachable", &address])
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn expect_health(tandem: &Tandem, expected: u8) -> Result<()> {
    wait_for(PATIENCE, format!("a health of {expected}"), || {
        let view = tandem.ask(&["ha"]).unwrap_or_default();
        view["instances"][0]["health_percent"] == expected
    })?;
    Ok(())
}

/// Who would take over by what this director knows, once that is so.
fn expect_successor(tandem: &Tandem, expected: &str) -> Result<()> {
    let mut last = Value::Null;
    wait_for(PATIENCE, format!("{expected} to be the successor"), || {
        last = tandem.ask(&["ha", "explain"]).unwrap_or_default();
        last[0]["successor"] == expected
    })
    .map_err(|timeout| anyhow::anyhow!("{timeout}: {last}"))?;
    Ok(())
}

#[test]
fn of_two_backups_the_one_that_reaches_more_backends_wins() -> Result<()> {
    let pair = Pair::with_directors("ha-health", 3, 1, 2)?;
    let _servers = pair.serve_http_everywhere()?;
    let [host_a, host_b, host_c] = &pair.directors[..] else {
        unreachable!("three directors")
    };
    let key = pair.make_key()?;
    let well = host_b.run_dir().join("well");
    std::fs::write(&well, "")?;
    let monitor = format!("track = [{{ file = {well:?}, interval = \"100ms\", health = 60 }}]");
    let track = "track = [{ backends = 60, weight = -100 }]";
    let a = Tandem::start(host_a, &config(&pair, 0, &key, 150, "", track))?;
    let b = Tandem::start(host_b, &config(&pair, 1, &key, 100, &monitor, ""))?;
    let c = Tandem::start(host_c, &config(&pair, 2, &key, 100, "", ""))?;
    expect_role(&a, "active")?;
    for director in [&a, &b, &c] {
        expect_peers(director, 2)?;
        expect_health(director, 100)?;
    }

    // Whichever of the two it is.
    block(host_b, &pair.backends[1], true)?;
    expect_health(&b, 50)?;
    expect_successor(&a, "c")?;
    block(host_b, &pair.backends[1], false)?;
    block(host_c, &pair.backends[0], true)?;
    expect_health(&b, 100)?;
    expect_health(&c, 50)?;
    expect_successor(&a, "b")?;
    println!("{}{}", c.show(&["ha"])?, a.show(&["ha", "explain"])?);

    // A monitor of the director itself weighs more than half of the backends.
    std::fs::remove_file(&well)?;
    expect_health(&b, 40)?;
    expect_successor(&a, "c")?;
    println!("{}", b.show(&["ha"])?);

    a.process().kill()?;
    expect_role(&c, "active")?;
    assert_eq!(role(&b).as_deref(), Some("backup"));

    // What operators took out is missed nowhere.
    let a = Tandem::start_again(host_a)?;
    expect_role(&a, "active")?;
    c.ask(&["backend", "drain", pair.backends[0].name(), "--reason", "test"])?;
    expect_health(&c, 100)?;

    // Whoever reaches too few gives way, if that is what the configuration says.
    block(host_a, &pair.backends[0], true)?;
    expect_role(&a, "backup")?;
    expect_role(&c, "active")?;
    block(host_a, &pair.backends[0], false)?;
    expect_role(&a, "active")
}
