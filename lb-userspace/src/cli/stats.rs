//! `tandem stats`

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use clap::Args;

use super::{
    CliError, Exit, Show,
    table::{Table, numbers, words},
    units,
};
use crate::api::{
    Client,
    types::{Family, Fate, StateName, StatsView},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Also what never happened.
    #[arg(short, long)]
    all: bool,
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let stats = client.stats().await?;
    if show.json {
        show.json(&stats)?;
    } else {
        render(&stats, arguments.all, show.out)?;
    }
    Ok(Exit::Success)
}

fn render(stats: &StatsView, all: bool, out: &mut impl Write) -> io::Result<()> {
    let (packets, bytes) = (units::count(stats.packets), units::bytes(stats.bytes));
    writeln!(out, "forwarded  {packets} packets, {bytes}")?;
    writeln!(out, "new flows  {}", units::count(stats.new_flows))?;
    let census = stats.census_age_seconds.map(units::seconds);
    let census = census.map_or_else(|| "not yet".to_owned(), |age| format!("{age} ago"));
    writeln!(out, "census     {census}")?;
    writeln!(out)?;
    tables(stats).flush(out)?;
    writeln!(out)?;
    reasons(stats, all).flush(out)?;
    writeln!(out)?;
    events(stats, all).flush(out)
}

/// A row a table; a column for each state in which there are flows.
fn tables(stats: &StatsView) -> Table {
    let counts = || stats.tables.iter().flat_map(|table| &table.by_state);
    let states: BTreeSet<StateName> = counts()
        .filter(|count| count.flows > 0)
        .map(|count| count.state)
        .collect();
    let columns = [
        words("TABLE"),
        numbers("PLACES"),
        numbers("FLOWS"),
        numbers("FULL"),
    ];
    let headings = states
        .iter()
        .map(|state| numbers(state.to_string().to_uppercase()));
    let mut table = Table::new(columns.into_iter().chain(headings));
    for of_family in &stats.tables {
        let full = of_family.flows as f64 / of_family.places.max(1) as f64;
        let mut row = vec![
            match of_family.family {
                Family::Ipv4 => "ipv4".to_owned(),
                Family::Ipv6 => "ipv6".to_owned(),
            },
            of_family.places.to_string(),
            units::count(of_family.flows),
            units::percent(full),
        ];
        let shown = of_family
            .by_state
            .iter()
            .filter(|count| states.contains(&count.state));
        row.extend(shown.map(|count| units::count(count.flows)));
        table.row(row);
    }
    table
}

fn reasons(stats: &StatsView, all: bool) -> Table {
    let mut table = Table::new([
        words("NOT FORWARDED"),
        words("FATE"),
        numbers("PACKETS"),
        words("WHY"),
    ]);
    for reason in stats.reasons.iter().filter(|reason| all || reason.packets > 0) {
        let fate = match reason.fate {
            Fate::Pass => "pass",
            Fate::Drop => "drop",
            Fate::Answer => "answer",
        };
        table.row(vec![
            reason.slug.clone(),
            fate.to_owned(),
            units::count(reason.packets),
            reason.sentence.clone(),
        ]);
    }
    table
}

fn events(stats: &StatsView, all: bool) -> Table {
    let mut table = Table::new([words("EVENT"), numbers("COUNT"), words("WHAT")]);
    for event in stats.events.iter().filter(|event| all || event.count > 0) {
        table.row(vec![
            event.slug.clone(),
            units::count(event.count),
            event.sentence.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use lb_common::{abi::Event, reason::Reason};

    use super::{
        super::testdata::{self, golden},
        *,
    };

    #[test]
    fn looks_as_documented() {
        golden("stats", |stats, out| render(stats, false, out));
    }

    #[test]
    fn what_never_happened_is_shown_on_request() {
        let stats: StatsView = testdata::view("stats");
        let shown = |all| {
            let mut out = Vec::new();
            render(&stats, all, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for (slug, count) in (stats.reasons.iter().map(|reason| (&reason.slug, reason.packets)))
            .chain(stats.events.iter().map(|event| (&event.slug, event.count)))
        {
            assert!(shown(true).contains(slug.as_str()), "{slug}");
            assert_eq!(shown(false).contains(slug.as_str()), count > 0, "{slug}");
        }
    }

    #[test]
    fn the_example_has_every_reason_and_event() {
        let stats: StatsView = testdata::view("stats");
        let slugs: Vec<_> = stats.reasons.iter().map(|reason| reason.slug.as_str()).collect();
        assert_eq!(
            slugs,
            Reason::ALL.iter().map(|reason| reason.slug()).collect::<Vec<_>>()
        );
        let slugs: Vec<_> = stats.events.iter().map(|event| event.slug.as_str()).collect();
        assert_eq!(slugs, Event::ALL.map(Event::slug));
    }
}
