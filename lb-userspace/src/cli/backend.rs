//! `tandem backend`

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::{
    CliError, Exit, Show, order,
    table::{Table, numbers, words},
    units,
};
use crate::{
    api::{
        Client,
        orders::{Covered, Verb as Order},
        types::{BackendState, BackendView},
    },
    config::Time,
};

#[derive(Debug, Args)]
#[command(infer_subcommands = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) struct Arguments {
    /// Only those of this service.
    #[arg(short, long, global = true, value_name = "NAME")]
    service: Option<String>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows all backends, or one.
    #[command(visible_alias = "show")]
    List {
        /// Name or address of the backend.
        backend: Option<String>,
    },
    /// No new flows to it; those there are go on until they end.
    Drain {
        /// Name or address of the backend.
        backend: String,
        #[command(flatten)]
        drain: order::Drain,
    },
    /// Out of service at once: no new flows, and those there are are ended.
    Offline {
        /// Name or address of the backend.
        backend: String,
        #[command(flatten)]
        drain: order::Drain,
    },
    /// Lifts what was ordered for it.
    Ready {
        /// Name or address of the backend.
        backend: String,
        #[command(flatten)]
        ramp: order::Ramp,
    },
    /// As if it were not configured, until the configuration has followed; refused while it has flows.
    Remove {
        /// Name or address of the backend.
        backend: String,
        #[command(flatten)]
        manner: order::Manner,
    },
    /// Another weight than the configured one.
    Weight {
        /// Name or address of the backend.
        backend: String,
        /// 0 to 65535.
        weight: u32,
        #[command(flatten)]
        manner: order::Manner,
    },
    /// Waits until it is drained or healthy.
    Wait {
        /// Name or address of the backend.
        backend: String,
        /// What to wait for.
        #[arg(long, value_name = "STATE")]
        until: order::Until,
        /// How long at most, such as 10m; then the exit code is 5.
        #[arg(long, value_name = "TIME")]
        within: Option<Time>,
    },
}

impl Arguments {
    pub(super) fn only_shows(&self) -> bool {
        matches!(self.verb, None | Some(Verb::List { .. }))
    }
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let about = |backend| order::About {
        backend: Some(backend),
        service: arguments.service.as_deref(),
    };
    match &arguments.verb {
        None => list(arguments, None, client, show).await,
        Some(Verb::List { backend }) => list(arguments, backend.as_deref(), client, show).await,
        Some(Verb::Drain { backend, drain }) => {
            order::drain(Order::Drain, &about(backend), drain, client, show).await
        }
        Some(Verb::Offline { backend, drain }) => {
            order::drain(Order::Offline, &about(backend), drain, client, show).await
        }
        Some(Verb::Ready { backend, ramp }) => order::ready(&about(backend), ramp, client, show).await,
        Some(Verb::Remove { backend, manner }) => order::remove(&about(backend), manner, client, show).await,
        Some(Verb::Weight {
            backend,
            weight,
            manner,
        }) => order::weight(*weight, &about(backend), manner, client, show).await,
        Some(Verb::Wait {
            backend,
            until,
            within,
        }) => {
            let found = chosen(arguments, Some(backend), client).await?;
            let whom: Vec<Covered> = found.iter().map(covered).collect();
            order::wait(&whom, *until, within.map(|Time(within)| within), client).await
        }
    }
}

fn covered(backend: &BackendView) -> Covered {
    Covered {
        service: backend.service.clone(),
        backend: backend.name.clone(),
        address: backend.address,
    }
}

async fn list<W: Write>(
    arguments: &Arguments,
    name: Option<&str>,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let backends = chosen(arguments, name, client).await?;
    if show.json {
        show.json(&backends)?;
    } else {
        render(&backends, show.out)?;
    }
    Ok(Exit::Success)
}

/// The backends that the command line names.
async fn chosen(
    arguments: &Arguments,
    name: Option<&str>,
    client: &Client,
) -> Result<Vec<BackendView>, CliError> {
    let mut backends = client.backends().await?;
    if let Some(service) = &arguments.service {
        // A service may have no backends at all.
        let services = client.services().await?;
        let known: Vec<_> = services.into_iter().map(|service| service.name).collect();
        backends.retain(|backend| backend.service == *service);
        if backends.is_empty() && !known.contains(service) {
            let (kind, name) = ("service", service.clone());
            return Err(CliError::NotFound { kind, name, known });
        }
    }
    match name {
        Some(name) => named(backends, name),
        None => Ok(backends),
    }
}

/// The backends that are called `name`, or have it as their address.
pub(super) fn named(mut backends: Vec<BackendView>, name: &str) -> Result<Vec<BackendView>, CliError> {
    let mut known: Vec<_> = backends.iter().map(|backend| backend.name.clone()).collect();
    let address = name.parse().ok();
    backends.retain(|backend| backend.name == name || Some(backend.address) == address);
    if backends.is_empty() {
        // Services may have a backend of the same name each.
        known.sort();
        known.dedup();
        let (kind, name) = ("backend", name.to_owned());
        return Err(CliError::NotFound { kind, name, known });
    }
    Ok(backends)
}

fn render(backends: &[BackendView], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new([
        words("SERVICE"),
        words("BACKEND"),
        words("ADDRESS"),
        words("STATE"),
        numbers("WEIGHT"),
        numbers("SHARE"),
        words("MAC"),
        words("INTERFACE"),
        numbers("FLOWS"),
        numbers("ACTIVE"),
        numbers("NEW"),
        numbers("PACKETS"),
        numbers("BYTES"),
    ]);
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    for backend in backends {
        table.row(vec![
            backend.service.clone(),
            backend.name.clone(),
            backend.address.to_string(),
            state(backend).to_owned(),
            weight(backend),
            backend.share.map_or_else(|| "-".to_owned(), units::percent),
            known(&backend.mac),
            known(&backend.interface),
            units::count(backend.flows),
            units::count(backend.active_flows),
            units::count(backend.new_flows),
            units::count(backend.packets),
            units::bytes(backend.bytes),
        ]);
    }
    table.flush(out)?;
    for backend in backends {
        if let BackendState::Unresolved { reason } | BackendState::Down { reason } = &backend.state {
            writeln!(out, "{}/{}: {reason}", backend.service, backend.name)?;
        }
        let checks = backend.health.iter().flat_map(|health| &health.checks);
        for check in checks {
            if let Some(director) = &check.found_by {
                writeln!(
                    out,
                    "{}/{}: {}: {}, as {director} found; not checked here yet",
                    backend.service, backend.name, check.check, check.state
                )?;
            }
            if let Some(warning) = &check.warning {
                writeln!(
                    out,
                    "{}/{}: {}: {warning}",
                    backend.service, backend.name, check.check
                )?;
            }
        }
        if let Some(drain) = &backend.drain {
            let what = order::describe(backend, drain);
            writeln!(out, "{}/{}: {what}", backend.service, backend.name)?;
        }
    }
    Ok(())
}

/// One word for what new connections may expect of it.
fn state(backend: &BackendView) -> &'static str {
    match backend.state {
        BackendState::Ready if backend.full => "full",
        BackendState::Ready if backend.backup && backend.share.is_none() => "standby",
        _ => backend.state.name(),
    }
}

/// The weight in force, and the configured one where it is another.
fn weight(backend: &BackendView) -> String {
    if backend.effective_weight == backend.weight {
        backend.weight.to_string()
    } else {
        format!("{}/{}", backend.effective_weight, backend.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testdata::{self, golden},
        *,
    };

    #[test]
    fn looks_as_documented() {
        golden("backends", |backends: &Vec<_>, out| render(backends, out));
    }

    #[test]
    fn a_backend_is_found_by_name_and_by_address() {
        let backends: Vec<BackendView> = testdata::view("backends");
        for name in ["web2", "10.0.0.12"] {
            let found = named(backends.clone(), name).unwrap();
            assert!(found.iter().all(|backend| backend.name == "web2"), "{found:?}");
            assert_eq!(found.len(), 1);
        }
        let error = named(backends, "web").unwrap_err().to_string();
        assert!(
            error.starts_with("no backend is called `web`; there are "),
            "{error}"
        );
    }
}
