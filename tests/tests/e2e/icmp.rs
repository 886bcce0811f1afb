//! Path-MTU discovery through the director: the routers' errors reach the backend that sent the long packets.

use std::{collections::BTreeSet, fs, io::Write as _, net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    BigFile, Host, Tandem,
    client::http,
    server::Nginx,
    topology::{OneDirector, VIP4, VIP6},
};
use sha2::{Digest as _, Sha256};

use crate::config;

/// The narrowest link between the backends and the client, in bytes; the client's own takes 1500.
const NARROW: u16 = 1280;
const SIZE: usize = 20_000_000;
/// A transfer that gets no further for so long has stalled.
const PATIENCE: Duration = Duration::from_secs(10);
/// With three backends of equal weight, all are met in far fewer.
const DOWNLOADS: usize = 40;

/// A client behind a router whose link towards it is narrow; nobody but the router knows.
fn client_behind_a_narrow_link(lab: &OneDirector) -> Result<(Host, Host)> {
    let far = lab.lab.switch("far")?;
    let router = lab.lab.host("router")?;
    router.connect(&lab.switch, &["192.0.2.1/24", "2001:db8::1/64"])?;
    router.connect(&far, &["203.0.113.1/24", "2001:db8:f::1/64"])?;
    router.set_mtu("eth1", NARROW)?;
    router.namespace().set("ipv4/ip_forward", "1")?;
    router.namespace().set("ipv6/conf/all/forwarding", "1")?;
    let client = lab.lab.host("far-client")?;
    client.connect(&far, &["203.0.113.7/24", "2001:db8:f::7/64"])?;
    client.namespace().ip(&[
        "route add default via 203.0.113.1",
        "route add default via 2001:db8:f::1",
    ])?;
    for backend in &lab.backends {
        backend.namespace().ip(&[
            "route add default via 192.0.2.1",
            "route add default via 2001:db8::1",
        ])?;
    }
    Ok((client, router))
}

fn file(lab: &OneDirector) -> Result<BigFile> {
    let path = lab.director.run_dir().join("twenty-megabytes");
    let content: Vec<u8> = (0..SIZE / 4).flat_map(|n| (n as u32).to_le_bytes()).collect();
    fs::File::create(&path)?.write_all(&content)?;
    let sha256 = Sha256::digest(&content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(BigFile {
        path,
        size: SIZE as u64,
        sha256,
    })
}

/// How often the host was told that a packet of its own was too long for some link.
fn told(host: &Host, vip: IpAddr) -> Result<u64> {
    let (path, group) = match vip {
        IpAddr::V4(_) => ("/proc/thread-self/net/snmp", "Icmp:"),
        IpAddr::V6(_) => ("/proc/thread-self/net/snmp6", "Icmp6InPktTooBigs"),
    };
    let text = host.enter(|| fs::read_to_string(path))??;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.first() == Some(&group))
        .collect();
    // IPv4's counters are a line of names above a line of values, IPv6's a line each.
    let value = match &lines[..] {
        [line] => line.get(1),
        [names, values] => names
            .iter()
            .position(|name| *name == "InDestUnreachs")
            .and_then(|at| values.get(at)),
        _ => None,
    };
    Ok(value.with_context(|| format!("no {group} in {path}"))?.parse()?)
}

/// What backends learnt of narrow links is forgotten.
fn forget(lab: &OneDirector) -> Result<()> {
    for backend in &lab.backends {
        for family in ["-4", "-6"] {
            let mut flush = backend.command("ip")?;
            flush.args([family, "route", "flush", "cache"]);
            ensure!(flush.status()?.success());
        }
    }
    Ok(())
}

/// The client downloads from every backend, which were told of the narrow link for each address of the service.
fn download_from_all(lab: &OneDirector, client: &Host, file: &BigFile) -> Result<()> {
    for vip in [IpAddr::V4(VIP4), IpAddr::V6(VIP6)] {
        let headers = if vip.is_ipv4() { 40 } else { 60 };
        let mut met = BTreeSet::new();
        let before: Vec<u64> = lab
            .backends
            .iter()
            .map(|backend| told(backend, vip))
            .collect::<Result<_>>()?;
        for _ in 0..DOWNLOADS {
            let download = http::download(client, (vip, 80).into(), "/big", PATIENCE)?;
            assert_eq!((download.bytes, &download.sha256), (file.size, &file.sha256));
            let longest = u32::from(NARROW) - headers;
            assert!(
                (1..=longest).contains(&download.segment),
                "segments of {} bytes",
                download.segment
            );
            met.insert(download.backend);
            if met.len() == lab.backends.len() {
                break;
            }
        }
        for (backend, before) in lab.backends.iter().zip(before) {
            ensure!(met.contains(backend.name()), "met only {met:?}");
            ensure!(
                told(backend, vip)? > before,
                "{} was never told of the narrow link by {vip}'s routers",
                backend.name()
            );
        }
    }
    Ok(())
}

#[test]
fn a_client_behind_a_narrow_link_downloads_from_every_backend() -> Result<()> {
    let lab = OneDirector::build("e2e-pmtud", 0, 3)?;
    let (client, _router) = client_behind_a_narrow_link(&lab)?;
    let file = file(&lab)?;
    let _servers = lab
        .backends
        .iter()
        .map(|backend| Nginx::start(backend, &OneDirector::listen(backend, 80), Some(&file)))
        .collect::<Result<Vec<_>, _>>()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    download_from_all(&lab, &client, &file).context("direct routing")?;

    let mut backends = Vec::new();
    for backend in &lab.backends {
        Tandem::decap(backend, &["--from", "192.0.2.2/32"])?;
        let address = backend.ipv4().context("backends have addresses")?.into();
        backends.push((backend.name().to_owned(), address, 100));
    }
    tandem.reload(&config::web_by("forward = \"tunnel\"", &backends))?;
    forget(&lab)?;
    download_from_all(&lab, &client, &file).context("by tunnel")
}
