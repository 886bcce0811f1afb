//! `cargo xtask bench`: measures the XDP program, whole paths, the pair, sync, and what health checks cost.

mod output;

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use lb_tests::bench::{
    connections, fastpath, ha, health, latency,
    page::{self, documents},
    result::compare::Comparison,
    scale,
    slide::of_subjects,
    sync,
    template::Family,
    throughput::{self, Frames, Kind},
};

use crate::output::{Files, Picture};

/// Measures the quick set, which fits on a page, or what a word asks for.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
#[command(args_conflicts_with_subcommands = true, flatten_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    page: Quick,
}

#[derive(Subcommand)]
enum Command {
    /// Shows a result of the quick set that `--json` kept.
    Page(Page),
    /// Nanoseconds a packet, by case.
    Fastpath(Fastpath),
    /// Packets a second through a director, beside what one would take in its place.
    Throughput(Throughput),
    /// Requests and connections a second through a director, beside proxies.
    Connections(Connections),
    /// How long packets are under way, and requests while the director is being changed.
    Latency(Latency),
    /// What it costs to have many flows, services, backends and CPUs, and more connections than the table holds.
    Scale(Scale),
    /// Milliseconds until the other director takes over, by fault, and packets lost in planned handovers.
    Ha(Ha),
    /// What it costs to keep connections the same on two directors, how fast that is, and how late.
    Sync(Sync),
    /// From verdicts to the packet path, and what probes cost.
    Health(Health),
    /// What has changed between two results, and how sure that is.
    Compare(Compare),
}

#[derive(Args)]
struct Quick {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    picture: Picture,
}

#[derive(Args)]
struct Page {
    /// The result.
    result: PathBuf,
    /// Put it into the documents of the repository in this directory.
    #[arg(long, value_name = "DIRECTORY")]
    write: Option<PathBuf>,
}

#[derive(Args)]
struct Throughput {
    /// Flows that packets are drawn from.
    #[arg(long, default_value_t = 10_000)]
    flows: u32,
    /// Each packet begins another flow: a datagram, or the SYN of a connection.
    #[arg(long, value_name = "udp|tcp", conflicts_with = "flows")]
    new: Option<Kind>,
    /// IPv6 in place of IPv4.
    #[arg(long)]
    ipv6: bool,
    /// Bytes of a frame, from 64 (84 with IPv6; SYNs from 76 and 96) to 9014, or `imix` [default: the least]
    #[arg(long)]
    frames: Option<Frames>,
    /// Samples of each subject [default: 20, or 5 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// Fewer rounds; neither no-drop rates nor delays, nor more and more flows.
    #[arg(long)]
    quick: bool,
    /// Share of packets that may be lost at the no-drop rate, in percent.
    #[arg(long, default_value_t = 0.1, value_name = "PERCENT")]
    loss: f64,
    /// Only subjects whose name contains this text, and the bare redirect.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    picture: Picture,
}

#[derive(Args)]
struct Connections {
    /// Connections at a time.
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// Samples of each subject [default: 20, or 5 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// Fewer rounds.
    #[arg(long)]
    quick: bool,
    /// Only subjects whose name contains this text, and plain routing.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    picture: Picture,
}

#[derive(Args)]
struct Latency {
    /// Requests a second.
    #[arg(long, default_value_t = 300.0)]
    rate: f64,
    /// Samples of each situation [default: 8, or 2 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// Fewer rounds.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
struct Scale {
    /// Most flows; their table has twice as many places.
    #[arg(long, default_value_t = 4_000_000)]
    flows: u32,
    /// Samples of each row [default: 10, or 3 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// Fewer rounds.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
struct Compare {
    /// Result before the change, as `--json` wrote it.
    before: PathBuf,
    /// Result after it.
    after: PathBuf,
}

#[derive(Args)]
struct Sync {
    /// Connections that are told of in each measurement.
    #[arg(long, default_value_t = 1_000_000)]
    flows: u32,
    /// Connections a second at which lateness is measured.
    #[arg(long, default_value_t = 50_000)]
    pace: u32,
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
struct Health {
    /// Backends of the service.
    #[arg(long, default_value_t = 1000)]
    backends: u32,
    /// How many of them fail at once.
    #[arg(long, default_value_t = 200)]
    failing: u32,
    /// Probes, one each two seconds.
    #[arg(long, default_value_t = 5000)]
    probes: u32,
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
struct Ha {
    /// Faults of each kind at each interval [default: 100, or 5 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// A twentieth of the rounds.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
struct Fastpath {
    /// Flows in each flow table, which is half full with them.
    #[arg(long, default_value_t = 1_000_000)]
    flows: u32,
    /// Services of the director that shows how the cost grows with them; a power of two.
    #[arg(long, default_value_t = 512)]
    services: u16,
    /// Samples of each case [default: 40, or 8 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// A fifth of the rounds.
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Run on this CPU [default: the last].
    #[arg(long)]
    cpu: Option<usize>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    picture: Picture,
}

const ROUNDS: usize = 40;
const QUICK_ROUNDS: usize = 8;
const TURNS: usize = 20;
const QUICK_TURNS: usize = 5;
const FAULTS: usize = 100;
const QUICK_FAULTS: usize = 5;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let measured = match &cli.command {
        None => measure_page(&cli.page),
        Some(Command::Page(arguments)) => show_page(arguments),
        Some(Command::Fastpath(arguments)) => measure_fastpath(arguments),
        Some(Command::Throughput(arguments)) => measure_throughput(arguments),
        Some(Command::Connections(arguments)) => measure_connections(arguments),
        Some(Command::Latency(arguments)) => measure_latency(arguments),
        Some(Command::Scale(arguments)) => measure_scale(arguments),
        Some(Command::Ha(arguments)) => measure_ha(arguments),
        Some(Command::Sync(arguments)) => measure_sync(arguments),
        Some(Command::Health(arguments)) => measure_health(arguments),
        Some(Command::Compare(arguments)) => compare(arguments),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_page(arguments: &Quick) -> Result<()> {
    let mut files = arguments.files.open_with(&arguments.picture)?;
    let page = watched(|tell| page::run(tell))?;
    print!("{page}");
    files.keep("quick set", &page)?;
    files.draw(|| page.picture())
}

fn show_page(arguments: &Page) -> Result<()> {
    let page = documents::read(&arguments.result)?;
    print!("{page}");
    let repository = arguments.write.as_deref();
    repository.map_or(Ok(()), |repository| documents::show(&page, repository))
}

fn measure_throughput(arguments: &Throughput) -> Result<()> {
    let mut files = arguments.files.open_with(&arguments.picture)?;
    let rounds = if arguments.quick { QUICK_TURNS } else { TURNS };
    let family = if arguments.ipv6 { Family::V6 } else { Family::V4 };
    let new = arguments.new;
    let shortest = new.unwrap_or_default().shortest(family);
    let options = throughput::Options {
        flows: new.map_or(arguments.flows, |_| throughput::NEW_FLOWS),
        new,
        family,
        frames: arguments.frames.unwrap_or(Frames::Of(shortest)),
        rounds: arguments.rounds.unwrap_or(rounds),
        turn: Duration::from_millis(300),
        tolerated: arguments.loss / 100.0,
        delays: !arguments.quick,
        by_flows: if arguments.quick || arguments.filter.is_some() || new.is_some() {
            Vec::new()
        } else {
            throughput::flows::NUMBERS.to_vec()
        },
        filter: arguments.filter.clone(),
    };
    let report = watched(|tell| throughput::run(&options, tell))?;
    print!("{report}");
    files.keep("lab throughput", &report)?;
    files.draw(|| report.picture())
}

fn measure_connections(arguments: &Connections) -> Result<()> {
    let mut files = arguments.files.open_with(&arguments.picture)?;
    let rounds = if arguments.quick { QUICK_TURNS } else { TURNS };
    let options = connections::Options {
        clients: arguments.clients,
        rounds: arguments.rounds.unwrap_or(rounds),
        turn: Duration::from_millis(500),
        filter: arguments.filter.clone(),
    };
    let report = watched(|tell| connections::run(&options, tell))?;
    print!("{report}");
    files.keep("connections", &report)?;
    files.draw(|| {
        let unit = "thousand requests for a CPU second";
        of_subjects("Requests through one core", unit, &report.machine, &report.bars())
    })
}

fn measure_latency(arguments: &Latency) -> Result<()> {
    let mut files = arguments.files.open()?;
    let packets = throughput::Options {
        flows: 10_000,
        new: None,
        family: Family::V4,
        frames: Frames::Of(64),
        rounds: if arguments.quick { QUICK_TURNS } else { TURNS },
        turn: Duration::from_millis(300),
        tolerated: 0.001,
        delays: true,
        by_flows: Vec::new(),
        filter: None,
    };
    let requests = latency::Options {
        rate: arguments.rate,
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 2 } else { 8 }),
        turn: Duration::from_secs(2),
    };
    let report = watched(|tell| latency::Both::measure(&packets, &requests, tell))?;
    print!("{report}");
    files.keep("latency", &report)
}

fn measure_scale(arguments: &Scale) -> Result<()> {
    let mut files = arguments.files.open()?;
    let options = scale::Options {
        flows: arguments.flows,
        rounds: arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 10 }),
        places: 1 << 16,
    };
    let report = watched(|tell| scale::run(&options, tell))?;
    print!("{report}");
    files.keep("scale", &report)
}

fn compare(arguments: &Compare) -> Result<()> {
    let comparison = Comparison::of_files(&arguments.before, &arguments.after)?;
    print!("{comparison}");
    Ok(())
}

/// Does something that says what it is doing, which is shown where somebody watches.
fn watched<T>(work: impl FnOnce(&mut dyn FnMut(&str)) -> Result<T>) -> Result<T> {
    let is_watched = std::io::stderr().is_terminal();
    let done = work(&mut |doing| {
        if is_watched {
            eprint!("\r\x1b[K{doing} ");
        }
    });
    if is_watched {
        eprint!("\r\x1b[K");
    }
    done
}

fn measure_ha(arguments: &Ha) -> Result<()> {
    let rounds = if arguments.quick { QUICK_FAULTS } else { FAULTS };
    let options = ha::Options {
        rounds: arguments.rounds.unwrap_or(rounds),
        handovers: if arguments.quick { 2 } else { 10 },
    };
    let mut files = arguments.files.open()?;
    let report = watched(|tell| ha::run(&options, tell))?;
    print!("{report}");
    files.keep("ha", &ha::to_json(&report))
}

fn measure_sync(arguments: &Sync) -> Result<()> {
    let mut files = arguments.files.open()?;
    let report = sync::run(&sync::Options {
        flows: arguments.flows,
        pace: arguments.pace,
    })?;
    print!("{report}");
    files.keep("sync", &report)
}

fn measure_health(arguments: &Health) -> Result<()> {
    let mut files = arguments.files.open()?;
    let report = health::run(&health::Options {
        backends: arguments.backends,
        failing: arguments.failing.min(arguments.backends),
        probes: arguments.probes,
        rounds: QUICK_ROUNDS,
        watch: Duration::from_secs(10),
    })?;
    print!("{report}");
    files.keep("health", &report)
}

fn measure_fastpath(arguments: &Fastpath) -> Result<()> {
    let mut files = arguments.files.open_with(&arguments.picture)?;
    let rounds = arguments
        .rounds
        .unwrap_or(if arguments.quick { QUICK_ROUNDS } else { ROUNDS });
    let options = fastpath::Options {
        flows: arguments.flows,
        services: arguments.services,
        rounds,
        filter: arguments.filter.clone(),
        cpu: arguments.cpu,
    };
    let report = watched(|tell| fastpath::run(&options, tell))?;
    print!("{report}");
    files.keep("fastpath", &report)?;
    files.draw(|| report.picture())
}
