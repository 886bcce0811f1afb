//! Orders: `tandem order`, and the verbs that backends, services and the director have in common.

use std::{
    env,
    io::{self, IsTerminal as _, Write},
    time::Duration,
};

use clap::{Args, ValueEnum};
use tokio::time::{Instant, sleep};

use super::{
    CliError, Exit, Show,
    table::{Table, words},
    units,
};
use crate::{
    api::{
        Client,
        orders::{Covered, DrainView, OrderAnswer, OrderRequest, OrderView, Verb},
        types::{BackendState, BackendView},
    },
    config::Time,
    core::order::AtDeadline,
};

/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(250);
/// Between two lines that say how far it has come.
const TELL: Duration = Duration::from_secs(5);

/// Whom an order is about, as the command line names it.
#[derive(Debug, Clone, Default)]
pub(super) struct About<'a> {
    pub(super) backend: Option<&'a str>,
    pub(super) service: Option<&'a str>,
}

/// How new flows are kept away, and what becomes of those there are.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct Drain {
    /// End the flows that are left after this time, such as 30m.
    #[arg(long, value_name = "TIME")]
    deadline: Option<Time>,
    /// How they are ended.
    #[arg(long, value_name = "HOW")]
    at_deadline: Option<How>,
    #[command(flatten)]
    manner: Manner,
    /// Wait until no flows are left.
    #[arg(long)]
    wait: bool,
}

/// What every order can be given with.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct Manner {
    /// Let the order end by itself after this time, such as 2h.
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Time>,
    /// Why; whoever looks will see it.
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Do it even though nobody would be left to serve, or flows would be left.
    #[arg(long)]
    force: bool,
}

/// How a backend comes back.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct Ramp {
    /// Give it its weight little by little over this time, such as 60s, instead of the service's `slow_start`.
    #[arg(long, value_name = "TIME")]
    ramp: Option<Time>,
}

/// [`AtDeadline`] as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum How {
    /// They go on.
    Keep,
    /// Their next packets are scheduled like first ones.
    Reschedule,
    /// TCP clients get a reset with their next packet.
    Reset,
}

impl From<How> for AtDeadline {
    fn from(how: How) -> Self {
        match how {
            How::Keep => Self::Keep,
            How::Reschedule => Self::Reschedule,
            How::Reset => Self::Reset,
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Until {
    /// No flows are left.
    Drained,
    /// It takes new flows.
    Healthy,
}

fn request(verb: Verb, about: &About<'_>, manner: Option<&Manner>) -> OrderRequest {
    OrderRequest {
        backend: about.backend.map(str::to_owned),
        service: about.service.map(str::to_owned),
        verb,
        weight: None,
        deadline_seconds: None,
        at_deadline: None,
        ramp_seconds: None,
        for_seconds: manner.and_then(|manner| manner.duration).map(seconds),
        reason: manner.map_or_else(String::new, |manner| manner.reason.clone()),
        force: manner.is_some_and(|manner| manner.force),
    }
}

/// Whole seconds, not less than the time.
pub(super) fn seconds(Time(time): Time) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Drain {
    /// When the flows that are left are ended.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.deadline.map(|Time(time)| time)
    }

    /// The same for a director that is to end: nobody is left to serve, and at the deadline clients hear of it at once.
    pub(super) fn to_exit(&self) -> Self {
        let mut drain = self.clone();
        drain.manner.force = true;
        drain.at_deadline = drain.at_deadline.or(drain.deadline.map(|_| How::Reset));
        drain
    }
}

/// For whom the user acts, if it is another.
pub(super) fn behalf() -> Option<String> {
    env::var("SUDO_USER").ok()
}

/// `drain` and `offline`.
pub(super) async fn drain<W: Write>(
    verb: Verb,
    about: &About<'_>,
    drain: &Drain,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let answer = give_drain(verb, about, drain, client, show).await?;
    if !drain.wait {
        return Ok(Exit::Success);
    }
    wait(&answer.covers, Until::Drained, None, client).await
}

/// The order alone.
pub(super) async fn give_drain<W: Write>(
    verb: Verb,
    about: &About<'_>,
    drain: &Drain,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<OrderAnswer, CliError> {
    let request = OrderRequest {
        deadline_seconds: drain.deadline.map(seconds),
        at_deadline: drain.at_deadline.map(AtDeadline::from),
        ..request(verb, about, Some(&drain.manner))
    };
    give(&request, client, show).await
}

/// `weight`
pub(super) async fn weight<W: Write>(
    weight: u32,
    about: &About<'_>,
    manner: &Manner,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let request = OrderRequest {
        weight: Some(weight),
        ..request(Verb::Weight, about, Some(manner))
    };
    give(&request, client, show).await?;
    Ok(Exit::Success)
}

/// `ready`
pub(super) async fn ready<W: Write>(
    about: &About<'_>,
    ramp: &Ramp,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    let request = OrderRequest {
        ramp_seconds: ramp.ramp.map(seconds),
        ..request(Verb::Ready, about, None)
    };
    give(&request, client, show).await?;
    Ok(Exit::Success)
}

/// `remove`
pub(super) async fn remove<W: Write>(
    about: &About<'_>,
    manner: &Manner,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    give(&request(Verb::Remove, about, Some(manner)), client, show).await?;
    Ok(Exit::Success)
}

async fn give<W: Write>(
    request: &OrderRequest,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<OrderAnswer, CliError> {
    let answer = client.order(request, behalf().as_deref()).await?;
    if show.json {
        show.json(&answer)?;
    } else {
        render_answer(request.verb, &answer, show.out)?;
    }
    // Whoever waits reads it meanwhile.
    show.out.flush()?;
    Ok(answer)
}

fn render_answer(verb: Verb, answer: &OrderAnswer, out: &mut impl Write) -> io::Result<()> {
    let covers: Vec<String> = answer.covers.iter().map(ToString::to_string).collect();
    let covers = if covers.is_empty() {
        "no backend".to_owned()
    } else {
        covers.join(", ")
    };
    match &answer.order {
        Some(order) => writeln!(out, "{}: {covers}", order.command())?,
        None if answer.lifted.is_empty() => writeln!(out, "{verb}: {covers}; there was no order to lift")?,
        None => writeln!(out, "{verb}: {covers}")?,
    }
    for lifted in &answer.lifted {
        let word = if answer.order.is_some() {
            "instead of"
        } else {
            "lifted"
        };
        writeln!(
            out,
            "  {word}: {} for {}, {}",
            lifted.command(),
            lifted.about(),
            by(lifted)
        )?;
    }
    for remark in &answer.remarks {
        writeln!(out, "  note: {remark}")?;
    }
    Ok(())
}

/// `ordered by root at 2026-01-31 23:59:59: kernel update`
fn by(order: &OrderView) -> String {
    let at = order.at.to_string();
    let at = at.get(..19).unwrap_or_default().replace('T', " ");
    let why = if order.why.is_empty() {
        String::new()
    } else {
        format!(": {}", order.why)
    };
    format!("ordered by {} at {at} UTC{why}", order.who)
}

/// Waits until it is so of all of them.
pub(super) async fn wait(
    whom: &[Covered],
    until: Until,
    within: Option<Duration>,
    client: &Client,
) -> Result<Exit, CliError> {
    let deadline = within.map(|within| Instant::now() + within);
    let mut told = Instant::now();
    loop {
        let backends = client.backends().await?;
        let waits = |backend: &&BackendView| {
            let wanted =
                |covered: &Covered| covered.service == backend.service && covered.address == backend.address;
            whom.iter().any(wanted) && !is_so(backend, until)
        };
        let waiting: Vec<&BackendView> = backends.iter().filter(waits).collect();
        if waiting.is_empty() {
            return Ok(Exit::Success);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            eprintln!("tandem: waited in vain:");
            waiting
                .iter()
                .for_each(|backend| eprintln!("  {}", progress(backend)));
            return Ok(Exit::Timeout);
        }
        if io::stderr().is_terminal() && told.elapsed() >= TELL {
            told = Instant::now();
            waiting
                .iter()
                .for_each(|backend| eprintln!("{}", progress(backend)));
        }
        sleep(PAUSE).await;
    }
}

fn is_so(backend: &BackendView, until: Until) -> bool {
    match until {
        Until::Drained => backend.drain.as_ref().is_some_and(|drain| drain.drained),
        Until::Healthy => {
            backend.effective_weight > 0
                && matches!(backend.state, BackendState::Ready | BackendState::Warming)
        }
    }
}

/// How it stands with a backend, in a line.
fn progress(backend: &BackendView) -> String {
    let name = format!("{}/{}", backend.service, backend.name);
    match &backend.drain {
        Some(drain) => format!("{name}: {}", describe(backend, drain)),
        None => format!(
            "{name}: {}, {} flows",
            backend.state.name(),
            units::count(backend.flows)
        ),
    }
}

/// How far a drain has come, and what it is for.
pub(super) fn describe(backend: &BackendView, drain: &DrainView) -> String {
    let mut text = if drain.drained {
        format!("drained of {} flows", units::count(drain.flows_at_start))
    } else {
        let oldest = drain.oldest_seconds.map_or_else(String::new, |oldest| {
            format!(" (the oldest {})", units::seconds(oldest))
        });
        format!(
            "{} of {} flows are left{oldest}, {:.1} new a second",
            units::count(drain.flows),
            units::count(drain.flows_at_start),
            drain.new_flows_per_second
        )
    };
    if let (Some(left), false) = (drain.remaining_seconds, drain.drained) {
        text += &format!("; over in about {}", units::seconds(left));
    }
    let then = backend.order.as_ref().and_then(|order| order.at_deadline);
    if let (Some(left), Some(then)) = (drain.deadline_seconds, then) {
        text += &format!("; deadline in {}, then {}", units::seconds(left), then.name());
    }
    if let Some(order) = &backend.order {
        text += &format!("; {} {}", order.command(), by(order));
    }
    text
}

/// `tandem order`
pub(super) async fn list<W: Write>(client: &Client, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let orders = client.orders().await?;
    if show.json {
        show.json(&orders)?;
    } else {
        render(&orders, show.out)?;
    }
    Ok(Exit::Success)
}

fn render(orders: &[OrderView], out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new([
        words("ORDER"),
        words("FOR"),
        words("BY"),
        words("AT (UTC)"),
        words("UNTIL"),
        words("DEADLINE"),
        words("WHY"),
    ]);
    let time = |time: Option<crate::core::event::Timestamp>| match time {
        Some(time) => time.to_string().get(..19).unwrap_or_default().replace('T', " "),
        None => "-".to_owned(),
    };
    for order in orders {
        let then = order
            .at_deadline
            .map_or_else(String::new, |then| format!(", {}", then.name()));
        table.row(vec![
            order.command(),
            order.about(),
            order.who.clone(),
            time(Some(order.at)),
            time(order.until),
            time(order.deadline) + &then,
            order.why.clone(),
        ]);
    }
    table.flush(out)
}

#[cfg(test)]
mod tests {
    use super::{super::testdata::golden, *};

    #[test]
    fn looks_as_documented() {
        golden("orders", |orders: &Vec<_>, out| render(orders, out));
        golden("order_drain", |answer, out| {
            render_answer(Verb::Drain, answer, out)
        });
        golden("order_ready", |answer, out| {
            render_answer(Verb::Ready, answer, out)
        });
    }

    #[test]
    fn a_part_of_a_second_is_a_second() {
        assert_eq!(
            ["1ms", "1s", "1001ms", "2m"].map(|time| seconds(time.parse().unwrap())),
            [1, 1, 2, 120]
        );
    }
}
