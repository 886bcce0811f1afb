//! Heartbeats beside VRRP: what one broken network does, and what two do.

use std::path::Path;

use anyhow::{Result, ensure};
use lb_tests::{
    Tandem,
    topology::{Pair, VIP4},
    wait_for,
};

use crate::roles::{PATIENCE, expect_events, expect_holds, expect_peers, expect_role, role};

const FAST: &str = "advert_interval = \"50ms\"\nfailback = \"immediate\"";

fn start(pair: &Pair, director: usize, priority: u8, key: &Path) -> Result<Tandem> {
    start_with(pair, director, priority, key, "")
}

/// With this in the `[[heartbeat]]`.
fn start_with(pair: &Pair, director: usize, priority: u8, key: &Path, path: &str) -> Result<Tandem> {
    let more = Pair::cluster(key, path) + &Pair::front(priority, FAST);
    Tandem::start(&pair.directors[director], &pair.config(director, &more))
}

#[test]
fn one_broken_network_moves_nothing_and_two_are_healed_by_either() -> Result<()> {
    let pair = Pair::build("ha-paths", 1, 1)?;
    let key = pair.make_key()?;
    let a = start(&pair, 0, 150, &key)?;
    let b = start(&pair, 1, 100, &key)?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    expect_peers(&a, 1)?;
    expect_peers(&b, 1)?;

    // The directors do not hear each other on the clients' network, and b knows that a lives.
    pair.part("eth0", true)?;
    expect_events(&b, "ha.anomaly", 1)?;
    b.wait_until_it_says("VRRP does not hear the Active, but a says")?;
    assert_eq!(
        (role(&a).as_deref(), role(&b).as_deref()),
        (Some("active"), Some("backup"))
    );
    pair.part("eth0", false)?;
    expect_events(&b, "ha.anomaly_over", 1)?;
    assert_eq!(
        (role(&a).as_deref(), role(&b).as_deref()),
        (Some("active"), Some("backup"))
    );

    // The heartbeat path alone fails: VRRP goes on.
    pair.part("eth1", true)?;
    expect_events(&b, "ha.peer_lost", 1)?;
    expect_events(&a, "ha.peer_lost", 1)?;
    assert_eq!(
        (role(&a).as_deref(), role(&b).as_deref()),
        (Some("active"), Some("backup"))
    );

    // Both: nobody can know better. Either one that comes back is enough.
    pair.part("eth0", true)?;
    expect_role(&b, "active")?;
    expect_role(&a, "active")?;
    pair.part("eth1", false)?;
    expect_role(&b, "backup")?;
    b.wait_until_it_says("a is Active as well, and stands above this director")?;
    expect_holds(&pair.directors[1], VIP4, false)?;
    assert_eq!(role(&a).as_deref(), Some("active"));
    pair.part("eth0", false)?;

    // A director whose link is down says so, and is succeeded at once.
    pair.directors[0].interface("eth0")?.unplug()?;
    expect_role(&b, "active")?;
    b.wait_until_it_says("a cannot hold the VIPs any more")?;
    expect_role(&a, "out")?;
    pair.directors[0].interface("eth0")?.plug_in()?;
    expect_role(&a, "active")?;
    b.wait_until_it_says("handed over to a, which has the higher priority")?;
    println!("{}{}", a.show(&["ha"])?, b.show(&["ha", "explain"])?);
    Ok(())
}

#[test]
fn orders_move_the_vips_and_maintenance_outlives_a_restart() -> Result<()> {
    let pair = Pair::build("ha-orders", 1, 1)?;
    let key = pair.make_key()?;
    // One by one, rather than by multicast.
    let a = start_with(&pair, 0, 150, &key, "peers = [\"10.9.0.3\"]")?;
    let b = start_with(&pair, 1, 100, &key, "peers = [\"10.9.0.2:8847\"]")?;
    expect_role(&a, "active")?;
    expect_peers(&a, 1)?;
    expect_peers(&b, 1)?;

    // Who gave the VIPs up as ordered does not ask for them back.
    let answer = a.ask(&["ha", "handover"])?;
    assert_eq!(answer["handed_over"][0]["to"], "b", "{answer}");
    expect_role(&b, "active")?;
    expect_role(&a, "backup")?;
    b.wait_until_it_says("a handed the VIPs over")?;
    let refused = b.tandem(&["ha", "handover", "--to", "nobody"])?.output()?;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr)?;
    ensure!(
        said.contains("no director called `nobody` is heard; heard are: a"),
        "{said}"
    );
    assert_eq!(role(&b).as_deref(), Some("active"));

    // A Backup can be told to take them.
    a.ask(&["ha", "handover", "--to", "a"])?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;

    a.ask(&["ha", "maintenance", "on"])?;
    expect_role(&a, "out")?;
    expect_role(&b, "active")?;
    let refused = b.tandem(&["ha", "maintenance", "on"])?.output()?;
    assert_eq!(refused.status.code(), Some(1), "nobody would be left");
    a.process().terminate(PATIENCE)?;
    let a = Tandem::start_again(&pair.directors[0])?;
    a.wait_until_it_says("in maintenance, as before the restart")?;
    expect_role(&a, "out")?;
    assert_eq!(role(&b).as_deref(), Some("active"));
    a.ask(&["ha", "maintenance", "off"])?;
    expect_role(&a, "active")?;

    // A killed daemon is succeeded by the one that heard it on two networks.
    a.process().kill()?;
    expect_role(&b, "active")?;
    Ok(())
}

/// Three directors, one of them with another cluster's key: it is heard by nobody, and named by the reason.
#[test]
fn who_has_no_key_is_not_heard_and_of_three_the_best_takes_over() -> Result<()> {
    let pair = Pair::with_directors("ha-three", 4, 1, 1)?;
    let key = pair.make_key()?;
    let a = start(&pair, 0, 150, &key)?;
    let b = start(&pair, 1, 50, &key)?;
    let c = start(&pair, 2, 100, &key)?;
    let other = pair.directors[3].run_dir().join("other.key");
    let output = a.tandem(&["key", "new"])?.arg(&other).output()?;
    ensure!(output.status.success());
    let stranger = Pair::cluster(&other, "");
    let stranger = Tandem::start(
        &pair.directors[3],
        &pair.config(3, &(stranger + &Pair::front(10, FAST))),
    )?;
    for director in [&a, &b, &c] {
        expect_peers(director, 2)?;
    }
    wait_for(PATIENCE, "the stranger to be refused", || {
        let view = a.ask(&["ha"]).unwrap_or_default();
        let refused = view["heartbeats_refused"].as_array().cloned().unwrap_or_default();
        refused.iter().any(|refused| {
            ["unknown_key", "forged"]
                .iter()
                .any(|slug| refused["slug"] == *slug)
        })
    })?;
    stranger.process().terminate(PATIENCE)?;
    let outlook = a.ask(&["ha", "explain"])?;
    assert_eq!(outlook[0]["successor"], "c", "{outlook}");
    a.process().kill()?;
    expect_role(&c, "active")?;
    assert_eq!(role(&b).as_deref(), Some("backup"));
    c.process().pause()?;
    expect_role(&b, "active")?;
    c.process().resume()?;
    expect_role(&c, "active")?;
    expect_role(&b, "backup")
}

/// A director gives the VIPs up while something fails that they depend on, and a weight changes its priority.
#[test]
fn what_an_instance_depends_on_moves_it() -> Result<()> {
    let pair = Pair::build("ha-track", 1, 1)?;
    let key = pair.make_key()?;
    let ready = pair.directors[0].run_dir().join("ready");
    let well = pair.directors[0].run_dir().join("well");
    std::fs::write(&ready, "")?;
    std::fs::write(&well, "")?;
    let track = format!(
        "track = [\n  {{ file = {ready:?}, interval = \"100ms\" }},\n  \
         {{ program = [\"/usr/bin/test\", \"-e\", {well:?}], interval = \"100ms\", weight = -100 }},\n  \
         {{ ping = \"192.0.2.3\", timeout = \"500ms\" }},\n  {{ interface = \"eth1\" }},\n  {{ process = \"tandemd\" }},\n]"
    );
    // By IPv6, while we are at it.
    let group = "group = \"[ff02::8847]:8847\"";
    let more = Pair::cluster(&key, group) + &Pair::front(150, &format!("{FAST}\n{track}"));
    let a = Tandem::start(&pair.directors[0], &pair.config(0, &more))?;
    let b = start_with(&pair, 1, 100, &key, group)?;
    expect_role(&a, "active")?;
    expect_peers(&a, 1)?;
    expect_peers(&b, 1)?;

    std::fs::remove_file(&ready)?;
    expect_role(&a, "out")?;
    expect_role(&b, "active")?;
    let view = a.ask(&["ha"])?;
    let said = view["instances"][0]["unfit"][0]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure!(
        said.starts_with("the file ") && said.contains("No such file"),
        "{said}"
    );
    std::fs::write(&ready, "")?;
    expect_role(&a, "active")?;

    std::fs::remove_file(&well)?;
    expect_role(&b, "active")?;
    expect_role(&a, "backup")?;
    std::fs::write(&well, "")?;
    expect_role(&a, "active")
}

/// A director that works alone has the VIPs whenever it may.
#[test]
fn routes_gateways_and_disks_can_be_what_an_instance_depends_on() -> Result<()> {
    let pair = Pair::build("ha-gateway", 1, 1)?;
    let client = &pair.clients[0];
    let (client4, client6) = client.ipv4().zip(client.ipv6()).expect("both");
    let route = |verb: &str| -> Result<()> {
        let mut command = pair.directors[0].command("ip")?;
        let client = client4.to_string();
        command.args(["route", verb, "10.20.0.0/16", "via", &client]);
        ensure!(command.status()?.success());
        Ok(())
    };
    route("add")?;
    let track = format!(
        "track = [\n  {{ gateway = \"{client4}\", interval = \"300ms\" }},\n  \
         {{ gateway = \"{client6}\", interval = \"300ms\" }},\n  \
         {{ route = \"10.20.0.0/16\", interval = \"100ms\" }},\n  {{ route = \"2001:db8::/64\" }},\n  \
         {{ disk = \"/\", free = 1 }},\n  {{ backends = 50 }},\n]"
    );
    let front = Pair::front(150, &format!("{FAST}\n{track}"));
    let a = Tandem::start(&pair.directors[0], &pair.config(0, &front))?;
    expect_role(&a, "active")?;

    route("del")?;
    expect_role(&a, "out")?;
    a.wait_until_it_says("the route to 10.20.0.0/16: there is none")?;
    route("add")?;
    expect_role(&a, "active")?;
    client.interface("eth0")?.unplug()?;
    expect_role(&a, "out")?;
    a.wait_until_it_says("the gateway ")?;
    client.interface("eth0")?.plug_in()?;
    expect_role(&a, "active")
}
