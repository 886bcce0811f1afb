//! `tandem director`

use std::io::Write;

use clap::{Args, Subcommand};

use super::{CliError, Exit, Show, leave, order, status};
use crate::api::{Client, orders::Verb as Order};

#[derive(Debug, Args)]
#[command(infer_subcommands = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows the director.
    #[command(visible_alias = "show")]
    List,
    /// No new flows through this director; those there are go on.
    Drain {
        #[command(flatten)]
        drain: order::Drain,
        /// Then end balancing, and the daemon. In a pair the VIPs are handed over first.
        #[arg(long)]
        exit: bool,
    },
    /// All backends out of service.
    Offline(order::Drain),
    /// Lifts every order there is.
    Ready(order::Ramp),
}

impl Arguments {
    pub(super) fn only_shows(&self) -> bool {
        matches!(self.verb, None | Some(Verb::List))
    }
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let about = order::About::default();
    match &arguments.verb {
        None | Some(Verb::List) => status::run(client, show).await,
        Some(Verb::Drain { drain, exit: true }) => leave::run(drain, client, show).await,
        Some(Verb::Drain { drain, exit: false }) => {
            order::drain(Order::Drain, &about, drain, client, show).await
        }
        Some(Verb::Offline(drain)) => order::drain(Order::Offline, &about, drain, client, show).await,
        Some(Verb::Ready(ramp)) => order::ready(&about, ramp, client, show).await,
    }
}
