//! Tunnels, end to end: real clients, a director that wraps, backends that unwrap, real servers.

use std::{net::IpAddr, time::Duration};

use anyhow::{Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{http, udp::UdpFlow, upload},
    server::{Digest, UdpEcho},
    topology::{OneDirector, VIP4, VIP6},
};

use crate::config;

const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
const PATIENCE: Duration = Duration::from_secs(10);

/// Lines of a service, and bytes that the method puts in front of a packet beside the outer header.
const METHODS: [(&str, u32); 4] = [
    ("forward = \"tunnel\"", 0),
    (
        "forward = \"tunnel\"\ntunnel = { type = \"gue\", checksum = true }",
        12,
    ),
    ("forward = \"tunnel\"\ntunnel = { type = \"gre\" }", 4),
    (
        "forward = \"tunnel\"\ntunnel = { type = \"gre\", checksum = true }",
        8,
    ),
];

fn v4(host: &Host) -> IpAddr {
    host.ipv4().expect("hosts of the lab have IPv4 addresses").into()
}

fn v6(host: &Host) -> IpAddr {
    host.ipv6().expect("hosts of the lab have IPv6 addresses").into()
}

fn of(host: &Host, address: IpAddr) -> (String, IpAddr, u32) {
    (host.name().to_owned(), address, 100)
}

/// 200 MB go through each method, in both families inside and outside; segments are as long as fits, which the client learns
/// from the director.
#[test]
fn two_hundred_megabytes_go_through_each_tunnel() -> Result<()> {
    let lab = OneDirector::build("e2e-tunnels", 1, 1)?;
    let (client, backend) = (&lab.clients[0], &lab.backends[0]);
    let file = lab.lab.big_file()?;
    let _digest = Digest::start(backend, &OneDirector::listen(backend, 80))?;
    let _echo = UdpEcho::start(backend, &OneDirector::listen(backend, 53))?;
    Tandem::decap(backend, &["--from", "192.0.2.0/24", "--from", "2001:db8::/64"])?;
    let mut tandem: Option<Tandem> = None;
    let families = [(v4(backend), 20), (v6(backend), 40)];
    for (method, between) in METHODS {
        for (address, outer) in families {
            let config = config::web_by(method, &[of(backend, address)]);
            match &tandem {
                Some(tandem) => tandem.reload(&config)?,
                None => tandem = Some(Tandem::start(&lab.director, &config)?),
            }
            for vip in VIPS {
                let flow = UdpFlow::open(client, (vip, 53).into())?;
                assert_eq!(flow.ask(b"who are you?", PATIENCE)?, backend.name(), "{method}");
            }
            // What fitted into the tunnel before is forgotten.
            for family in ["-4", "-6"] {
                let mut flush = client.command("ip")?;
                ensure!(
                    flush
                        .args([family, "route", "flush", "cache"])
                        .status()?
                        .success()
                );
            }
            // The large file once a method, over each family in turn.
            let vip = VIPS[usize::from((between / 4 + outer / 20) % 2 == 0)];
            let sent = upload(client, (vip, 80).into(), &file, PATIENCE)?;
            assert_eq!(
                (sent.backend.as_str(), &sent.sha256),
                (backend.name(), &file.sha256),
                "{method}"
            );
            let headers = if vip.is_ipv4() { 20 } else { 40 };
            // Of TCP's header, 12 bytes are timestamps.
            let fits = 1500 - outer - between - headers - 20 - 12;
            assert_eq!(sent.segment, fits, "{method} {address} {vip}");
        }
    }
    Ok(())
}
