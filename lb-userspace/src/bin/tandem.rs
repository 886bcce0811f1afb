//! The `tandem` command line.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    lb_userspace::cli::main(env::args_os())
}
