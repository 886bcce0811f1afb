//! Services on ranges of ports, and on a whole network that routers send to the director.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::udp::UdpFlow,
    server::UdpEcho,
    topology::{OneDirector, VIP4, VIP6},
};

const PATIENCE: Duration = Duration::from_secs(10);
const NETWORK: &str = "198.51.100.0/24";

fn ip(host: &Host, arguments: &str) -> Result<()> {
    let output = host.command("ip")?.args(arguments.split(' ')).output()?;
    ensure!(output.status.success(), "ip {arguments}: {output:?}");
    Ok(())
}

#[test]
fn ranges_of_ports_and_whole_networks_are_served() -> Result<()> {
    let lab = OneDirector::build("e2e-areas", 1, 2)?;
    let inside = [7, 77, 200].map(|last| IpAddr::from([198, 51, 100, last]));
    let mut places: Vec<SocketAddr> = [IpAddr::from(VIP4), VIP6.into()]
        .into_iter()
        .flat_map(|vip| [7000, 7005].map(|port| SocketAddr::new(vip, port)))
        .collect();
    places.extend(inside.map(|address| SocketAddr::new(address, 7)));
    let mut echoes = Vec::new();
    for backend in &lab.backends {
        ip(backend, &format!("route add local {NETWORK} dev lo"))?;
        echoes.push(UdpEcho::start(backend, &places)?);
    }
    let backends: String = lab
        .backends
        .iter()
        .map(|backend| {
            let address = backend.ipv4().expect("hosts of the lab have IPv4 addresses");
            format!("\n[[service.backend]]\naddress = \"{address}\"\n")
        })
        .collect();
    let _tandem = Tandem::start(
        &lab.director,
        &format!(
            "[director]\ninterfaces = [\"eth0\"]\n\n[[service]]\nname = \"many\"\nscheduler = \"rr\"\n\
             listen = [\"{VIP4}:7000-7009/udp\", \"[{VIP6}]:7000-7009/udp\", \"{NETWORK}:*/udp\"]\n{backends}"
        ),
    )?;
    let client = &lab.clients[0];
    let director: Ipv4Addr = lab.director.ipv4().expect("hosts of the lab have IPv4 addresses");
    ip(client, &format!("route add {NETWORK} via {director}"))?;
    for place in places {
        let ask = || -> Result<String> { Ok(UdpFlow::open(client, place)?.ask(b"hello", PATIENCE)?) };
        ensure!(ask()? != ask()?, "{place}: both serve in turn");
    }
    Ok(())
}
