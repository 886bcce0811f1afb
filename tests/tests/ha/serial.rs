//! A cable between two serial ports, beside a single network.

use std::path::Path;

use anyhow::Result;
use lb_tests::{Tandem, serial::Cable, topology::Pair, wait_for};

use crate::roles::{PATIENCE, count, expect_events, expect_peers, expect_role, role};

const FAST: &str = "advert_interval = \"50ms\"\nfailback = \"immediate\"";

fn start(pair: &Pair, director: usize, priority: u8, key: &Path, device: &Path) -> Result<Tandem> {
    let cluster = format!(
        "[cluster]\nname = \"edge\"\nkey_files = [{key:?}]\n\n[[heartbeat]]\nserial = {device:?}\ninterval = \"50ms\"\n\n"
    );
    let more = cluster + &Pair::front(priority, FAST);
    Tandem::start(&pair.directors[director], &pair.config(director, &more))
}

#[test]
fn a_cable_keeps_two_directors_from_being_active_at_once() -> Result<()> {
    let pair = Pair::build("ha-serial", 1, 1)?;
    let key = pair.make_key()?;
    let cable = Cable::lay()?;
    let a = start(&pair, 0, 150, &key, cable.end(0))?;
    let b = start(&pair, 1, 100, &key, cable.end(1))?;
    expect_role(&a, "active")?;
    expect_peers(&a, 1)?;
    expect_peers(&b, 1)?;
    println!("{}", b.show(&["ha"])?);

    // The only network fails between them, and b knows by the cable that a lives; noise on it changes nothing.
    pair.part("eth0", true)?;
    expect_events(&b, "ha.anomaly", 1)?;
    let noise: Vec<u8> = (0..3000_u32).map(|n| ((n * n) >> 3) as u8).collect();
    for _ in 0..10 {
        cable.disturb(1, &noise)?;
    }
    wait_for(PATIENCE, "heartbeats behind the noise", || {
        let view = b.ask(&["ha"]).unwrap_or_default();
        view["paths"][0]["noise"].as_u64() > Some(0) && view["peers"][0]["paths"][0]["heard"] == true
    })?;
    assert_eq!(
        (role(&a).as_deref(), role(&b).as_deref()),
        (Some("active"), Some("backup"))
    );

    // Without the cable nobody can know better; with it, they settle it.
    cable.set_cut(true);
    expect_role(&b, "active")?;
    assert_eq!(role(&a).as_deref(), Some("active"));
    cable.set_cut(false);
    expect_role(&b, "backup")?;
    assert_eq!(role(&a).as_deref(), Some("active"));
    assert!(count(&b, "ha.peer_lost")? > 0);
    pair.part("eth0", false)?;

    // A daemon that begins anew finds the line, and the other one goes on with it.
    a.process().kill()?;
    expect_role(&b, "active")?;
    let a = Tandem::start_again(&pair.directors[0])?;
    expect_peers(&a, 1)?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")
}
