//! Datagrams that are longer than the MTU, from real stacks, in order and out of it.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use etherparse::PacketBuilder;
use lb_tests::{
    PacketSocket, Tandem,
    client::udp::UdpFlow,
    fragments::{parts4, parts6},
    server::UdpEcho,
    topology::{OneDirector, VIP4, VIP6},
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(10);
const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
/// In six fragments.
const LONG: usize = 8000;

fn data(mark: u8) -> Vec<u8> {
    (0..LONG).map(|n| (n % 251) as u8 ^ mark).collect()
}

fn served(lab: &OneDirector) -> Result<Vec<UdpEcho>> {
    let echoes = lab
        .backends
        .iter()
        .map(|backend| UdpEcho::start(backend, &OneDirector::listen(backend, 53)));
    Ok(echoes.collect::<Result<_, _>>()?)
}

fn counted(tandem: &Tandem, reason: &str) -> Result<u64> {
    let stats = tandem.ask(&["stats"])?;
    let reasons = stats["reasons"].as_array().context("reasons")?;
    let found = reasons.iter().find(|counted| counted["slug"] == reason);
    found
        .and_then(|counted| counted["packets"].as_u64())
        .context("a counter")
}

#[test]
fn long_datagrams_arrive_whole() -> Result<()> {
    let lab = OneDirector::build("e2e-fragments", 1, 3)?;
    let _echoes = served(&lab)?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    for vip in VIPS {
        let mut backends = std::collections::BTreeSet::new();
        for n in 0..20 {
            let flow = UdpFlow::open(&lab.clients[0], SocketAddr::new(vip, 53))?;
            let first = flow.ask(&data(n), PATIENCE)?;
            ensure!(flow.ask(&data(n + 1), PATIENCE)? == first);
            ensure!(flow.ask(b"short", PATIENCE)? == first, "whatever their length");
            backends.insert(first);
        }
        ensure!(backends.len() == 3, "{backends:?}");
    }
    for reason in ["fragment", "fragment_unknown", "bad_fragment"] {
        ensure!(counted(&tandem, reason)? == 0, "{reason}");
    }
    Ok(())
}

/// The last fragment first: all but the first one are held, and follow it to the backend that puts them together.
#[test]
fn fragments_that_overtake_the_first_one_wait_for_it() -> Result<()> {
    let lab = OneDirector::build("e2e-reordered", 1, 3)?;
    let _echoes = served(&lab)?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    let client = &lab.clients[0];
    let (own, director) = (
        client.interface("eth0")?.mac(),
        lab.director.interface("eth0")?.mac(),
    );
    let wire = PacketSocket::open(client.namespace(), "eth0")?;
    for (vip, number) in VIPS.into_iter().zip(1..) {
        // Learns the backend's way to the client.
        UdpFlow::open(client, SocketAddr::new(vip, 53))?.ask(b"hello", PATIENCE)?;
        for name in 0..10_u16 {
            let socket = client.enter(|| -> std::io::Result<UdpSocket> {
                let any: IpAddr = if vip.is_ipv4() {
                    [0; 4].into()
                } else {
                    [0_u16; 8].into()
                };
                let socket = UdpSocket::bind((any, 0))?;
                socket.connect((vip, 53))?;
                socket.set_read_timeout(Some(PATIENCE))?;
                Ok(socket)
            })??;
            let port = socket.local_addr()?.port();
            let question = data(name as u8);
            let mut frame = Vec::new();
            let link = PacketBuilder::ethernet2(own, director);
            let mut parts = match (vip, client.ipv4(), client.ipv6()) {
                (IpAddr::V4(vip), Some(from), _) => {
                    let network = link.ipv4(from.octets(), vip.octets(), 64);
                    network.udp(port, 53).write(&mut frame, &question)?;
                    parts4(&frame, 0x5000 + name, 1480)
                }
                (IpAddr::V6(vip), _, Some(from)) => {
                    let network = link.ipv6(from.octets(), vip.octets(), 64);
                    network.udp(port, 53).write(&mut frame, &question)?;
                    parts6(&frame, 0x5000 + u32::from(name), 1448)
                }
                _ => anyhow::bail!("the client has addresses of both families"),
            };
            parts.reverse();
            for part in parts {
                wire.send(&part)?;
            }
            let mut answer = vec![0; 65_536];
            let length = socket
                .recv(&mut answer)
                .with_context(|| format!("the answer over {vip}"))?;
            ensure!(answer[..length].ends_with(&question), "over {vip}");
        }
        let held = counted(&tandem, "fragment_held")?;
        ensure!(held >= 10 * 5 * number, "{held} over {vip}");
    }
    // One whose first fragment never comes is given up, and counted.
    let mut frame = Vec::new();
    let network = PacketBuilder::ethernet2(own, director).ipv4([198, 51, 100, 9], VIP4.octets(), 64);
    network.udp(999, 53).write(&mut frame, &data(0))?;
    wire.send(&parts4(&frame, 1, 1480)[3])?;
    lb_tests::wait_for(PATIENCE, "the fragment to be given up", || {
        counted(&tandem, "fragment_unknown").is_ok_and(|count| count == 1)
    })?;
    Ok(())
}
