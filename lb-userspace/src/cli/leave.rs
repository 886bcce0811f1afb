//! `tandem director drain --exit`: takes a director out of service, so that no client notices.

use std::{
    collections::BTreeSet,
    io::Write,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{CliError, Exit, Show, order, units};
use crate::api::{
    Client, ClientError,
    exit::{ExitAnswer, ExitRequest},
    orders::Verb,
    types::{BackendState, HaOrder, HaView, Role},
};

/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(250);
/// For the VIPs to be where they were handed to: hooks may have a say.
const SUCCESSION: Duration = Duration::from_secs(30);
/// After the deadline, for connections to be ended: silent ones are asked to speak first.
const ENDING: Duration = Duration::from_secs(5);
/// For the daemon to be gone.
const FAREWELL: Duration = Duration::from_secs(30);

/// Hands the VIPs over, drains what stays, and ends balancing.
pub(super) async fn run<W: Write>(
    drain: &order::Drain,
    client: &Client,
    show: &mut Show<'_, W>,
) -> Result<Exit, CliError> {
    if hand_over(client).await? && clients_go_elsewhere(client).await? {
        // Flows that are left are copies, or of nobody who comes here.
        return end(true, client, show).await;
    }
    let deadline = drain.deadline().map(|time| Instant::now() + time + ENDING);
    order::give_drain(
        Verb::Drain,
        &order::About::default(),
        &drain.to_exit(),
        client,
        show,
    )
    .await?;
    loop {
        match end(false, client, show).await {
            // Somebody is served yet, or again.
            Err(CliError::Client(ClientError::Refused { status, .. }))
                if status == hyper::StatusCode::CONFLICT => {}
            outcome => return outcome,
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return end(true, client, show).await;
        }
        wait(deadline, client).await?;
    }
}

/// Waits until no flows are left, or for the deadline.
async fn wait(deadline: Option<Instant>, client: &Client) -> Result<(), CliError> {
    loop {
        let backends = client.backends().await?;
        let busy = backends.iter().any(|backend| match &backend.drain {
            Some(drain) => !drain.drained,
            None => backend.state == BackendState::Removed && backend.flows > 0,
        });
        sleep(PAUSE).await;
        if !busy || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(());
        }
    }
}

/// Gives the VIPs to another director; whether this one holds none that could be given.
async fn hand_over(client: &Client) -> Result<bool, CliError> {
    let view = client.ha().await?;
    if !holds(&view) {
        return Ok(!view.instances.is_empty());
    }
    let order = HaOrder::Handover {
        instance: None,
        to: None,
    };
    match client.order_pair(&order, order::behalf().as_deref()).await {
        Ok(_) => {}
        Err(ClientError::Refused { view, .. }) => {
            eprintln!("tandem: the VIPs stay here until the end: {}", view.error);
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    let deadline = Instant::now() + SUCCESSION;
    while holds(&client.ha().await?) {
        if Instant::now() >= deadline {
            eprintln!("tandem: nobody has taken the VIPs: they stay here until the end");
            return Ok(false);
        }
        sleep(PAUSE).await;
    }
    Ok(true)
}

fn holds(view: &HaView) -> bool {
    let mut roles = view.instances.iter().map(|instance| instance.role);
    roles.any(|role| role == Role::Active)
}

/// Whether every VIP is one that moves between directors.
async fn clients_go_elsewhere(client: &Client) -> Result<bool, CliError> {
    let moving: BTreeSet<IpAddr> = client
        .ha()
        .await?
        .instances
        .into_iter()
        .flat_map(|instance| instance.vips)
        .collect();
    let services = client.services().await?;
    let mut frontends = services.iter().flat_map(|service| &service.frontends);
    Ok(frontends.all(|frontend| {
        let endpoint = frontend.split('/').next().unwrap_or_default();
        let vip = endpoint.parse::<SocketAddr>().map(|endpoint| endpoint.ip());
        vip.is_ok_and(|vip| moving.contains(&vip))
    }))
}

async fn end<W: Write>(force: bool, client: &Client, show: &mut Show<'_, W>) -> Result<Exit, CliError> {
    let request = ExitRequest { force };
    let answer = client.end_balancing(request, order::behalf().as_deref()).await?;
    if show.json {
        show.json(&answer)?;
    } else {
        let ExitAnswer { flows } = answer;
        writeln!(
            show.out,
            "balancing ends, and {} flows with it",
            units::count(flows)
        )?;
    }
    show.out.flush()?;
    let deadline = Instant::now() + FAREWELL;
    loop {
        match client.status().await {
            Err(ClientError::NotRunning { .. }) => return Ok(Exit::Success),
            // It is at its end.
            Ok(_) | Err(_) if Instant::now() < deadline => sleep(PAUSE).await,
            Ok(_) => {
                eprintln!("tandem: tandemd was told to end, and is still there: its log may say why");
                return Ok(Exit::Timeout);
            }
            Err(error) => return Err(error.into()),
        }
    }
}
