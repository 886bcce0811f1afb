//! `tandem bench fastpath`

use std::{io::Write, path::PathBuf};

use clap::Args;

use super::{CliError, Exit, Keep, Show, watched};
use crate::{
    api::Client,
    bench::{
        fastpath::{self, living},
        interfaces::examine_admin,
    },
    config::parse_frontend,
    core::model::{Frontend, Protocol},
    datapath::{DEFAULT_DIRECTORY, Pins},
};

#[derive(Debug, Args)]
pub(super) struct Fastpath {
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
    #[command(flatten)]
    keep: Keep,
}

fn frontend(text: &str) -> Result<Frontend, String> {
    parse_frontend(text).map_err(|error| error.to_string())
}

/// Samples of each case, and with --quick.
const ROUNDS: u32 = 40;
const QUICK_ROUNDS: u32 = 8;
const FLOWS: u32 = 1_000_000;

pub(super) async fn run<W: Write>(
    arguments: &Fastpath,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    examine_admin().map_err(CliError::Bench)?;
    let files = arguments.keep.open()?;
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
    files.present("fastpath", &report, || report.picture(), show)
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
