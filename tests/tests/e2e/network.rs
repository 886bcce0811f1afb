//! What happens to the network under a running director: interfaces and neighbours go, come back, and are others.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{Crowd, Dial, Greeting},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(15);
const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];

/// A client in a hurry.
fn dial(vip: IpAddr) -> Dial {
    let mut dial = Dial::new(SocketAddr::new(vip, 80), Greeting::Http);
    dial.timeout = Duration::from_millis(500);
    dial
}

/// Waits until both VIPs take every new connection.
fn wait_until_served(lab: &OneDirector, when: &str) -> Result<()> {
    for vip in VIPS {
        wait_for(PATIENCE, format!("{vip} to take connections {when}"), || {
            Crowd::open(&lab.clients[0], &dial(vip), 20).is_ok_and(|crowd| crowd.len() == 20)
        })?;
    }
    Ok(())
}

fn addresses(host: &Host, interface: &str) -> Result<String> {
    let output = host
        .command("ip")?
        .args(["-o", "address", "show", "dev", interface])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wait_until_held(host: &Host, interface: &str) -> Result<()> {
    wait_for(PATIENCE, format!("the VIPs on {interface}"), || {
        addresses(host, interface)
            .is_ok_and(|shown| VIPS.iter().all(|vip| shown.contains(&format!(" {vip}/"))))
    })?;
    Ok(())
}

#[test]
fn an_interface_that_goes_down_vanishes_or_is_renamed_is_taken_up_again() -> Result<()> {
    let lab = OneDirector::build("e2e-iface", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let director = &lab.director;
    let good = config::web(&lab, &[100, 100]);

    director.link_down("eth0")?;
    let tandem = Tandem::start(director, &good)?;
    let backends = tandem.ask(&["backend"])?;
    assert_eq!(backends[0]["state"], "unresolved", "{backends}");
    director.link_up("eth0")?;
    wait_until_served(&lab, "once the link is up")?;
    tandem.wait_until_it_says("holding the VIP")?;

    let patient = |vip| Dial::new(SocketAddr::new(vip, 80), Greeting::Http);
    let mut held = VIPS
        .map(|vip| Crowd::open(&lab.clients[0], &patient(vip), 100))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let mut kept = |when: &str| -> Result<()> {
        for crowd in &mut held {
            let answers = crowd.ask();
            ensure!(answers.kept == 100, "{when}: {answers:?}");
        }
        Ok(())
    };
    kept("before")?;

    director.delete_interface("eth0")?;
    wait_for(PATIENCE, "the daemon to miss its interface", || {
        tandem
            .ask(&["status"])
            .is_ok_and(|status| status["interfaces"][0]["ifindex"].is_null())
    })?;
    // Something else can still be changed: this one gives the backends other weights.
    tandem.reload(&config::web(&lab, &[50, 100]))?;
    director.recreate_interface("eth0")?;
    director.interface("eth0")?.expect_xdp()?;
    wait_until_held(director, "eth0")?;
    wait_until_served(&lab, "on the new interface")?;
    kept("after the interface was replaced")?;

    for command in [
        format!("address del {VIP4}/32 dev eth0"),
        format!("address del {VIP6}/128 dev eth0"),
    ] {
        director.namespace().ip(&[command])?;
    }
    fs::remove_file(director.bpffs().join("tandem/links/eth0"))?;
    wait_until_held(director, "eth0")?;
    wait_until_served(&lab, "after somebody tidied up")?;
    kept("after somebody tidied up")?;

    director.namespace().ip(&[
        "link set eth0 down",
        "link set eth0 name wan0.7",
        "link set wan0.7 up",
    ])?;
    wait_until_served(&lab, "though the interface has another name")?;
    tandem.reload(&config::web(&lab, &[50, 100]).replace("\"eth0\"", "\"wan0.7\""))?;
    wait_until_held(director, "wan0.7")?;
    wait_until_served(&lab, "under the new name")?;
    kept("under the new name")?;
    let left: Vec<_> = fs::read_dir(director.bpffs().join("tandem/links"))?.collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let status = tandem.ask(&["status"])?;
    assert_eq!(status["interfaces"][0]["mode"], "native", "{status}");
    tandem.process().ensure_running()?;
    Ok(())
}

#[test]
fn backends_that_change_vanish_or_are_elsewhere() -> Result<()> {
    let lab = OneDirector::build("e2e-neighbour", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let director = &lab.director;
    let tandem = Tandem::start(director, &config::web(&lab, &[100, 100]))?;
    let mut held = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        200,
    )?;

    lab.backends[0].change_mac("eth0", [2, 0, 0, 0, 0, 0x77])?;
    wait_for(Duration::from_secs(2), "the new MAC address", || {
        tandem
            .ask(&["backend"])
            .is_ok_and(|backends| backends[0]["mac"] == "02:00:00:00:00:77")
    })?;
    let answers = held.ask();
    assert_eq!(
        (answers.kept, answers.moved, answers.broken()),
        (200, 0, 0),
        "{answers:?}"
    );
    wait_until_served(&lab, "with the new MAC address")?;

    for backend in &lab.backends {
        backend.link_down("eth0")?;
    }
    wait_for(PATIENCE, "the backends to be missed", || {
        tandem
            .ask(&["service"])
            .is_ok_and(|services| services[0]["backends_ready"] == 0)
    })?;
    let before = tandem.count("no_backend")?;
    let none = Crowd::open(&lab.clients[0], &dial(VIP4.into()), 5)?;
    assert!(none.is_empty());
    assert!(tandem.count("no_backend")? >= before + 5);
    let said = tandem.show(&["backend"])?;
    assert!(said.contains("does not answer ARP"), "{said}");
    for backend in &lab.backends {
        backend.link_up("eth0")?;
    }
    wait_until_served(&lab, "from the backends that are back")?;
    let answers = held.ask();
    assert_eq!(answers.kept, 200, "{answers:?}");

    director
        .namespace()
        .ip(&["route add 198.51.100.0/24 via 192.0.2.22 dev eth0"])?;
    let address = lab.backends[1].ipv4().expect("an address").to_string();
    tandem.reload(&config::web(&lab, &[100, 100]).replace(&address, "198.51.100.7"))?;
    let backends = tandem.ask(&["backend"])?;
    ensure!(backends[1]["share"] == 0.0, "{backends}");
    let said = tandem.show(&["backend"])?;
    ensure!(
        said.contains("leads through gateway 192.0.2.22 on eth0"),
        "{said}"
    );
    director
        .namespace()
        .ip(&["route replace 198.51.100.7/32 dev eth0 scope link"])?;
    lab.backends[1]
        .namespace()
        .ip(&["address add 198.51.100.7/32 dev eth0"])?;
    wait_for(PATIENCE, "the backend to be on the link", || {
        tandem
            .ask(&["backend"])
            .is_ok_and(|backends| backends[1]["state"] == "ready")
    })?;
    wait_until_served(&lab, "from the backend on the link")
}
