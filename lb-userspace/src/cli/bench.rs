//! `tandem bench`

use std::{
    io::{IsTerminal as _, Write},
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use tokio::{signal::ctrl_c, sync::oneshot};

use super::{CliError, Exit, Show};
use crate::{
    api::Client,
    bench::{
        fastpath::{self, living},
        frames::{Frames, Kind},
        generator::Flows,
        interfaces::{self, Refusal, examine_admin},
        live,
        template::Family,
    },
    config::parse_frontend,
    core::{
        model::{Frontend, Protocol},
        neighbour::Mac,
    },
    datapath::{DEFAULT_DIRECTORY, Pins},
    net::Netlink,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What a packet costs in the XDP program, in the memory of this machine: with a director that is made up, or with a copy of the
    /// one that runs here.
    Fastpath(Fastpath),
    /// Packets a second and delays, out of one interface of this machine and back into another.
    Throughput(Throughput),
    /// What the program of this director costs, on the packets that come anyway.
    Live(Live),
}

#[derive(Debug, Args)]
struct Fastpath {
    /// Flows that packets are drawn from, at random; a table that is made up has twice as many places [default: 1000000, or as many
    /// as a quarter of the running director's table holds]
    #[arg(long)]
    flows: Option<u32>,
    /// Services of the director that shows how the cost grows with them; a power of two.
    #[arg(long, default_value_t = 512, conflicts_with = "live")]
    services: u16,
    /// Samples of each case [default: 40, or 8 with --quick]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// A fifth of the samples.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this text, and what they are compared with.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// CPU that it runs on [default: the last]
    #[arg(long)]
    cpu: Option<usize>,
    /// Measure a copy of the director that runs here, with its configuration and its flows: it is not disturbed.
    #[arg(long)]
    live: bool,
    /// Frontend of the running director that packets go to; may be given several times [default: its first ones of IPv4 and IPv6]
    #[arg(long, value_name = "VIP:PORT[/PROTOCOL]", value_parser = frontend, requires = "live")]
    to: Vec<Frontend>,
    /// Interface that they are said to come in by [default: the running director's first]
    #[arg(short, long, value_name = "NAME", requires = "live")]
    interface: Option<String>,
    /// Directory in which the running director's maps are pinned.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIRECTORY, requires = "live")]
    bpffs: PathBuf,
}

#[derive(Debug, Args)]
struct Throughput {
    /// Interface that packets leave by.
    #[arg(long, value_name = "NAME")]
    tx: String,
    /// Interface that they come back by [default: the same]
    #[arg(long, value_name = "NAME")]
    rx: Option<String>,
    /// Service of a director that datagrams are sent to, such as 192.0.2.10:53; without it they are sent to the other interface,
    /// which shows what the path itself can do.
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: Option<SocketAddr>,
    /// MAC address that frames are sent to [default: whoever answers for the address]
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Option<Mac>,
    /// Flows that packets are drawn from.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    flows: u32,
    /// Each packet begins another flow: how many new flows a second there can be. They are datagrams, or SYNs of connections.
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "flows")]
    new: Option<NewFlows>,
    /// Bytes of a frame, from 64 to 9014 (with IPv6 from 84, SYNs from 76 and 96), or `imix` [default: the least]
    #[arg(long)]
    frames: Option<Frames>,
    /// How often as many are sent as can be.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// How long each time, and for each rate that is tried.
    #[arg(long, default_value = "2", value_name = "SECONDS", value_parser = super::patience)]
    seconds: Duration,
    /// Share of packets that may be lost at the no-drop rate, in percent.
    #[arg(long, default_value_t = 0.1, value_name = "PERCENT")]
    loss: f64,
    /// CPU that sends [default: the last]
    #[arg(long)]
    cpu: Option<usize>,
    /// Send by a packet socket, as where the driver has no XDP: slower.
    #[arg(long)]
    packet_socket: bool,
    /// Use an interface although the default route leads through it.
    #[arg(long)]
    allow_default_route: bool,
}

/// What begins another flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NewFlows {
    /// A datagram.
    Udp,
    /// The first segment of a connection.
    Tcp,
}

#[derive(Debug, Args)]
struct Live {
    /// Interface whose program is watched; may be given several times [default: those of the running daemon]
    #[arg(short, long, value_name = "NAME")]
    interface: Vec<String>,
    /// How long.
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = super::patience)]
    seconds: Duration,
}

fn frontend(text: &str) -> Result<Frontend, String> {
    parse_frontend(text).map_err(|error| error.to_string())
}

fn mac(text: &str) -> Result<Mac, String> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2);
        *byte = part
            .and_then(|part| u8::from_str_radix(part, 16).ok())
            .ok_or("expected six bytes, such as 02:00:5e:10:00:01")?;
    }
    if parts.next().is_some() {
        return Err("expected six bytes, such as 02:00:5e:10:00:01".to_owned());
    }
    Ok(Mac(bytes))
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    match &arguments.what {
        What::Fastpath(arguments) => fastpath(arguments, client, show).await,
        What::Throughput(arguments) => throughput(arguments, show).await,
        What::Live(arguments) => live(arguments, client, show).await,
    }
}

/// Samples of each case, and with --quick.
const ROUNDS: u32 = 40;
const QUICK_ROUNDS: u32 = 8;
const FLOWS: u32 = 1_000_000;

async fn fastpath<W: Write>(
    arguments: &Fastpath,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    examine_admin().map_err(CliError::Bench)?;
    let rounds = if arguments.quick { QUICK_ROUNDS } else { ROUNDS };
    let rounds = arguments.rounds.unwrap_or(rounds) as usize;
    let report = if arguments.live {
        let options = living::Options {
            pins: Pins::new(arguments.bpffs.clone()),
            interface: arguments.interface.clone(),
            frontends: if arguments.to.is_empty() {
                first_frontends(client).await?
            } else {
                arguments.to.clone()
            },
            flows: arguments.flows,
            rounds,
            filter: arguments.filter.clone(),
            cpu: arguments.cpu,
        };
        watched(move |tell| living::run(&options, tell)).await?
    } else {
        let options = fastpath::Options {
            flows: arguments.flows.unwrap_or(FLOWS),
            services: arguments.services,
            rounds,
            filter: arguments.filter.clone(),
            cpu: arguments.cpu,
        };
        watched(move |tell| fastpath::run(&options, tell)).await?
    };
    if show.json {
        show.json(&report)?;
    } else {
        write!(show.out, "{report}")?;
    }
    Ok(Exit::Success)
}

/// The first frontend of each family that packets can be made for.
async fn first_frontends(client: &Client) -> Result<Vec<Frontend>, CliError> {
    let services = client.services().await?;
    // What is no single address and port is none of these.
    let all: Vec<Frontend> = services
        .iter()
        .flat_map(|service| &service.frontends)
        .filter_map(|text| parse_frontend(text).ok())
        .filter(|frontend| frontend.protocol != Protocol::Sctp)
        .collect();
    let first = |is_wanted: fn(&Frontend) -> bool| all.iter().copied().find(is_wanted);
    let first = [
        first(|frontend| frontend.vip.is_ipv4()),
        first(|frontend| frontend.vip.is_ipv6()),
    ];
    let first: Vec<Frontend> = first.into_iter().flatten().collect();
    if first.is_empty() {
        return Err(CliError::Measuring(anyhow::anyhow!(
            "the running director has no service with a VIP, a port, and TCP or UDP: say with --to where packets are to go"
        )));
    }
    Ok(first)
}

async fn throughput<W: Write>(arguments: &Throughput, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let family = match arguments.to {
        Some(SocketAddr::V6(_)) => Family::V6,
        Some(SocketAddr::V4(_)) | None => Family::V4,
    };
    let kind = match arguments.new {
        Some(NewFlows::Tcp) => Kind::Syns,
        Some(NewFlows::Udp) | None => Kind::Datagrams,
    };
    let ready = interfaces::prepare(interfaces::Options {
        tx: arguments.tx.clone(),
        rx: arguments.rx.clone().unwrap_or_else(|| arguments.tx.clone()),
        to: arguments.to,
        mac: arguments.mac,
        kind,
        flows: arguments
            .new
            .map_or(Flows::Random(arguments.flows), |_| Flows::Each),
        frames: arguments.frames.unwrap_or(Frames::Of(kind.shortest(family))),
        rounds: arguments.rounds as usize,
        turn: arguments.seconds,
        tolerated: arguments.loss / 100.0,
        cpu: arguments.cpu,
        packet_socket: arguments.packet_socket,
        allow_default_route: arguments.allow_default_route,
    })
    .await
    .map_err(CliError::Bench)?;
    let report = watched(move |tell| interfaces::run(&ready, tell)).await?;
    if show.json {
        show.json(&report)?;
    } else {
        write!(show.out, "{report}")?;
    }
    Ok(Exit::Success)
}

async fn live<W: Write>(arguments: &Live, client: &Client, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    examine_admin().map_err(CliError::Bench)?;
    let mut names = arguments.interface.clone();
    if names.is_empty() {
        let status = client.status().await?;
        names = status
            .interfaces
            .into_iter()
            .map(|interface| interface.name)
            .collect();
    }
    let netlink = Netlink::open().map_err(|error| CliError::Bench(error.into()))?;
    let mut facts = Vec::new();
    for name in &names {
        let seen = netlink.link_facts(name).await;
        facts.push(seen.map_err(|error| CliError::Bench(error.into()))?);
    }
    let seconds = arguments.seconds;
    let report = watched(move |_| live::run(&facts, seconds)).await?;
    if show.json {
        show.json(&report)?;
    } else {
        write!(show.out, "{report}")?;
    }
    Ok(Exit::Success)
}

/// Does something on a thread of its own, which is shown where somebody watches, and can be interrupted: whatever is attached or
/// switched on goes with this process.
async fn watched<T: Send + 'static>(
    work: impl FnOnce(&mut dyn FnMut(&str)) -> anyhow::Result<T> + Send + 'static,
) -> Result<T, CliError> {
    let is_watched = std::io::stderr().is_terminal();
    let (done, outcome) = oneshot::channel();
    thread::Builder::new()
        .name("tandem-bench".to_owned())
        .spawn(move || {
            let result = work(&mut |doing| {
                if is_watched {
                    eprint!("\r\x1b[K{doing} ");
                }
            });
            if is_watched {
                eprint!("\r\x1b[K");
            }
            // Nobody waits any more for what was interrupted.
            let _ = done.send(result);
        })
        .map_err(CliError::Runtime)?;
    tokio::select! {
        outcome = outcome => match outcome {
            Ok(result) => result.map_err(CliError::Measuring),
            Err(_) => Err(CliError::Measuring(anyhow::anyhow!("the thread that measures has ended"))),
        },
        _ = ctrl_c() => Err(CliError::Interrupted),
    }
}

/// The code of a refusal.
pub(super) fn exit_of(refusal: &Refusal) -> Exit {
    if matches!(refusal, Refusal::Permission { .. }) {
        Exit::Permission
    } else {
        Exit::Negative
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_have_six_bytes() {
        assert_eq!(mac("02:00:5e:10:00:0A"), Ok(Mac([2, 0, 0x5E, 0x10, 0, 10])));
        for wrong in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:01:02",
            "2:0:5e:10:0:1",
            "02-00-5e-10-00-01",
        ] {
            assert!(mac(wrong).is_err(), "{wrong}");
        }
    }
}
