//! Health checks and the heartbeat do not know of each other.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_common::wire::vrrp::PROTOCOL;
use lb_tests::{
    Tandem,
    topology::{Pair, VIP4},
    wait_for,
};

use crate::roles::{PATIENCE, count, expect_role, role};

pub(crate) const INTERVAL: Duration = Duration::from_millis(50);
const BACKENDS: u16 = 1250;
const PORTS: [u16; 4] = [8001, 8002, 8003, 8004];
/// Advertisements that are looked at: those of ten seconds.
const ADVERTISEMENTS: usize = 200;

/// The longest time between two advertisements of the Active, as they reach a client, by the kernel's clock.
pub(crate) fn longest_gap(pair: &Pair) -> Result<Duration> {
    let from: Vec<_> = pair.directors[0]
        .interface("eth0")?
        .mac()
        .map(|byte| format!("{byte:02x}"))
        .into();
    let filter = format!("ip proto {PROTOCOL} and ether src {}", from.join(":"));
    let mut command = pair.clients[0].command("timeout")?;
    let patience = (3 * PATIENCE).as_secs().to_string();
    command.args([
        &patience,
        "tcpdump",
        "-ni",
        "eth0",
        "-tt",
        "-c",
        &ADVERTISEMENTS.to_string(),
        &filter,
    ]);
    let said = String::from_utf8(command.output()?.stdout)?;
    let times: Vec<f64> = said
        .lines()
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .collect();
    ensure!(times.len() == ADVERTISEMENTS, "{said}");
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    Ok(Duration::from_secs_f64(gaps.fold(0.0, f64::max)))
}

#[test]
fn five_thousand_probes_do_not_delay_the_heartbeat() -> Result<()> {
    let pair = Pair::build("ha-probes", 1, 1)?;
    let backend = &pair.backends[0];
    // All addresses of a network are the backend's.
    let local = ["route", "add", "local", "10.77.0.0/16", "dev", "lo"];
    ensure!(backend.command("ip")?.args(local).status()?.success());
    let router = backend.ipv4().context("an address")?.to_string();
    let route = ["route", "add", "10.77.0.0/16", "via", &router];
    ensure!(pair.directors[0].command("ip")?.args(route).status()?.success());
    for port in PORTS {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let listener = backend.enter(|| TcpListener::bind(address))??;
        thread::spawn(move || listener.incoming().for_each(drop));
    }
    let front = |priority: u8| {
        let fast = format!(
            "advert_interval = \"{}ms\"\nfailback = \"immediate\"",
            INTERVAL.as_millis()
        );
        Pair::front(priority, &fast)
    };
    let plain = pair.config(0, &front(150));
    let a = Tandem::start(&pair.directors[0], &plain)?;
    let b = Tandem::start(&pair.directors[1], &pair.config(1, &front(100)))?;
    expect_role(&a, "active")?;
    expect_role(&b, "backup")?;
    let without = longest_gap(&pair)?;

    let mut checked = plain.clone() + "\n[[service]]\nname = \"many\"\n";
    write!(
        checked,
        "listen = [\"{VIP4}:8000\"]\nscheduler = \"rr\"\nforward = \"tunnel\"\ncheck = [\n"
    )?;
    for port in PORTS {
        writeln!(
            checked,
            "  {{ type = \"tcp\", port = {port}, target = \"backend\", interval = \"2s\", timeout = \"1s\" }},"
        )?;
    }
    checked += "]\n";
    for number in 0..BACKENDS {
        let [high, low] = number.to_be_bytes();
        write!(
            checked,
            "\n[[service.backend]]\naddress = \"10.77.{}.{}\"\n",
            high + 1,
            low
        )?;
    }
    let events = count(&b, "ha.active")?;
    a.reload(&checked)?;
    wait_for(3 * PATIENCE, "all backends to have been asked", || {
        let view = a.ask(&["backend", "list"]).unwrap_or_default();
        let up = view.as_array().map_or(0, |backends| {
            let up =
                |backend: &&serde_json::Value| backend["service"] == "many" && backend["state"] == "ready";
            backends.iter().filter(up).count()
        });
        up == usize::from(BACKENDS)
    })?;
    let with = longest_gap(&pair)?;
    println!(
        "longest gap between two advertisements of {INTERVAL:?}: {without:?} without probes, {with:?} with {}",
        usize::from(BACKENDS) * PORTS.len()
    );
    assert_eq!(
        (role(&a).as_deref(), role(&b).as_deref()),
        (Some("active"), Some("backup"))
    );
    assert_eq!(count(&b, "ha.active")?, events, "the Backup missed nothing");
    assert_eq!(count(&a, "ha.stalled")?, 0);
    Ok(())
}
