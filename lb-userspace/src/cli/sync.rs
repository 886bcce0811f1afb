//! `tandem sync`

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::{
    CliError, Exit, Show,
    table::{Table, numbers, words},
    units,
};
use crate::api::{
    Client,
    types::{ComparisonView, SyncPeerView, SyncPhase, SyncState, SyncView, VerifyRequest, VerifyView},
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
    /// Shows how far connections are synchronised, and with whom.
    #[command(visible_alias = "show")]
    List,
    /// Compares the tables of all directors now; exit code 1 if they differ, or somebody does not answer.
    Verify {
        /// How many of the connections that were missing or known otherwise here are listed; 64 by default, a million at most.
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
    },
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    match &arguments.verb {
        None | Some(Verb::List) => list(client, show).await,
        Some(Verb::Verify { limit }) => verify(&VerifyRequest { limit: *limit }, client, show).await,
    }
}

async fn verify<W: Write>(
    request: &VerifyRequest,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let view = client.verify(request).await?;
    if show.json {
        show.json(&view)?;
    } else {
        render_verified(&view, show.out)?;
    }
    let is_equal = |peer: &ComparisonView| peer.divergence.is_some_and(|found| found.total() == 0);
    let is_good = !view.peers.is_empty() && view.peers.iter().all(is_equal);
    Ok(if is_good { Exit::Success } else { Exit::Negative })
}

fn render_verified(view: &VerifyView, out: &mut impl Write) -> io::Result<()> {
    if view.peers.is_empty() {
        return writeln!(out, "director {}: there is nobody to compare with", view.director);
    }
    for ComparisonView { name, divergence } in &view.peers {
        match divergence {
            None => writeln!(out, "{name}: no answer in time")?,
            Some(found) if found.total() == 0 => writeln!(
                out,
                "{name}: the same, all {} connections",
                units::count(found.compared)
            )?,
            Some(found) => writeln!(
                out,
                "{name}: {:.2} % the same; of {} connections {} are only here, {} only there, and {} otherwise there; \
                 they are being mended",
                found.equal_percent(),
                units::count(found.compared),
                units::count(found.only_here),
                units::count(found.only_there),
                units::count(found.otherwise),
            )?,
        }
    }
    for flow in &view.mended {
        let what = if flow.was_known {
            "was otherwise here"
        } else {
            "was missing here"
        };
        writeln!(out, "{} {} -> {} {what}", flow.protocol, flow.client, flow.vip)?;
    }
    let left = view.all_mended.saturating_sub(view.mended.len() as u64);
    if left > 0 {
        writeln!(
            out,
            "{} more differed here; --limit lists more",
            units::count(left)
        )?;
    }
    Ok(())
}

async fn list<W: Write>(client: &Client, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let view = client.sync().await?;
    if show.json {
        show.json(&view)?;
    } else {
        render(&view, show.out)?;
    }
    Ok(Exit::Success)
}

fn render(view: &SyncView, out: &mut impl Write) -> io::Result<()> {
    let Some(sync) = &view.sync else {
        writeln!(out, "director {}", view.director)?;
        return writeln!(
            out,
            "no [sync] is configured: connections are known to this director alone"
        );
    };
    writeln!(out, "director {}: {}", view.director, state(sync))?;
    writeln!(
        out,
        "by {} to {}, port {}",
        sync.interface,
        sync.to.join(", "),
        sync.port
    )?;
    writeln!(
        out,
        "told {} connections in {} updates, {} of which were repeated; {} overrun",
        units::count(sync.sent.connections),
        units::count(sync.sent.updates),
        units::count(sync.sent.repeated),
        units::count(sync.overrun),
    )?;
    writeln!(
        out,
        "took in {} new and {} changed connections, {} of them by comparing tables",
        units::count(sync.updates.new + sync.repairs.new),
        units::count(sync.updates.changed + sync.repairs.changed),
        units::count(sync.repairs.new + sync.repairs.changed),
    )?;
    writeln!(out)?;
    if sync.peers.is_empty() {
        writeln!(out, "no other director was heard")?;
    } else {
        peers(&sync.peers, out)?;
    }
    for sentence in sentences(sync) {
        writeln!(out, "{sentence}")?;
    }
    if let Some(error) = &sync.last_error {
        writeln!(
            out,
            "{}: {error} ({} times)",
            sync.interface,
            units::count(sync.errors)
        )?;
    }
    for refused in &sync.refused {
        writeln!(
            out,
            "refused {}: {}",
            units::count(refused.count),
            refused.sentence
        )?;
    }
    Ok(())
}

fn state(sync: &SyncState) -> String {
    match sync.phase {
        SyncPhase::InSync if !sync.peers.iter().any(|peer| peer.with_us) => "alone".to_owned(),
        SyncPhase::Joining => format!("joining, {:.1} % fetched", f64::from(sync.joined_permille) / 10.0),
        phase => phase.words().to_owned(),
    }
}

fn peers(peers: &[SyncPeerView], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new([
        words("DIRECTOR"),
        words("STATE"),
        numbers("HEARD"),
        numbers("CONNECTIONS"),
        numbers("POSITION"),
        numbers("RATE"),
        numbers("LAG"),
        numbers("BEHIND"),
        numbers("MISSING"),
        numbers("REPAIRED"),
        numbers("LOST"),
        numbers("DIFFERED"),
        numbers("EQUAL"),
    ]);
    for peer in peers {
        let state = match (peer.with_us, peer.version) {
            (true, _) if peer.phase == SyncPhase::Joining => {
                format!("joining, {}%", peer.joined_permille / 10)
            }
            (true, _) => peer.phase.words().to_owned(),
            (false, Some(_)) => "silent".to_owned(),
            (false, None) => "incompatible".to_owned(),
        };
        table.row(vec![
            peer.name.clone(),
            state,
            units::milliseconds(peer.age_milliseconds),
            units::count(peer.flows),
            units::count(peer.position),
            format!("{}/s", units::count(peer.rate)),
            format!("{:.1} ms", peer.lag_microseconds as f64 / 1000.0),
            peer.behind.map_or("-".to_owned(), units::count),
            units::count(peer.missing),
            units::count(peer.repaired),
            units::count(peer.lost),
            units::count(peer.differed),
            if peer.with_us {
                format!("{:.2}%", peer.divergence.equal_percent())
            } else {
                "-".to_owned()
            },
        ]);
    }
    table.flush(out)
}

fn sentences(sync: &SyncState) -> Vec<String> {
    let mut sentences = Vec::new();
    for peer in &sync.peers {
        let name = &peer.name;
        if peer.version.is_none() {
            sentences.push(format!(
                "{name}: speaks another version of the protocol; upgrade the older one"
            ));
        }
        if peer.with_us && !peer.same_configuration {
            sentences.push(format!("{name}: its services are configured differently"));
        }
        if peer.with_us && !peer.same_orders {
            sentences.push(format!(
                "{name}: other orders stand there; they are being passed on"
            ));
        }
    }
    if sync.untold > 0 {
        sentences.push(format!(
            "{} connections of services with sync = \"off\" are known to this director alone",
            units::count(sync.untold)
        ));
    }
    let unknown = sync.updates.unknown_service + sync.repairs.unknown_service;
    if unknown > 0 {
        sentences.push(format!(
            "{} connections were left out: no service of that name is configured here, or it has sync = \"off\"",
            units::count(unknown)
        ));
    }
    let no_room = sync.updates.no_room + sync.repairs.no_room;
    if no_room > 0 {
        sentences.push(format!(
            "{} connections were left out: the flow tables are full; see [limits]",
            units::count(no_room)
        ));
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::{super::testdata::golden, render, render_verified};

    #[test]
    fn looks_as_documented() {
        golden("sync", render);
        golden("sync_verify", render_verified);
    }
}
