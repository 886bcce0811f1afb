//! `tandem ha`

use std::io::{self, Write};

use clap::{Args, Subcommand, ValueEnum};

use super::{
    CliError, Exit, Show,
    order::behalf,
    table::{Table, numbers, words},
    units,
};
use crate::api::{
    Client,
    types::{
        CandidateView, CountView, HaAnswer, HaOrder, HaView, HandoverView, InstanceView, OutlookView,
        PathView, PeerPathView, PeerView,
    },
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
    /// Says what would happen if an Active died now.
    Explain,
    /// Hands VIPs over to another director, without a packet lost.
    Handover {
        /// Only those of this instance or group; else all that this director holds.
        instance: Option<String>,
        /// To this director; else to the one that would take over by itself. This director's own name has it take them.
        #[arg(long, value_name = "NAME")]
        to: Option<String>,
    },
    /// Gives all VIPs up and takes none, also after a restart, until it is switched off.
    Maintenance {
        /// Which.
        switch: Switch,
        /// Do it even though nobody else could hold the VIPs.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Begin.
    On,
    /// End.
    Off,
}

impl Arguments {
    pub(super) fn only_shows(&self) -> bool {
        matches!(self.verb, None | Some(Verb::List { .. } | Verb::Explain))
    }
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    match &arguments.verb {
        None => list(None, client, show).await,
        Some(Verb::List { instance }) => list(instance.as_deref(), client, show).await,
        Some(Verb::Explain) => {
            let view = client.ha().await?;
            if show.json {
                show.json(&view.outlook)?;
            } else {
                explain(&view, show.out)?;
            }
            Ok(Exit::Success)
        }
        Some(Verb::Handover { instance, to }) => {
            let (instance, to) = (instance.clone(), to.clone());
            order(&HaOrder::Handover { instance, to }, client, show).await
        }
        Some(Verb::Maintenance { switch, force }) => {
            let (on, force) = (*switch == Switch::On, *force);
            order(&HaOrder::Maintenance { on, force }, client, show).await
        }
    }
}

async fn order<W: Write>(order: &HaOrder, client: &Client, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let answer = client.order_pair(order, behalf().as_deref()).await?;
    if show.json {
        show.json(&answer)?;
    } else {
        render_answer(order, &answer, show.out)?;
    }
    Ok(Exit::Success)
}

fn render_handover(how: &HandoverView, out: &mut impl Write) -> io::Result<()> {
    match how.blackout_milliseconds {
        Some(time) => writeln!(
            out,
            "nobody was Active for {time} ms; what came meanwhile was forwarded"
        )?,
        None => writeln!(
            out,
            "the next Active was not heard of yet: `tandem ha` says who holds the VIPs"
        )?,
    }
    let Some(connections) = &how.connections else {
        return writeln!(
            out,
            "connections are not synchronised: no [sync] is configured, or its thread does not answer"
        );
    };
    match connections.kept.zip(connections.unknown) {
        Some((kept, unknown)) => write!(
            out,
            "connections: {} kept, {} unknown to the next Active",
            units::count(kept),
            units::count(unknown)
        )?,
        None => write!(out, "connections: the tables could not be compared in time")?,
    }
    if connections.untold > 0 {
        write!(
            out,
            ", {} not told of (sync = \"off\")",
            units::count(connections.untold)
        )?;
    }
    if connections.behind.is_empty() {
        writeln!(
            out,
            "; everything had arrived after {} ms",
            connections.barrier_milliseconds
        )
    } else {
        let behind = connections.behind.join(", ");
        writeln!(
            out,
            "; not waited for any longer after {} ms: {behind}",
            connections.barrier_milliseconds
        )
    }
}

fn render_answer(order: &HaOrder, answer: &HaAnswer, out: &mut impl Write) -> io::Result<()> {
    match order {
        HaOrder::Handover { .. } if answer.handed_over.is_empty() => {
            writeln!(out, "nothing to hand over: this director holds the VIPs already")
        }
        HaOrder::Handover { .. } => {
            for handed in &answer.handed_over {
                if handed.waits {
                    let (group, to) = (&handed.group, &handed.to);
                    writeln!(out, "{group}: to be handed over to {to}, if its hooks agree")?;
                } else {
                    writeln!(out, "{}: handed over to {}", handed.group, handed.to)?;
                }
            }
            answer
                .handover
                .as_ref()
                .map_or(Ok(()), |how| render_handover(how, out))
        }
        HaOrder::Maintenance { on: true, .. } => {
            writeln!(
                out,
                "in maintenance: it holds and takes no VIPs; `tandem ha maintenance off` ends that"
            )
        }
        HaOrder::Maintenance { on: false, .. } => {
            writeln!(
                out,
                "no longer in maintenance: it takes part as its priority and failback say"
            )
        }
    }
}

async fn list<W: Write>(
    instance: Option<&str>,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let mut view = client.ha().await?;
    if let Some(instance) = instance {
        let known: Vec<_> = view.instances.iter().map(|view| view.name.clone()).collect();
        view.instances.retain(|view| view.name == instance);
        if view.instances.is_empty() {
            let (kind, name) = ("instance", instance.to_owned());
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
    let maintenance = if view.maintenance { ", in maintenance" } else { "" };
    writeln!(out, "director {}{maintenance}", view.director)?;
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
        numbers("HEALTH"),
        words("HEARD"),
        words("VIPS"),
    ]);
    for instance in &view.instances {
        rows(instance, &mut table);
    }
    table.flush(out)?;
    directors(view, out)?;
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
    for path in &view.cluster.paths {
        for sentence in path_sentences(path) {
            writeln!(out, "heartbeat {}: {sentence}", path.name)?;
        }
    }
    refused("heartbeats", &view.cluster.heartbeats_refused, out)?;
    refused("other virtual routers", &view.refused, out)?;
    for instance in &view.instances {
        for router in &instance.routers {
            refused(&instance.name, &router.refused, out)?;
        }
    }
    Ok(())
}

/// The other directors: one row a path.
fn directors(view: &HaView, out: &mut impl Write) -> io::Result<()> {
    let part = &view.cluster;
    if part.paths.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    if part.peers.is_empty() {
        return writeln!(out, "no other director was heard on a heartbeat path yet");
    }
    let mut table = Table::new([
        words("DIRECTOR"),
        words("STATE"),
        numbers("SINCE"),
        words("ROLES"),
        words("PATH"),
        numbers("HEARD"),
        numbers("LOST"),
        numbers("RTT"),
    ]);
    for peer in &part.peers {
        let mut first = vec![
            peer.name.clone(),
            state(peer).to_owned(),
            peer.since_seconds.map_or("-".to_owned(), units::seconds),
            roles(peer),
        ];
        for path in &peer.paths {
            let mut cells = std::mem::replace(&mut first, vec![String::new(); 4]);
            cells.extend(path_cells(path));
            table.row(cells);
        }
    }
    table.flush(out)?;
    for peer in part.peers.iter().filter(|peer| peer.alive) {
        if !peer.same_configuration {
            writeln!(
                out,
                "{}: has other services or instances than this director",
                peer.name
            )?;
        }
        for path in peer.paths.iter().filter(|path| !path.heard) {
            writeln!(
                out,
                "{}: not heard on {}: that network fails",
                peer.name, path.path
            )?;
        }
    }
    Ok(())
}

fn state(peer: &PeerView) -> &'static str {
    match (peer.alive, peer.proven, peer.maintenance) {
        (false, _, _) => "silent",
        (true, false, _) => "unproven",
        (true, true, true) => "maintenance",
        (true, true, false) => "alive",
    }
}

fn roles(peer: &PeerView) -> String {
    let roles = peer.groups.iter().map(|group| {
        let role = if peer.alive { group.role.name() } else { "?" };
        if group.health_percent == 100 {
            format!("{} {role} ({})", group.name, group.priority)
        } else {
            format!(
                "{} {role} ({}, health {}%)",
                group.name, group.priority, group.health_percent
            )
        }
    });
    let roles: Vec<_> = roles.collect();
    if roles.is_empty() {
        "-".to_owned()
    } else {
        roles.join(", ")
    }
}

fn path_cells(path: &PeerPathView) -> [String; 4] {
    let none = || "-".to_owned();
    let total = path.received + path.lost;
    [
        path.path.clone(),
        path.age_milliseconds.map_or("never".to_owned(), |age| {
            format!("{} ago", units::milliseconds(age))
        }),
        if total == 0 {
            none()
        } else {
            units::percent(path.lost as f64 / total as f64)
        },
        path.round_trip_microseconds
            .map_or_else(none, |time| format!("{:.2}ms", time as f64 / 1000.0)),
    ]
}

fn path_sentences(path: &PathView) -> Vec<String> {
    let mut sentences = Vec::new();
    if !path.up {
        sentences.push(format!(
            "{} is down or has no carrier, or cannot be opened",
            path.interface
        ));
    }
    if let Some(error) = &path.last_error {
        sentences.push(format!("{error} ({} times)", units::count(path.errors)));
    }
    if path.noise > 0 {
        sentences.push(format!(
            "noise on the line, {} times: is the cable good, and the `baud` the same at both ends?",
            units::count(path.noise)
        ));
    }
    if path.malformed > 0 {
        sentences.push(format!(
            "{} datagrams were no heartbeats: does another director run another version?",
            units::count(path.malformed)
        ));
    }
    sentences
}

/// What would happen if an Active died now.
fn explain(view: &HaView, out: &mut impl Write) -> io::Result<()> {
    if view.outlook.is_empty() {
        return writeln!(
            out,
            "no [[instance]] is configured: this director is the only one"
        );
    }
    for outlook in &view.outlook {
        writeln!(out, "{}: {}", outlook.group, verdict(outlook))?;
        for director in &outlook.directors {
            writeln!(out, "  {}: {}", director.director, standing(director))?;
        }
    }
    Ok(())
}

fn verdict(outlook: &OutlookView) -> String {
    let dies = match &outlook.active {
        Some(active) => format!("{active} is Active; if it died now, "),
        None => "no Active is known here; ".to_owned(),
    };
    let then = match (&outlook.successor, outlook.within_milliseconds) {
        (Some(successor), Some(within)) => {
            format!(
                "{successor} would take over within {}",
                units::milliseconds(within)
            )
        }
        (Some(successor), None) => format!("{successor} would take over"),
        (None, _) => "nobody who is heard over a heartbeat path could take over".to_owned(),
    };
    dies + &then
}

fn standing(director: &CandidateView) -> String {
    if !director.why_not.is_empty() {
        return format!("could not: {}", director.why_not.join("; "));
    }
    let mut parts = Vec::new();
    parts.extend(director.active.then(|| "Active".to_owned()));
    parts.extend(director.priority.map(|priority| format!("priority {priority}")));
    parts.extend(director.health_percent.map(|health| format!("health {health}%")));
    parts.extend(
        director
            .sync_percent
            .map(|sync| format!("knows {sync}% of the connections")),
    );
    parts.join(", ")
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
        format!("{}%", instance.health_percent),
    ];
    for row in 0..instance.vips.len().max(heard.len()) {
        let mut cells = std::mem::replace(&mut first, vec![String::new(); 7]);
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
    let macs: Vec<_> = instance
        .routers
        .iter()
        .filter_map(|router| router.virtual_mac.as_deref())
        .collect();
    if !macs.is_empty() {
        sentences.push(format!(
            "its VIPs are at {}, whoever holds them",
            macs.join(" and ")
        ));
    }
    let missed = instance
        .services
        .iter()
        .filter(|reach| reach.reached < reach.backends);
    sentences.extend(missed.map(|reach| {
        let (reached, backends) = (reach.reached, reach.backends);
        format!("reaches {reached} of {backends} backends of {}", reach.service)
    }));
    sentences.extend(instance.remarks.iter().cloned());
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
    use super::{
        super::testdata::{golden, view},
        *,
    };

    #[test]
    fn looks_as_documented() {
        golden("ha", render);
        golden("ha_order", |answer, out| {
            let order = HaOrder::Handover {
                instance: None,
                to: None,
            };
            render_answer(&order, answer, out)
        });
    }

    #[test]
    fn explains_as_documented() {
        let mut out = Vec::new();
        explain(&view::<HaView>("ha"), &mut out).unwrap();
        let expected = include_str!("testdata/ha_explain.txt");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
