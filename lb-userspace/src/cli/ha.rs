//! `tandem ha`

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::{
    CliError, Exit, Show,
    table::{Table, numbers, words},
    units,
};
use crate::api::{
    Client,
    types::{CountView, HaView, InstanceView},
};

#[derive(Debug, Args)]
#[command(infer_subcommands = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows all instances, or one.
    #[command(visible_alias = "show")]
    List {
        /// Name of the instance.
        instance: Option<String>,
    },
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let mut view = client.ha().await?;
    if let Some(Verb::List {
        instance: Some(instance),
    }) = &arguments.verb
    {
        let known: Vec<_> = view.instances.iter().map(|view| view.name.clone()).collect();
        view.instances.retain(|view| view.name == *instance);
        if view.instances.is_empty() {
            let (kind, name) = ("instance", instance.clone());
            return Err(CliError::NotFound { kind, name, known });
        }
    }
    if show.json {
        show.json(&view)?;
    } else {
        render(&view, show.out)?;
    }
    Ok(Exit::Success)
}

fn render(view: &HaView, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "director {}", view.director)?;
    if view.instances.is_empty() {
        return writeln!(
            out,
            "no [[instance]] is configured: this director is the only one"
        );
    }
    writeln!(out)?;
    let mut table = Table::new([
        words("INSTANCE"),
        words("ROLE"),
        numbers("SINCE"),
        words("INTERFACE"),
        numbers("VRID"),
        numbers("PRIORITY"),
        words("HEARD"),
        words("VIPS"),
    ]);
    for instance in &view.instances {
        rows(instance, &mut table);
    }
    table.flush(out)?;
    for instance in &view.instances {
        for sentence in sentences(instance) {
            writeln!(out, "{}: {sentence}", instance.name)?;
        }
    }
    for port in &view.interfaces {
        if let Some(error) = &port.last_error {
            writeln!(
                out,
                "{}: {error} ({} times)",
                port.name,
                units::count(port.errors)
            )?;
        }
    }
    refused("other virtual routers", &view.refused, out)?;
    for instance in &view.instances {
        for router in &instance.routers {
            refused(&instance.name, &router.refused, out)?;
        }
    }
    Ok(())
}

/// One row a VIP; what was heard stands in the first ones.
fn rows(instance: &InstanceView, table: &mut Table) {
    let heard: Vec<String> = instance
        .routers
        .iter()
        .filter_map(|router| router.heard.as_ref())
        .map(|heard| {
            let age = units::milliseconds(heard.age_milliseconds);
            format!("{} ({}) {age} ago", heard.source, heard.priority)
        })
        .collect();
    let since = instance.since_seconds.map_or("-".to_owned(), units::seconds);
    let mut first = vec![
        instance.name.clone(),
        instance.role.name().to_owned(),
        since,
        instance.interface.clone(),
        instance.vrid.to_string(),
        instance.priority.to_string(),
    ];
    for row in 0..instance.vips.len().max(heard.len()) {
        let mut cells = std::mem::replace(&mut first, vec![String::new(); 6]);
        let none = if row == 0 { "-" } else { "" };
        cells.push(heard.get(row).map_or(none, String::as_str).to_owned());
        cells.push(instance.vips.get(row).map_or(String::new(), ToString::to_string));
        table.row(cells);
    }
}

fn sentences(instance: &InstanceView) -> Vec<String> {
    let mut sentences = Vec::new();
    if instance.unfit.is_empty() {
        let because = instance.reason.as_ref();
        sentences.extend(because.map(|reason| format!("{} because {reason}", instance.role.name())));
    } else {
        sentences.push(format!("out: {}", instance.unfit.join("; ")));
    }
    let differing = [("VIPs", false), ("advert_interval", true)]
        .into_iter()
        .filter(|(_, interval)| {
            instance.routers.iter().any(|router| {
                let count = if *interval {
                    router.differing_interval
                } else {
                    router.differing_addresses
                };
                count > 0
            })
        });
    sentences
        .extend(differing.map(|(what, _)| format!("another director advertised a different set of {what}")));
    sentences
}

fn refused(whose: &str, counts: &[CountView], out: &mut impl Write) -> io::Result<()> {
    for CountView { sentence, count, .. } in counts {
        writeln!(out, "{whose}: refused {}: {sentence}", units::count(*count))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::testdata::golden, render};

    #[test]
    fn looks_as_documented() {
        golden("ha", render);
    }
}
