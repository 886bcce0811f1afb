//! `tandem flow`

use std::{
    env,
    io::{self, Write},
    ops::ControlFlow,
};

use clap::{Args, Subcommand, ValueEnum, builder::PossibleValuesParser, builder::TypedValueParser as _};
use lb_common::flow_state::FlowState;

use super::{
    CliError, Exit, Show, backend,
    order::seconds,
    table::{Table, numbers, words},
    units::{self, plural},
};
use crate::{
    api::{
        Client,
        flows::{EndRequest, FlowEnding},
        query::{Clients, FlowFilter, Vip},
        types::{FlowView, StateName},
    },
    config::Time,
    core::model::Protocol,
};

/// Rows of text that are aligned together; the table may have any number of them.
const ALIGNED: usize = 500;

#[derive(Debug, Args)]
#[command(infer_subcommands = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(super) struct Arguments {
    /// Only those of this service.
    #[arg(short, long, global = true, value_name = "NAME")]
    service: Option<String>,
    /// Only those of this backend.
    #[arg(short, long, global = true, value_name = "NAME|ADDRESS")]
    backend: Option<String>,
    /// Only those of this client, or of clients in this network.
    #[arg(short, long, global = true, value_name = "IP[/BITS]")]
    client: Option<Clients>,
    /// Only those to this virtual IP, or to this port of it.
    #[arg(long, global = true, value_name = "IP[:PORT]")]
    vip: Option<Vip>,
    /// Only those of this protocol.
    #[arg(short, long, global = true, value_parser = protocol)]
    protocol: Option<Protocol>,
    /// Only those in this state.
    #[arg(long, global = true, value_parser = states())]
    state: Option<StateName>,
    /// Only those whose first packet is at least so long ago, such as 10m.
    #[arg(long, global = true, value_name = "TIME")]
    older: Option<Time>,
    /// Only those whose first packet is less than so long ago.
    #[arg(long, global = true, value_name = "TIME")]
    younger: Option<Time>,
    /// Only those whose latest packet is at least so long ago.
    #[arg(long, global = true, value_name = "TIME")]
    idle: Option<Time>,
    /// Only so many, whichever come first.
    #[arg(short = 'n', long, global = true, value_name = "N")]
    limit: Option<u64>,
    /// Only their number.
    #[arg(long, global = true)]
    count: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows the flows.
    #[command(visible_alias = "show")]
    List,
    /// Says how many there are.
    Count,
    /// Ends the flows that are chosen.
    Delete {
        /// What becomes of them.
        #[arg(long, value_enum, default_value_t = How::Reset)]
        how: How,
        /// All flows: needed where nothing chooses some.
        #[arg(long)]
        all: bool,
    },
}

/// [`FlowEnding`] as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum How {
    /// TCP clients get a reset with their next packet; others are forgotten.
    Reset,
    /// Their next packets are scheduled like first ones.
    Forget,
}

impl From<How> for FlowEnding {
    fn from(how: How) -> Self {
        match how {
            How::Reset => Self::Reset,
            How::Forget => Self::Forget,
        }
    }
}

pub(super) fn protocol(text: &str) -> Result<Protocol, String> {
    let known = [Protocol::Tcp, Protocol::Udp];
    let found = known.into_iter().find(|protocol| protocol.to_string() == text);
    found.ok_or_else(|| {
        format!(
            "expected {}",
            known.map(|protocol| protocol.to_string()).join(" or ")
        )
    })
}

fn states() -> impl clap::builder::TypedValueParser<Value = StateName> {
    PossibleValuesParser::new(FlowState::ALL.map(FlowState::name)).try_map(|name| name.parse::<StateName>())
}

impl Arguments {
    fn filter(&self) -> FlowFilter {
        FlowFilter {
            service: self.service.clone(),
            backend: self.backend.clone(),
            client: self.client,
            vip: self.vip,
            protocol: self.protocol,
            state: self.state,
            older: self.older.map(seconds),
            younger: self.younger.map(seconds),
            idle: self.idle.map(seconds),
            limit: self.limit,
        }
    }
}

impl Arguments {
    pub(super) fn only_shows(&self) -> bool {
        matches!(self.verb, None | Some(Verb::List | Verb::Count))
    }
}

pub(super) async fn run<W: Write>(
    arguments: &Arguments,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    ensure_known(arguments, client).await?;
    let filter = arguments.filter();
    if let Some(Verb::Delete { how, all }) = &arguments.verb {
        let (how, all) = ((*how).into(), *all);
        return delete(EndRequest { filter, how, all }, client, show).await;
    }
    if arguments.count || matches!(arguments.verb, Some(Verb::Count)) {
        let count = client.count_flows(&filter).await?;
        if show.json {
            show.json(&count)?;
        } else {
            writeln!(show.out, "{}", count.flows)?;
        }
        return Ok(Exit::Success);
    }
    let mut listing = if show.json {
        Listing::json(show.out)?
    } else {
        Listing::text(show.out)
    };
    let mut written = Ok(());
    let visited = client.visit_flows(&filter, |flow| {
        written = listing.flow(&flow);
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    visited.await?;
    written?;
    listing.end()?;
    Ok(Exit::Success)
}

async fn delete<W: Write>(
    request: EndRequest,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let behalf = env::var("SUDO_USER").ok();
    let answer = client.end_flows(&request, behalf.as_deref()).await?;
    if show.json {
        show.json(&answer)?;
    } else {
        writeln!(show.out, "ended {}", plural(answer.ended as usize, "flow"))?;
    }
    Ok(Exit::Success)
}

/// That there is nothing of a name that does not exist is no answer.
async fn ensure_known(arguments: &Arguments, client: &Client) -> Result<(), CliError> {
    if let Some(name) = &arguments.service {
        let services = client.services().await?;
        let known: Vec<_> = services.into_iter().map(|service| service.name).collect();
        if !known.contains(name) {
            let (kind, name) = ("service", name.clone());
            return Err(CliError::NotFound { kind, name, known });
        }
    }
    if let Some(name) = &arguments.backend {
        backend::named(client.backends().await?, name)?;
    }
    Ok(())
}

/// Flows as they come in: a million of them take no more memory than a few hundred.
enum Listing<'a, W> {
    Json { out: &'a mut W, any: bool },
    Text { out: &'a mut W, table: Table },
}

impl<'a, W: Write> Listing<'a, W> {
    fn json(out: &'a mut W) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self::Json { out, any: false })
    }

    fn text(out: &'a mut W) -> Self {
        let table = Table::new([
            words("PROTO"),
            words("CLIENT"),
            words("VIP"),
            words("SERVICE"),
            words("BACKEND"),
            words("STATE"),
            numbers("AGE"),
            numbers("IDLE"),
            numbers("EXPIRES"),
        ]);
        Self::Text { out, table }
    }

    fn flow(&mut self, flow: &FlowView) -> io::Result<()> {
        match self {
            Self::Json { out, any } => {
                out.write_all(if *any { b",\n" } else { b"\n" })?;
                *any = true;
                serde_json::to_writer(out, flow)?;
            }
            Self::Text { out, table } => {
                table.row(row(flow));
                if table.pending() == ALIGNED {
                    table.flush(out)?;
                }
            }
        }
        Ok(())
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Json { out, any: false } => writeln!(out, "]"),
            Self::Json { out, any: true } => writeln!(out, "\n]"),
            Self::Text { out, mut table } => table.flush(out),
        }
    }
}

fn row(flow: &FlowView) -> Vec<String> {
    let known = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    vec![
        flow.protocol.to_string(),
        flow.client.to_string(),
        flow.vip.to_string(),
        known(&flow.service),
        known(&flow.backend),
        flow.state.to_string(),
        units::seconds(flow.age_seconds),
        units::seconds(flow.idle_seconds),
        units::seconds(flow.timeout_seconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::{
        super::testdata::{self, golden},
        *,
    };

    fn list<'a>(mut listing: Listing<'a, Vec<u8>>, flows: &[FlowView]) -> io::Result<()> {
        flows.iter().try_for_each(|flow| listing.flow(flow))?;
        listing.end()
    }

    #[test]
    fn looks_as_documented() {
        golden("flows", |flows: &Vec<_>, out| list(Listing::text(out), flows));
    }

    #[test]
    fn json_is_one_array() {
        let flows: Vec<FlowView> = testdata::view("flows");
        for count in [0, 1, flows.len()] {
            let mut out = Vec::new();
            list(Listing::json(&mut out).unwrap(), &flows[..count]).unwrap();
            let read: Vec<FlowView> = serde_json::from_slice(&out).unwrap();
            assert_eq!(read, flows[..count]);
            assert_eq!(out.last(), Some(&b'\n'));
        }
    }

    #[test]
    fn a_long_list_is_written_as_it_grows() {
        let flows: Vec<FlowView> = testdata::view("flows");
        let mut out = Vec::new();
        let mut listing = Listing::text(&mut out);
        for flow in flows.iter().cycle().take(3 * ALIGNED) {
            listing.flow(flow).unwrap();
            let Listing::Text { table, .. } = &listing else {
                unreachable!("it is text")
            };
            assert!(table.pending() < ALIGNED);
        }
        listing.end().unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3 * ALIGNED + 1);
    }
}
