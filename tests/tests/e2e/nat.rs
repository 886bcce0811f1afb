//! Network address translation, end to end: real clients and servers, and replies that come back through the director.

use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{Crowd, Dial, Greeting, Load, Rate, udp::UdpFlow, upload},
    server::{Digest, Nginx, UdpEcho},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};
use serde_json::Value;

const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
const PATIENCE: Duration = Duration::from_secs(10);
/// Port that the servers listen at; clients ask others.
const SERVER_PORT: u16 = 8080;
/// Addresses that packets come from with full NAT.
const POOL: [&str; 2] = ["192.0.2.200", "2001:db8::c8"];

pub(crate) fn address(host: &Host, v4: bool) -> IpAddr {
    let mut addresses = host.addresses().into_iter();
    addresses
        .find(|address| address.is_ipv4() == v4)
        .expect("hosts of the lab have addresses of both families")
}

/// A service for each family, with these lines, over all backends of the lab.
pub(crate) fn config(lab: &OneDirector, method: [&str; 2]) -> String {
    let mut config = "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"64k\"\nflows_v6 = \"64k\"\n"
        .to_owned();
    for (vip, method) in VIPS.into_iter().zip(method) {
        let (name, listen) = match vip {
            IpAddr::V4(vip) => ("four", vip.to_string()),
            IpAddr::V6(vip) => ("six", format!("[{vip}]")),
        };
        write!(
            config,
            "\n[[service]]\nname = \"{name}\"\nlisten = [\"{listen}:80\", \"{listen}:53/udp\"]\n{method}\n"
        )
        .expect("writing to a string");
        for backend in &lab.backends {
            let address = address(backend, vip.is_ipv4());
            write!(
                config,
                "\n[[service.backend]]\nname = \"{}\"\naddress = \"{address}\"\nport = {SERVER_PORT}\n",
                backend.name()
            )
            .expect("writing to a string");
        }
    }
    config
}

fn full() -> [String; 2] {
    POOL.map(|address| format!("forward = \"full-nat\"\npool = {{ addresses = [\"{address}\"] }}"))
}

/// The backend's way to the clients is the director, as where it is the default gateway.
pub(crate) fn through_the_director(lab: &OneDirector, backend: &Host) -> Result<()> {
    for client in &lab.clients {
        for v4 in [true, false] {
            let (client, director) = (address(client, v4), address(&lab.director, v4));
            let length = if v4 { 32 } else { 128 };
            backend
                .namespace()
                .ip(&[format!("route replace {client}/{length} via {director}")])?;
        }
    }
    Ok(())
}

fn own(backend: &Host) -> Vec<std::net::SocketAddr> {
    let addresses = backend.addresses().into_iter();
    addresses.map(|address| (address, SERVER_PORT).into()).collect()
}

/// 200 MB, and datagrams, both ways of translating, both families; the server knows nothing of the VIP.
#[test]
fn two_hundred_megabytes_go_through_nat() -> Result<()> {
    let lab = OneDirector::build("e2e-nat", 1, 1)?;
    let (client, backend) = (&lab.clients[0], &lab.backends[0]);
    through_the_director(&lab, backend)?;
    let file = lab.lab.big_file()?;
    let _digest = Digest::start(backend, &own(backend))?;
    let _echo = UdpEcho::start(backend, &own(backend))?;
    let mut tandem: Option<Tandem> = None;
    let full = full();
    for method in [["forward = \"nat\""; 2], full.each_ref().map(String::as_str)] {
        let config = config(&lab, method);
        match &tandem {
            Some(tandem) => tandem.reload(&config)?,
            None => tandem = Some(Tandem::start(&lab.director, &config)?),
        }
        for vip in VIPS {
            let flow = UdpFlow::open(client, (vip, 53).into())?;
            assert_eq!(flow.ask(b"who are you?", PATIENCE)?, backend.name(), "{method:?}");
            // In six fragments, there and back.
            assert_eq!(
                flow.ask(&[7; 8000], PATIENCE)?,
                backend.name(),
                "{method:?} {vip}"
            );
            let sent = upload(client, (vip, 80).into(), &file, PATIENCE)?;
            assert_eq!(
                (sent.backend.as_str(), &sent.sha256),
                (backend.name(), &file.sha256),
                "{method:?} {vip}"
            );
        }
    }
    Ok(())
}

/// Many connections at a time; each address and port of the pool is given to one of them only, and all are counted for their
/// backends.
#[test]
fn a_crowd_shares_a_pool() -> Result<()> {
    const CONNECTIONS: usize = 300;
    let lab = OneDirector::build("e2e-full-nat", 2, 2)?;
    let _servers = lab
        .backends
        .iter()
        .map(|backend| Nginx::start(backend, &own(backend), None))
        .collect::<Result<Vec<_>, _>>()?;
    let full = full();
    let tandem = Tandem::start(&lab.director, &config(&lab, full.each_ref().map(String::as_str)))?;
    for vip in VIPS {
        for client in &lab.clients {
            let crowd = Crowd::open(client, &Dial::new((vip, 80).into(), Greeting::Http), CONNECTIONS)?;
            ensure!(crowd.len() == CONNECTIONS, "{:?}", crowd.failures());
            let met: BTreeSet<_> = crowd.by_backend().into_keys().collect();
            ensure!(met.len() == 2, "{vip}: met only {met:?}");
        }
    }
    let services = tandem.ask(&["service"])?;
    for service in 0..2 {
        ensure!(services[service]["forward"] == "full-nat", "{services}");
        ensure!(services[service]["new_flows"] == 2 * CONNECTIONS, "{services}");
    }
    let flows = tandem.ask(&["flow", "--limit", "5"])?;
    ensure!(flows[0]["backend"].is_string(), "{flows}");
    Ok(())
}

/// Where replies pass by, a backend that refuses connections is found out without any check, by its resets.
#[test]
fn a_backend_that_refuses_connections_is_ejected() -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let lab = OneDirector::build("e2e-nat-eject", 1, 3)?;
    let start = |backend| {
        through_the_director(&lab, backend)?;
        anyhow::Ok(Nginx::start(backend, &own(backend), None)?)
    };
    let mut servers = lab.backends.iter().map(start).collect::<Result<Vec<_>>>()?;
    let [_, full] = full();
    let methods =
        ["forward = \"nat\"", &full].map(|method| format!("{method}\nhealth = {{ eject_percent = 40 }}"));
    let tandem = Tandem::start(
        &lab.director,
        &config(&lab, methods.each_ref().map(String::as_str)),
    )?;
    let rate = Rate {
        per_second: 30,
        hold: Duration::ZERO,
        ask_every: Duration::from_millis(100),
        most: 2000,
    };
    let load = |vip: IpAddr| {
        Load::start(
            &lab.clients[0],
            &Dial::new((vip, 80).into(), Greeting::Http),
            &rate,
        )
    };
    let loads = VIPS.map(load).into_iter().collect::<Result<Vec<_>, _>>()?;
    wait_for(PATIENCE, "clients to come", || {
        loads.iter().all(|load| load.tally().opened > 60)
    })?;
    let backends = || -> Result<Vec<Value>> {
        let all = tandem.ask(&["backend"])?;
        Ok(all.as_array().context("an array")?.clone())
    };
    ensure!(
        backends()?
            .iter()
            .all(|backend| backend["state"] == "ready" && backend["refused"] == 0)
    );
    drop(servers.remove(0));
    let mut last = Vec::new();
    wait_for(PATIENCE, "it to be ejected", || {
        last = backends().unwrap_or_default();
        let mut of = last.iter().filter(|backend| backend["name"] == "backend1");
        of.all(|backend| {
            backend["state"] == "down"
                && backend["reason"]
                    .as_str()
                    .is_some_and(|reason| reason.contains("were refused"))
        })
    })
    .with_context(|| format!("{last:#?}"))?;
    for backend in &last {
        let refused = backend["refused"].as_u64().context("a count")?;
        ensure!((backend["name"] == "backend1") == (refused >= 10), "{backend}");
        println!(
            "{}/{}: {refused} connections were refused: {}",
            backend["service"], backend["name"], backend["reason"]
        );
    }
    Ok(())
}
