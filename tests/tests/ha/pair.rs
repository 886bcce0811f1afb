//! Two directors.

use std::net::IpAddr;

use anyhow::Result;
use lb_tests::{
    Tandem,
    client::http,
    topology::{Pair, VIP4, VIP6},
    wait_for,
};

use crate::roles::{PATIENCE, expect_holds, expect_role};

const FAST: &str = "advert_interval = \"50ms\"\nfailback = \"immediate\"";

fn start(pair: &Pair, director: usize, priority: u8) -> Result<Tandem> {
    let config = pair.config(director, &Pair::front(priority, FAST));
    Tandem::start(&pair.directors[director], &config)
}

/// Clients get answers at both VIPs.
fn expect_service(pair: &Pair) -> Result<()> {
    for vip in [IpAddr::from(VIP4), IpAddr::from(VIP6)] {
        let mut last = None;
        wait_for(PATIENCE, format!("an answer from {vip}"), || {
            let got = http::get(&pair.clients[0], (vip, 80).into(), "/", PATIENCE);
            let good = got.as_ref().is_ok_and(|got| got.status == 200);
            last = Some(got);
            good
        })
        .map_err(|timeout| anyhow::anyhow!("{timeout}: {last:?}"))?;
    }
    Ok(())
}

#[test]
fn a_killed_director_is_succeeded_and_takes_back_what_is_its_own() -> Result<()> {
    let pair = Pair::build("ha-kill", 1, 1)?;
    let _servers = pair.serve_http_everywhere()?;
    let a = start(&pair, 0, 150)?;
    let b = start(&pair, 1, 100)?;
    let [host_a, host_b] = &pair.directors[..] else {
        unreachable!("a pair")
    };
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    for vip in [IpAddr::from(VIP4), IpAddr::from(VIP6)] {
        expect_holds(host_a, vip, true)?;
        expect_holds(host_b, vip, false)?;
    }
    expect_service(&pair)?;

    a.process().kill()?;
    expect_role(&b, "active")?;
    expect_holds(host_b, VIP6, true)?;
    expect_service(&pair)?;

    // What the killed one left on its interface is gone before it has a role.
    let a = Tandem::start_again(host_a)?;
    a.wait_until_it_says("removed the VIP")?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    expect_holds(host_b, VIP4, false)?;
    expect_holds(host_a, VIP4, true)?;
    expect_service(&pair)?;
    println!("{}", a.show(&["ha"])?);
    println!("{}", b.show(&["ha"])?);

    // One that ends says so, and does not have to be missed.
    a.process().terminate(PATIENCE)?;
    expect_holds(host_a, VIP4, false)?;
    expect_role(&b, "active")?;
    b.wait_until_it_says("gave up the addresses")?;
    expect_service(&pair)
}

/// Cut cables, a stopped daemon and other priorities: the VIPs go where they can be served, and come back.
#[test]
fn the_vips_follow_cables_stalls_and_priorities() -> Result<()> {
    let pair = Pair::build("ha-moves", 1, 1)?;
    let _servers = pair.serve_http_everywhere()?;
    let a = start(&pair, 0, 150)?;
    let b = start(&pair, 1, 100)?;
    let [host_a, host_b] = &pair.directors[..] else {
        unreachable!("a pair")
    };
    expect_role(&a, "active")?;
    let cable = host_a.interface("eth0")?;
    cable.unplug()?;
    expect_role(&a, "out")?;
    expect_holds(host_a, VIP4, false)?;
    expect_role(&b, "active")?;
    expect_service(&pair)?;
    let view = a.ask(&["ha"])?;
    assert_eq!(view["instances"][0]["unfit"][0], "eth0 is down or has no carrier");
    cable.plug_in()?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;

    a.process().pause()?;
    expect_role(&b, "active")?;
    a.process().resume()?;
    a.wait_until_it_says("the daemon did nothing for")?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    expect_holds(host_b, VIP4, false)?;

    a.reload(&pair.config(0, &Pair::front(50, FAST)))?;
    expect_role(&b, "active")?;
    expect_role(&a, "backup")?;
    expect_service(&pair)?;

    // An interface that is made anew is found again.
    host_b.delete_interface("eth0")?;
    expect_role(&a, "active")?;
    host_b.recreate_interface("eth0")?;
    host_b.interface("eth0")?.expect_xdp()?;
    expect_role(&b, "active")?;
    expect_role(&a, "backup")?;
    expect_service(&pair)?;

    // Without instances a director is alone, and holds the VIPs always.
    b.process().terminate(PATIENCE)?;
    expect_role(&a, "active")?;
    a.reload(&pair.config(0, ""))?;
    expect_holds(host_a, VIP6, true)?;
    expect_service(&pair)?;
    a.reload(&pair.config(0, &Pair::front(50, FAST)))?;
    expect_role(&a, "active")?;
    expect_service(&pair)
}
