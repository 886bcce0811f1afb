//! `tandem bench live`

use std::{io::Write, time::Duration};

use clap::Args;

use super::{CliError, Exit, Keep, Show, watched};
use crate::{
    api::Client,
    bench::{interfaces::examine_admin, live},
    cli::patience,
    net::Netlink,
};

#[derive(Debug, Args)]
pub(super) struct Live {
    /// Interface whose program is watched; may be given several times [default: those of the running daemon]
    #[arg(short, long, value_name = "NAME")]
    interface: Vec<String>,
    /// How long.
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = patience)]
    seconds: Duration,
    #[command(flatten)]
    keep: Keep,
}

pub(super) async fn run<W: Write>(
    arguments: &Live,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    examine_admin().map_err(CliError::Bench)?;
    let files = arguments.keep.open()?;
    let mut names = arguments.interface.clone();
    if names.is_empty() {
        let status = client.status().await?;
        names = status
            .interfaces
            .into_iter()
            .map(|interface| interface.name)
            .collect();
    }
    let netlink = Netlink::open().map_err(|error| CliError::Bench(error.into()))?;
    let mut facts = Vec::new();
    for name in &names {
        let seen = netlink.link_facts(name).await;
        facts.push(seen.map_err(|error| CliError::Bench(error.into()))?);
    }
    let seconds = arguments.seconds;
    let report = watched(move |tell| live::run(&facts, seconds, tell)).await?;
    files.present("live", &report, || report.picture(), show)
}
