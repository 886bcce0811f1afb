//! `cargo xtask bench`: measures the XDP program, the pair, sync, and what health checks cost.

use std::{
    fs::File,
    io::{BufWriter, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use lb_tests::bench::{fastpath, ha, health, sync};

/// Measures the XDP program, beside the targets.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
#[command(args_conflicts_with_subcommands = true, flatten_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    fastpath: Fastpath,
}

#[derive(Subcommand)]
enum Command {
    /// Nanoseconds a packet, by case (the default).
    Fastpath(Fastpath),
    /// Milliseconds until the other director takes over, by fault, and packets lost in planned handovers.
    Ha(Ha),
    /// What it costs to keep connections the same on two directors, how fast that is, and how late.
    Sync(Sync),
    /// From verdicts to the packet path, and what probes cost.
    Health(Health),
}

#[derive(Args)]
struct Sync {
    /// Connections that are told of in each measurement.
    #[arg(long, default_value_t = 1_000_000)]
    flows: u32,
    /// Connections a second at which lateness is measured.
    #[arg(long, default_value_t = 50_000)]
    pace: u32,
    /// Write the result to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    /// Write the result to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct Ha {
    /// Faults of each kind at each interval [default: 100, or 5 with --quick].
    #[arg(long)]
    rounds: Option<usize>,
    /// A twentieth of the rounds.
    #[arg(long)]
    quick: bool,
    /// Write the result to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    /// Write the result to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

const ROUNDS: usize = 40;
const QUICK_ROUNDS: usize = 8;
const FAULTS: usize = 100;
const QUICK_FAULTS: usize = 5;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let measured = match cli.command.unwrap_or(Command::Fastpath(cli.fastpath)) {
        Command::Fastpath(arguments) => measure_fastpath(&arguments),
        Command::Ha(arguments) => measure_ha(&arguments),
        Command::Sync(arguments) => measure_sync(&arguments),
        Command::Health(arguments) => measure_health(&arguments),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_ha(arguments: &Ha) -> Result<()> {
    let rounds = if arguments.quick { QUICK_FAULTS } else { FAULTS };
    let options = ha::Options {
        rounds: arguments.rounds.unwrap_or(rounds),
        handovers: if arguments.quick { 2 } else { 10 },
    };
    let mut json = arguments.json.as_deref().map(create).transpose()?;
    let is_watched = std::io::stderr().is_terminal();
    let report = ha::run(&options, |doing| {
        if is_watched {
            eprint!("\r\x1b[K{doing} ");
        }
    });
    if is_watched {
        eprint!("\r\x1b[K");
    }
    let report = report?;
    print!("{report}");
    if let Some(file) = &mut json {
        serde_json::to_writer_pretty(&mut *file, &ha::to_json(&report)).context("writing the JSON file")?;
        writeln!(file).context("writing the JSON file")?;
    }
    Ok(())
}

fn measure_sync(arguments: &Sync) -> Result<()> {
    let mut json = arguments.json.as_deref().map(create).transpose()?;
    let report = sync::run(&sync::Options {
        flows: arguments.flows,
        pace: arguments.pace,
    })?;
    print!("{report}");
    if let Some(file) = &mut json {
        serde_json::to_writer_pretty(&mut *file, &report).context("writing the JSON file")?;
        writeln!(file).context("writing the JSON file")?;
    }
    Ok(())
}

fn measure_health(arguments: &Health) -> Result<()> {
    let mut json = arguments.json.as_deref().map(create).transpose()?;
    let report = health::run(&health::Options {
        backends: arguments.backends,
        failing: arguments.failing.min(arguments.backends),
        probes: arguments.probes,
        rounds: QUICK_ROUNDS,
        watch: Duration::from_secs(10),
    })?;
    print!("{report}");
    if let Some(file) = &mut json {
        serde_json::to_writer_pretty(&mut *file, &report).context("writing the JSON file")?;
        writeln!(file).context("writing the JSON file")?;
    }
    Ok(())
}

/// Before the work of a minute, not after it.
fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn measure_fastpath(arguments: &Fastpath) -> Result<()> {
    let json = arguments.json.as_deref().map(create).transpose()?;
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
    let is_watched = std::io::stderr().is_terminal();
    let report = fastpath::run(&options, |round| {
        if is_watched {
            eprint!("\rround {} of {rounds} ", round + 1);
        }
    });
    if is_watched {
        eprint!("\r\x1b[K");
    }
    let report = report?;
    print!("{report}");
    if let Some(file) = json {
        let mut file = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut file, &report).context("writing the JSON file")?;
        writeln!(file)
            .and_then(|()| file.flush())
            .context("writing the JSON file")?;
    }
    Ok(())
}
