//! What a running daemon has to complain of.

use lb_common::{abi::Event, reason::Reason};

use super::{Daemon, Finding, Running};
use crate::api::types::BackendState;

pub(super) fn examine(daemon: &Daemon) -> Vec<Finding> {
    let Some(running) = daemon.running() else {
        return Vec::new();
    };
    services(running)
        .into_iter()
        .chain(backends(running))
        .chain(events(running))
        .collect()
}

fn services(running: &Running) -> Vec<Finding> {
    let finding = |service: &crate::api::types::ServiceView| {
        let name = &service.name;
        if service.backends_ready == 0 {
            return Finding::problem(
                "service",
                format!("service `{name}` has no backend that takes new flows"),
                "its clients' connections are dropped",
                format!("`tandem backend --service {name}` shows why"),
            );
        }
        let (ready, all) = (service.backends_ready, service.backends);
        Finding::ok(
            "service",
            format!("service `{name}` has {ready} of {all} backends ready"),
        )
    };
    running.services.iter().map(finding).collect()
}

fn backends(running: &Running) -> impl Iterator<Item = Finding> {
    running
        .backends
        .iter()
        .filter_map(|backend| match &backend.state {
            BackendState::Ready
            | BackendState::Warming
            | BackendState::Draining
            | BackendState::Offline
            | BackendState::Removed => None,
            BackendState::Down { reason } => Some(Finding::warning(
                "backend",
                format!("backend {}/{} is down: {reason}", backend.service, backend.name),
                "it takes no new flows, and those that it has get no answers",
                "see to the server; it is taken back by itself when its checks succeed again",
            )),
            BackendState::Unresolved { reason } => Some(Finding::warning(
                "backend",
                format!("backend {}/{}: {reason}", backend.service, backend.name),
                "it takes no new flows, and packets of the flows that it has are dropped",
                "see whether it is up, and on the same layer-2 network; it is taken back by itself",
            )),
        })
}

fn events(running: &Running) -> impl Iterator<Item = Finding> {
    let stats = &running.stats;
    let event = |event: Event| {
        let view = stats.events.iter().find(|view| view.slug == event.slug());
        view.map_or(0, |view| view.count)
    };
    let reason = |reason: Reason| {
        let view = stats.reasons.iter().find(|view| view.slug == reason.slug());
        view.map_or(0, |view| view.packets)
    };
    let evicted = event(Event::EvictedActive);
    let too_small = (evicted > 0).then(|| {
        Finding::warning(
            "flow table",
            format!("{evicted} flows with traffic were pushed out of the flow table"),
            "a flow that is not in the table may go to another backend once the backends change",
            "raise flows_v4 or flows_v6 under [limits]; `tandem stats` shows which is full",
        )
    });
    let missing = reason(Reason::MapMissing);
    let broken = (missing > 0).then(|| {
        Finding::problem(
            "maps",
            format!("{missing} packets were dropped since a map entry was missing that must exist"),
            "this is a fault of the daemon",
            "restart it: it writes the maps anew; and report it",
        )
    });
    too_small.into_iter().chain(broken)
}
