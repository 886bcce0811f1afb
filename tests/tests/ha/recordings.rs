//! Heartbeats that somebody forged, recorded or sends in another's name.

use anyhow::{Context as _, Result, ensure};
use lb_tests::{Capture, PacketSocket, Tandem, topology::Pair, wait_for};

use crate::roles::{PATIENCE, expect_peers, expect_role, role};

const FAST: &str = "advert_interval = \"50ms\"\nfailback = \"immediate\"";
/// Where a heartbeat's UDP payload begins.
const PAYLOAD: usize = 14 + 20 + 8;
/// Where in it the first byte of its counter is.
const COUNTER: usize = 25;
/// Heartbeats of the Active that are recorded.
const RECORDED: usize = 40;

fn config(pair: &Pair, director: usize, priority: u8, key: &std::path::Path) -> String {
    let more = Pair::cluster(key, "") + &Pair::front(priority, FAST);
    pair.config(director, &more)
}

/// How often heartbeats were refused for this reason.
fn refused(tandem: &Tandem, slug: &str) -> u64 {
    let view = tandem.ask(&["ha"]).unwrap_or_default();
    let refused = view["heartbeats_refused"].as_array().cloned().unwrap_or_default();
    let found = refused.iter().find(|refused| refused["slug"] == slug);
    found.and_then(|refused| refused["count"].as_u64()).unwrap_or(0)
}

#[test]
fn recordings_keep_nobody_alive_and_forgeries_are_counted() -> Result<()> {
    let pair = Pair::with_directors("ha-replay", 3, 1, 1)?;
    let key = pair.make_key()?;
    let a = Tandem::start(&pair.directors[0], &config(&pair, 0, 150, &key))?;
    let b = Tandem::start(&pair.directors[1], &config(&pair, 1, 100, &key))?;
    expect_role(&a, "active")?;
    for director in [&a, &b] {
        expect_peers(director, 1)?;
    }
    // Somebody who has got onto the directors' own network, and hears everything there.
    let eavesdropper = &pair.directors[2];
    let from_a = pair.directors[0].interface("eth1")?.mac();
    let mut capture = Capture::start(eavesdropper.namespace(), "eth1", move |frame| {
        frame.get(6..12) == Some(&from_a[..])
            && frame.get(12..14) == Some(&[0x08, 0x00])
            && frame.get(23) == Some(&17)
    })?;
    capture.wait_until(PATIENCE, "heartbeats of the Active", |frames| {
        frames.len() >= RECORDED
    })?;
    let recorded: Vec<Vec<u8>> = capture
        .frames()?
        .iter()
        .map(|frame| {
            let mut bytes = frame.bytes.clone();
            // The device that was to fill in UDP's checksum has not: without one, it is as good.
            bytes[PAYLOAD - 2..PAYLOAD].fill(0);
            bytes
        })
        .collect();
    let socket = PacketSocket::open(eavesdropper.namespace(), "eth1")?;
    // As it was: old. As if it came later: not made with the key.
    let forged: Vec<Vec<u8>> = recorded
        .iter()
        .map(|frame| {
            let mut forged = frame.clone();
            forged[PAYLOAD + COUNTER] ^= 1;
            forged
        })
        .collect();
    let old = || refused(&b, "replayed") + refused(&b, "too_old");
    let before = (old(), refused(&b, "forged"));
    for frame in recorded.iter().chain(&forged) {
        socket.send(frame)?;
    }
    let counted = wait_for(PATIENCE, "recordings and forgeries to be counted", || {
        let count = recorded.len() as u64;
        old() >= before.0 + count && refused(&b, "forged") >= before.1 + count
    });
    counted.map_err(|timeout| anyhow::anyhow!("{timeout}: {}", b.show(&["ha"]).unwrap_or_default()))?;
    assert_eq!(
        (role(&a).as_deref(), role(&b).as_deref()),
        (Some("active"), Some("backup"))
    );

    // The Active dies, and what it said goes on being said.
    a.process().kill()?;
    let again = |tandem: &Tandem| {
        wait_for(PATIENCE, "the Backup to take over", || {
            recorded.iter().all(|frame| socket.send(frame).is_ok())
                && role(tandem).as_deref() == Some("active")
        })
    };
    again(&b)?;
    // Nor does a daemon that knows of nothing yet obey it: each recording can hold it back once, and no longer than it
    // would have when it was new.
    b.process().terminate(PATIENCE)?;
    let b = Tandem::start_again(&pair.directors[1])?;
    again(&b)?;
    println!("{}", b.show(&["ha"])?);
    let view = b.ask(&["ha"])?;
    let proven = view["peers"]
        .as_array()
        .context("peers")?
        .iter()
        .any(|peer| peer["proven"] == true);
    ensure!(!proven, "{view}");
    Ok(())
}

/// Two machines of one name are one director to the others; whoever that harms, it is not who holds the VIPs.
#[test]
fn a_third_director_of_the_same_name_changes_nothing() -> Result<()> {
    let pair = Pair::with_directors("ha-name", 3, 1, 1)?;
    let key = pair.make_key()?;
    let a = Tandem::start(&pair.directors[0], &config(&pair, 0, 150, &key))?;
    let b = Tandem::start(&pair.directors[1], &config(&pair, 1, 100, &key))?;
    expect_role(&a, "active")?;
    for director in [&a, &b] {
        expect_peers(director, 1)?;
    }
    let double = config(&pair, 2, 50, &key).replace("name = \"c\"", "name = \"a\"");
    let double = Tandem::start(&pair.directors[2], &double)?;
    let heard = 40;
    wait_for(PATIENCE, "the Active to hear of it", || {
        refused(&a, "same_name") > heard
    })?;
    println!(
        "{}\n{}\n{}",
        a.show(&["ha"])?,
        b.show(&["ha"])?,
        double.show(&["ha"])?
    );
    assert_eq!(role(&a).as_deref(), Some("active"));
    assert_eq!(role(&b).as_deref(), Some("backup"));
    assert_ne!(role(&double).as_deref(), Some("active"));
    let view = b.ask(&["ha"])?;
    assert_eq!(view["peers"].as_array().map(Vec::len), Some(1), "{view}");
    Ok(())
}
