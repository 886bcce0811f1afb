//! `cargo xtask bench`: measures the XDP program.

use std::{
    fs::File,
    io::{BufWriter, IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use lb_tests::bench::fastpath;

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

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Command::Fastpath(arguments) = cli.command.unwrap_or(Command::Fastpath(cli.fastpath));
    match measure_fastpath(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure_fastpath(arguments: &Fastpath) -> Result<()> {
    // Before the work of a minute, not after it.
    let json = arguments.json.as_ref().map(|path| {
        let file = File::create(path);
        file.with_context(|| format!("cannot write {}", path.display()))
    });
    let json = json.transpose()?;
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
