//! Tunnels, end to end: real clients, a director that wraps, backends that unwrap, real servers.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use anyhow::{Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{http, udp::UdpFlow, upload},
    server::{Digest, Nginx, UdpEcho},
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

/// What a host learnt of narrow links is forgotten.
fn forget(host: &Host) -> Result<()> {
    for family in ["-4", "-6"] {
        let mut flush = host.command("ip")?;
        flush.args([family, "route", "flush", "cache"]);
        ensure!(flush.status()?.success());
    }
    Ok(())
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
            forget(client)?;
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

/// Link between the router and the backend behind it, in bytes; the director's takes 1500.
const NARROW: u16 = 1400;

/// A backend in another network, and the router to it: the director has to send to the router, and nobody but the router
/// knows how narrow the link behind it is.
fn backend_behind_a_router(lab: &OneDirector) -> Result<(Host, Host)> {
    let behind = lab.lab.switch("behind")?;
    let router = lab.lab.host("router")?;
    router.connect(&lab.switch, &["192.0.2.1/24", "2001:db8::1/64"])?;
    router.connect(&behind, &["198.51.100.1/24", "2001:db8:b::1/64"])?;
    router.set_mtu("eth1", NARROW)?;
    router.namespace().set("ipv4/ip_forward", "1")?;
    router.namespace().set("ipv6/conf/all/forwarding", "1")?;
    let backend = lab.lab.host("far-backend")?;
    backend.connect(&behind, &["198.51.100.7/24", "2001:db8:b::7/64"])?;
    backend.accept_vips(&VIPS)?;
    backend.namespace().ip(&[
        "route add default via 198.51.100.1",
        "route add default via 2001:db8:b::1",
    ])?;
    lab.director.namespace().ip(&[
        "route add 198.51.100.0/24 via 192.0.2.1",
        "route add 2001:db8:b::/64 via 2001:db8::1",
    ])?;
    Ok((backend, router))
}

/// The router tells the director that a tunnel's packet is too long, and the director tells the client.
#[test]
fn a_client_hears_of_a_narrow_link_on_the_way_to_a_backend() -> Result<()> {
    let lab = OneDirector::build("e2e-routed", 1, 0)?;
    let client = &lab.clients[0];
    let (backend, _router) = backend_behind_a_router(&lab)?;
    let file = lab.lab.big_file()?;
    let _digest = Digest::start(&backend, &OneDirector::listen(&backend, 80))?;
    Tandem::decap(&backend, &[])?;
    let mut tandem: Option<Tandem> = None;
    for (address, outer) in [(v4(&backend), 20), (v6(&backend), 40)] {
        let config = config::web_by("forward = \"tunnel\"", &[of(&backend, address)]);
        match &tandem {
            Some(tandem) => tandem.reload(&config)?,
            None => tandem = Some(Tandem::start(&lab.director, &config)?),
        }
        for vip in VIPS {
            forget(client)?;
            forget(&lab.director)?;
            let sent = upload(client, (vip, 80).into(), &file, PATIENCE)?;
            assert_eq!(
                (sent.backend.as_str(), &sent.sha256),
                (backend.name(), &file.sha256)
            );
            let headers = if vip.is_ipv4() { 20 } else { 40 };
            // Of TCP's header, 12 bytes are timestamps.
            let fits = u32::from(NARROW) - outer - headers - 20 - 12;
            assert_eq!(sent.segment, fits, "{address} {vip}");
        }
    }
    let tandem = tandem.expect("was started");
    ensure!(tandem.count("error_translated")? >= 4);
    Ok(())
}

/// A director that is a backend too answers its share by itself.
#[test]
fn a_director_serves_its_own_share() -> Result<()> {
    let lab = OneDirector::build("e2e-local", 1, 1)?;
    let (client, backend) = (&lab.clients[0], &lab.backends[0]);
    let _servers = [
        lab.serve_http(backend)?,
        Nginx::start(&lab.director, &["0.0.0.0:80".parse()?, "[::]:80".parse()?], None)?,
    ];
    Tandem::decap(backend, &[])?;
    let backends = [of(backend, v4(backend)), of(&lab.director, v4(&lab.director))];
    let _tandem = Tandem::start(&lab.director, &config::web_by("forward = \"tunnel\"", &backends))?;
    for vip in VIPS {
        let mut met = BTreeSet::new();
        for _ in 0..40 {
            met.insert(http::get(client, (vip, 80).into(), "/", PATIENCE)?.backend);
        }
        assert_eq!(met.len(), 2, "{vip}: met only {met:?}");
    }
    Ok(())
}
