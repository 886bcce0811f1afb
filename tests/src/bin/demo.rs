//! `cargo xtask demo`.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use lb_tests::demo::{Options, Screen, Summary, run};

/// How far a backend's share may be from its weight, in percent points, before the demonstration counts as failed.
const TOLERANCE: f64 = 3.0;

/// Shows a director at work on real connections, in network namespaces that it makes and removes.
#[derive(Debug, Parser)]
#[command(name = "demo", max_term_width = 100)]
struct Args {
    /// Write the summary as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match show(&Args::parse()) {
        Ok(summary) if summary.is_good(TOLERANCE) => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("error: connections were broken, or shares are not what the weights ask for");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(args: &Args) -> Result<Summary> {
    let summary = run(&Options::default(), &mut Screen::new())?;
    summary.print(&mut std::io::stdout())?;
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&summary)? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(summary)
}
