//! `tandem events`

use std::{
    io::{self, Write},
    ops::ControlFlow,
};

use clap::{Args, Subcommand};

use super::{
    CliError, Exit, Show,
    table::{Table, numbers, words},
    units,
};
use crate::{
    api::{Client, query::EventFilter},
    core::event::{Record, Severity},
    notify::ReceiverView,
};

/// Events that are shown unless the operator asks for more.
const USUAL: u64 = 50;

#[derive(Debug, Args)]
#[command(infer_subcommands = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) struct Arguments {
    /// Go on with those that will happen, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// Only the latest so many [default: 50, with --follow 10, with -j all]
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
    /// Only those of these kinds, such as `backend.down` or `order.*`; may be repeated.
    #[arg(short, long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only those at least as severe: info, notice, warning or critical.
    #[arg(long, value_name = "SEVERITY")]
    severity: Option<Severity>,
    /// Only those about this service, or a backend of it.
    #[arg(short, long, value_name = "NAME")]
    service: Option<String>,
    /// Only those about the backend of this name.
    #[arg(short, long, value_name = "NAME")]
    backend: Option<String>,
    /// Only those with a greater number.
    #[arg(long, value_name = "NUMBER", conflicts_with = "limit")]
    after: Option<u64>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows who is told of events, and how that goes.
    Receivers,
}

impl Arguments {
    fn filter(&self, json: bool) -> EventFilter {
        let usual = match (self.follow, json) {
            _ if self.after.is_some() => None,
            (true, _) => Some(10),
            (false, true) => None,
            (false, false) => Some(USUAL),
        };
        EventFilter {
            kind: (!self.kind.is_empty()).then(|| self.kind.join(",")),
            severity: self.severity,
            service: self.service.clone(),
            backend: self.backend.clone(),
            limit: self.limit.or(usual),
            after: self.after,
            follow: self.follow,
        }
    }
}

impl Arguments {
    pub(super) fn only_shows(&self) -> bool {
        !self.follow
    }
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    if let Some(Verb::Receivers) = arguments.verb {
        let receivers = client.event_receivers().await?;
        if show.json {
            show.json(&receivers)?;
        } else {
            render_receivers(&receivers, show.out)?;
        }
        return Ok(Exit::Success);
    }
    let filter = arguments.filter(show.json);
    if arguments.follow {
        follow(&filter, client, show).await?;
        return Ok(Exit::Success);
    }
    let mut events = Vec::new();
    let visited = client.visit_events(&filter, |event| {
        events.push(event);
        ControlFlow::Continue(())
    });
    visited.await?;
    if show.json {
        show.json(&events)?;
    } else {
        render(&events, show.out)?;
    }
    Ok(Exit::Success)
}

/// One line an event, each written at once: somebody is waiting for it.
async fn follow<W: Write>(
    filter: &EventFilter,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<(), CliError> {
    let mut written = Ok(());
    let visited = client.visit_events(filter, |event| {
        written = if show.json {
            show.json(&event)
        } else {
            writeln!(show.out, "{}", line(&event)).map_err(CliError::from)
        };
        written = std::mem::replace(&mut written, Ok(())).and_then(|()| Ok(show.out.flush()?));
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let visited = visited.await;
    written?;
    Ok(visited?)
}

fn line(event: &Record) -> String {
    format!(
        "{}  {:<8}  {:<24}  {:<16}  {}",
        time(event),
        event.severity,
        event.kind,
        event.subject,
        first_line(event)
    )
}

fn render(events: &[Record], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new([
        numbers("NUMBER"),
        words("TIME (UTC)"),
        words("SEVERITY"),
        words("KIND"),
        words("SUBJECT"),
        words("WHAT"),
    ]);
    for event in events {
        table.row(vec![
            event.number.to_string(),
            time(event),
            event.severity.to_string(),
            event.kind.clone(),
            event.subject.to_string(),
            first_line(event),
        ]);
    }
    table.flush(out)
}

/// `2026-01-31 23:59:59.000`
fn time(event: &Record) -> String {
    event.time.to_string().replace('T', " ").replace('Z', "")
}

/// A configuration's errors take several lines, and a table has one a row.
fn first_line(event: &Record) -> String {
    let mut lines = event.text.lines();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() {
        format!("{first} …")
    } else {
        first.to_owned()
    }
}

fn render_receivers(receivers: &[ReceiverView], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new([
        words("RECEIVER"),
        words("KIND"),
        numbers("TOLD"),
        numbers("FAILED"),
        numbers("LOST"),
        words("LAST ERROR"),
    ]);
    for receiver in receivers {
        table.row(vec![
            receiver.name.clone(),
            receiver.kind.clone(),
            units::count(receiver.delivered),
            units::count(receiver.failed),
            units::count(receiver.lost),
            receiver.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.flush(out)
}

#[cfg(test)]
mod tests {
    use super::{super::testdata::golden, *};

    #[test]
    fn looks_as_documented() {
        golden("events", |events: &Vec<_>, out| render(events, out));
        golden("event_receivers", |receivers: &Vec<_>, out| {
            render_receivers(receivers, out)
        });
    }
}
