//! Direct routing, end to end.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Result, ensure};
use etherparse::{PacketBuilder, SlicedPacket, VlanId};
use lb_tests::{
    Capture, PacketSocket, Tandem,
    client::{Crowd, Dial, Greeting, http, udp::UdpFlow},
    server::{Nginx, UdpEcho},
    topology::{OneDirector, VIP4, VIP6},
};

use crate::config;

const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn http_over_both_families_reaches_every_backend() -> Result<()> {
    let lab = OneDirector::build("e2e-http", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    for vip in VIPS {
        let page = http::get(&lab.clients[0], (vip, 80).into(), "/", PATIENCE)?;
        assert_eq!(page.status, 200);
        let mut crowd = Crowd::open(&lab.clients[0], &Dial::new((vip, 80).into(), Greeting::Http), 300)?;
        assert_eq!((crowd.len(), crowd.failures().len()), (300, 0));
        assert_eq!(crowd.by_backend().len(), 3, "{:?}", crowd.by_backend());
        assert_eq!(crowd.ask().kept, 300);
    }
    tandem.process().ensure_running()?;
    Ok(())
}

#[test]
fn datagrams_of_a_flow_stay_on_their_backend() -> Result<()> {
    let lab = OneDirector::build("e2e-udp", 1, 3)?;
    let _servers = lab
        .backends
        .iter()
        .map(|backend| UdpEcho::start(backend, &OneDirector::listen(backend, 53)))
        .collect::<Result<Vec<_>, _>>()?;
    let _tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    for vip in VIPS {
        let mut met = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let flow = UdpFlow::open(&lab.clients[0], (vip, 53).into())?;
            let first = flow.ask(b"who are you?", PATIENCE)?;
            for _ in 0..5 {
                assert_eq!(flow.ask(b"and now?", PATIENCE)?, first);
            }
            met.insert(first);
        }
        assert_eq!(met.len(), 3, "{met:?}");
    }
    Ok(())
}

#[test]
fn ten_thousand_connections_spread_by_weight_and_all_stay() -> Result<()> {
    let lab = OneDirector::build("e2e-10k", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let _tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 200]))?;
    let mut crowd = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        10_000,
    )?;
    assert_eq!(crowd.len(), 10_000, "{:?}", crowd.failures());
    let shares = crowd.by_backend();
    for (backend, weight) in [("backend1", 100), ("backend2", 100), ("backend3", 200)] {
        let expected = 10_000 * weight / 400;
        // Binomial: a standard deviation is at most 50; five of them are out of reach for a fair hash.
        let got = shares.get(backend).copied().unwrap_or(0);
        assert!(
            got.abs_diff(expected) <= 250,
            "{backend}: {got} instead of {expected} ({shares:?})"
        );
    }
    let answers = crowd.ask();
    assert_eq!(
        (answers.kept, answers.moved, answers.broken()),
        (10_000, 0, 0),
        "{answers:?}"
    );
    Ok(())
}

#[test]
fn two_hundred_megabytes_arrive_as_they_were() -> Result<()> {
    let lab = OneDirector::build("e2e-big", 1, 1)?;
    let file = lab.lab.big_file()?;
    let _server = Nginx::start(
        &lab.backends[0],
        &OneDirector::listen(&lab.backends[0], 80),
        Some(&file),
    )?;
    let _tandem = Tandem::start(&lab.director, &config::web(&lab, &[100]))?;
    for vip in VIPS {
        let download = http::download(&lab.clients[0], (vip, 80).into(), "/big", Duration::from_secs(60))?;
        assert_eq!(download.bytes, file.size);
        assert_eq!(download.sha256, file.sha256);
        assert!(download.segment >= 1400, "{}", download.segment);
    }
    Ok(())
}

/// Frames with one and with two tags come out with the same tags, and go to the backend.
#[test]
fn tagged_frames_are_balanced_and_keep_their_tags() -> Result<()> {
    let lab = OneDirector::build("e2e-vlan", 1, 1)?;
    let _tandem = Tandem::start(&lab.director, &config::web(&lab, &[100]))?;
    let (client, director, backend) = (
        lab.clients[0].interface("eth0")?,
        lab.director.interface("eth0")?,
        lab.backends[0].interface("eth0")?,
    );
    let socket = PacketSocket::open(lab.clients[0].namespace(), client.name())?;
    for (port, tags) in [(4001, 1), (4002, 2)] {
        let mut capture = Capture::start(lab.backends[0].namespace(), backend.name(), move |frame| {
            udp_ports(frame) == Some((port, 53))
        })?;
        let ethernet = PacketBuilder::ethernet2(client.mac(), director.mac());
        let vlan = match tags {
            1 => ethernet.single_vlan(VlanId::try_new(7)?),
            _ => ethernet.double_vlan(VlanId::try_new(8)?, VlanId::try_new(7)?),
        };
        let builder = vlan.ipv4([192, 0, 2, 121], VIP4.octets(), 64).udp(port, 53);
        let mut frame = Vec::new();
        builder.write(&mut frame, b"tagged")?;
        socket.send(&frame)?;
        let got = capture.wait_for(PATIENCE, "the tagged frame", |_| true)?.bytes;
        assert_eq!(got[..6], backend.mac());
        assert_eq!(got[6..12], director.mac());
        assert_eq!(got[12..frame.len()], frame[12..], "{tags} tags");
    }
    Ok(())
}

fn udp_ports(frame: &[u8]) -> Option<(u16, u16)> {
    match SlicedPacket::from_ethernet(frame).ok()?.transport? {
        etherparse::TransportSlice::Udp(udp) => Some((udp.source_port(), udp.destination_port())),
        _ => None,
    }
}

#[test]
fn pings_to_the_vips_are_answered_by_the_director() -> Result<()> {
    let lab = OneDirector::build("e2e-ping", 1, 1)?;
    let _tandem = Tandem::start(&lab.director, &config::web(&lab, &[100]))?;
    for vip in VIPS {
        let output = lab.clients[0]
            .command("ping")?
            .args(["-c3", "-i0.1", "-W2", &vip.to_string()])
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}

/// Ports of a VIP that are no service, and addresses that are no VIP, are the kernel's business as before.
#[test]
fn what_is_not_ours_still_reaches_the_director_itself() -> Result<()> {
    let lab = OneDirector::build("e2e-local", 1, 1)?;
    let local: Vec<SocketAddr> = lab
        .director
        .addresses()
        .into_iter()
        .map(|ip| (ip, 8080).into())
        .collect();
    let _server = Nginx::start(&lab.director, &local, None)?;
    let _tandem = Tandem::start(&lab.director, &config::web(&lab, &[100]))?;
    for address in local {
        assert_eq!(http::get(&lab.clients[0], address, "/", PATIENCE)?.status, 200);
    }
    let refused = http::get(&lab.clients[0], (VIP4, 81).into(), "/", PATIENCE);
    assert!(refused.is_err_and(|error| error.to_string().contains("refused")));
    Ok(())
}
