//! `tandem service`

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::{
    CliError, Exit, Show, ipvsadm, order,
    table::{Table, numbers, words},
    units,
};
use crate::api::{Client, orders::Verb as Order, types::ServiceView};

#[derive(Debug, Args)]
#[command(infer_subcommands = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) struct Arguments {
    /// As `ipvsadm -Ln` shows it, for scripts that read that.
    #[arg(long, conflicts_with = "json")]
    ipvsadm: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

impl Arguments {
    pub(super) fn only_shows(&self) -> bool {
        matches!(self.verb, None | Some(Verb::List { .. }))
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows all services, or one.
    #[command(visible_alias = "show")]
    List {
        /// Name of the service.
        name: Option<String>,
    },
    /// No new flows to any backend of it; those there are go on.
    Drain {
        /// Name of the service.
        name: String,
        #[command(flatten)]
        drain: order::Drain,
    },
    /// All its backends out of service.
    Offline {
        /// Name of the service.
        name: String,
        #[command(flatten)]
        drain: order::Drain,
    },
    /// Lifts what was ordered for it and for its backends.
    Ready {
        /// Name of the service.
        name: String,
        #[command(flatten)]
        ramp: order::Ramp,
    },
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let about = |service| order::About {
        backend: None,
        service: Some(service),
    };
    match &arguments.verb {
        None if arguments.ipvsadm => {
            let (services, backends) = (client.services().await?, client.backends().await?);
            ipvsadm::render(&services, &backends, show.out)?;
            Ok(Exit::Success)
        }
        None => list(None, client, show).await,
        Some(Verb::List { name }) => list(name.as_ref(), client, show).await,
        Some(Verb::Drain { name, drain }) => {
            order::drain(Order::Drain, &about(name), drain, client, show).await
        }
        Some(Verb::Offline { name, drain }) => {
            order::drain(Order::Offline, &about(name), drain, client, show).await
        }
        Some(Verb::Ready { name, ramp }) => order::ready(&about(name), ramp, client, show).await,
    }
}

async fn list<W: Write>(
    name: Option<&String>,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let mut services = client.services().await?;
    if let Some(name) = name {
        let known: Vec<_> = services.iter().map(|service| service.name.clone()).collect();
        services.retain(|service| service.name == *name);
        if services.is_empty() {
            let (kind, name) = ("service", name.clone());
            return Err(CliError::NotFound { kind, name, known });
        }
    }
    if show.json {
        show.json(&services)?;
    } else {
        render(&services, show.out)?;
    }
    Ok(Exit::Success)
}

fn render(services: &[ServiceView], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new([
        words("SERVICE"),
        words("FRONTENDS"),
        words("SCHEDULER"),
        words("FORWARD"),
        numbers("SLOTS"),
        numbers("READY"),
        numbers("FLOWS"),
        numbers("NEW"),
        numbers("PACKETS"),
        numbers("BYTES"),
    ]);
    for service in services {
        let mut frontends = service.frontends.iter();
        table.row(vec![
            service.name.clone(),
            frontends.next().cloned().unwrap_or_default(),
            service.scheduler.to_string(),
            service.method(),
            service.table_size.to_string(),
            format!("{}/{}", service.backends_ready, service.backends),
            units::count(service.flows),
            units::count(service.new_flows),
            units::count(service.packets),
            units::bytes(service.bytes),
        ]);
        for frontend in frontends {
            table.row(vec![String::new(), frontend.clone()]);
        }
    }
    table.flush(out)?;
    for service in services.iter().filter(|service| !service.has_quorum) {
        writeln!(
            out,
            "{}: no quorum: too few of its backends serve (`tandem backend --service {}`)",
            service.name, service.name
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::testdata::golden, render};

    #[test]
    fn looks_as_documented() {
        golden("services", |services: &Vec<_>, out| render(services, out));
    }
}
