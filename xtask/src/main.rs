//! The project's own commands: `cargo xtask setup|build|test|demo|bench|lint|dist|book|kernel`.

mod apt;
mod book;
mod cargo;
mod dist;
mod kernel;
mod lint;
mod miri;
mod program;
mod run;
mod schemathesis;
mod setup;
mod tally;
mod test;
mod tool;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::setup::Purpose;

/// Set-up, build, test, demo, bench, lint and packages of Tandem.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing on this machine; says what and why, and does nothing where all is there.
    Setup {
        /// What for [default: everything].
        #[arg(long = "for", value_enum, value_name = "PURPOSE")]
        purposes: Vec<Purpose>,
    },
    /// Build everything, XDP programs included.
    Build {
        /// With optimisation.
        #[arg(long)]
        release: bool,
    },
    /// Run the tests: first those of an ordinary user, then those that need root (with sudo).
    Test(test::Arguments),
    /// Watch real clients reach real servers through an XDP director.
    #[command(disable_help_flag = true)]
    Demo(run::Arguments),
    /// Measure the XDP programs and whole paths, beside others: the quick set, or what a word asks for.
    #[command(disable_help_flag = true)]
    Bench(run::Arguments),
    /// Make packages for Debian and for systems with RPM.
    Dist(dist::Arguments),
    /// Make a book of the documents, below `target/book`.
    Book,
    /// Boot the oldest kernel that is supported in a virtual machine, and forward with it.
    Kernel(kernel::Arguments),
    /// Check format, clippy, dependencies and the rules of the house.
    Lint,
}

fn main() -> ExitCode {
    execute(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Demo(arguments) => return run::demo(&arguments),
        Command::Bench(arguments) => return run::bench(&arguments),
        Command::Setup { purposes } if purposes.is_empty() => setup::ensure(Purpose::ALL),
        Command::Setup { purposes } => setup::ensure(&purposes),
        Command::Build { release } => run::build(release),
        Command::Test(arguments) => test::test(&arguments),
        Command::Lint => lint::lint(),
        Command::Dist(arguments) => dist::dist(&arguments),
        Command::Book => book::book(),
        Command::Kernel(arguments) => kernel::kernel(&arguments),
    };
    done.map(|()| ExitCode::SUCCESS)
}
