//! The daemon's binary.

use std::process::ExitCode;

use clap::Parser as _;
use lb_userspace::{cli, daemon};

fn main() -> ExitCode {
    let args = daemon::Args::parse();
    match args.drain_and_exit {
        // A daemon is running, and is told so like by anybody else.
        Some(deadline) => cli::drain_and_exit(&args.socket, deadline),
        None => daemon::main(&args),
    }
}
