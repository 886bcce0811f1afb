//! `--watch`: the same command again and again, until somebody has seen enough.

use std::{
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::{Cli, CliError, Exit, run as show};

/// To the upper left corner, and everything from there on gone: what was there before stays until its successor is whole.
const HOME: &str = "\x1b[H\x1b[J";

/// Shows it until standard output takes no more. A daemon that does not answer may be back the next time.
///
/// On a terminal each round takes the place of the one before; elsewhere a blank line keeps text apart.
pub(super) async fn run(cli: &Cli, every: Duration, out: &mut impl Write) -> Result<Exit, CliError> {
    let screen = io::stdout().is_terminal() && !cli.json;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_first = true;
    loop {
        ticks.tick().await;
        let mut text = Vec::new();
        let outcome = show(cli, &mut text).await;
        if screen {
            out.write_all(HOME.as_bytes())?;
        } else if !is_first && !cli.json {
            writeln!(out)?;
        }
        out.write_all(&text)?;
        match outcome {
            Ok(_) => {}
            Err(error) if screen => writeln!(out, "tandem: {error}")?,
            Err(error) => {
                out.flush()?;
                eprintln!("tandem: {error}");
            }
        }
        out.flush()?;
        is_first = false;
    }
}
