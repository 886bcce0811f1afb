//! `tandem bench`, a file a verb.

mod compare;
mod fastpath;
mod keep;
mod live;
mod throughput;

use std::{
    io::{IsTerminal as _, Write},
    thread,
};

use clap::{Args, Subcommand};
use tokio::{signal::ctrl_c, sync::oneshot};

use self::keep::Keep;
use super::{CliError, Exit, Show};
use crate::{api::Client, bench::interfaces::Refusal};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What a packet costs in the XDP program, in the memory of this machine: with a director that is made up, or with a copy of the
    /// one that runs here.
    Fastpath(fastpath::Fastpath),
    /// Packets a second and delays, out of one interface of this machine and back into another.
    Throughput(throughput::Throughput),
    /// What the program of this director costs, on the packets that come anyway.
    Live(live::Live),
    /// What has changed between two results, and how sure that is.
    Compare(compare::Compare),
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    match &arguments.what {
        What::Fastpath(arguments) => fastpath::run(arguments, client, show).await,
        What::Throughput(arguments) => throughput::run(arguments, show).await,
        What::Live(arguments) => live::run(arguments, client, show).await,
        What::Compare(arguments) => compare::run(arguments, show),
    }
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
