//! `build`, and the two programs of the lab that people run: the demo and the measurements.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo::{cargo, executables};
use crate::program::{Root, run};
use crate::setup::{self, Purpose};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// `cargo xtask build`.
pub(crate) fn build(release: bool) -> Result<()> {
    setup::ensure(&[Purpose::Build])?;
    let mut build = cargo("build");
    build.arg("--workspace");
    if release {
        build.arg("--release");
    }
    run(&mut build)
}

/// `cargo xtask demo`.
pub(crate) fn demo(arguments: &Arguments) -> Result<ExitCode> {
    run_in_lab("demo", Purpose::Demo, arguments)
}

/// `cargo xtask bench`.
pub(crate) fn bench(arguments: &Arguments) -> Result<ExitCode> {
    run_in_lab("bench", Purpose::Bench, arguments)
}

/// Builds the daemon and `program` of the lab as the user, and runs the program as root in the user's directory.
/// The program says itself why it fails, and its exit code is ours.
fn run_in_lab(program: &str, purpose: Purpose, arguments: &Arguments) -> Result<ExitCode> {
    let root = Root::find("loading XDP programs")?;
    setup::ensure(&[purpose])?;
    let mut build = cargo("build");
    build.args([
        "--release",
        "--bins",
        "--package",
        "lb-userspace",
        "--package",
        "lb-tests",
    ]);
    let built = executables(&mut build)?;
    let executable = built
        .iter()
        .find(|executable| executable.name == program)
        .with_context(|| format!("package lb-tests has no binary {program}"))?;
    let mut command = root.command(&executable.path);
    let status = command
        .args(&arguments.arguments)
        .status()
        .with_context(|| format!("cannot start {}", executable.path.display()))?;
    if status.success() {
        return Ok(ExitCode::SUCCESS);
    }
    // A program that a signal ended has no code.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
