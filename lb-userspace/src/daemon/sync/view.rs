//! What the sync thread tells of itself.

use std::time::Duration;

use lb_common::wire::{seal, sync};
use ring::digest::{SHA256, digest as hash};

use super::worker::Worker;
use crate::{
    api::types::{
        AppliedView, CountView, DivergenceView, MendedView, SentView, SyncPeerView, SyncPhase, SyncState,
        SyncView,
    },
    core::{
        model::{Audience, Config},
        sync::{Applied, Divergence, Mended, PeerView, Replica as _},
    },
};

/// What directors tell each other their configuration by: services are to be the same on all.
pub(super) fn digest(config: &Config) -> u64 {
    // There is nothing in it that cannot be written.
    let text = serde_json::to_vec(&config.services).unwrap_or_default();
    let mut first = [0; 8];
    first.copy_from_slice(&hash(&SHA256, &text).as_ref()[..8]);
    u64::from_be_bytes(first)
}

pub(super) fn view(worker: &Worker, now: Duration) -> SyncView {
    let Worker {
        node,
        replica,
        courier,
        ..
    } = worker;
    let (path, trouble) = (courier.path(), courier.trouble());
    let (view, counters) = (node.view(now), node.counters());
    let (overrun, unfound) = replica.overrun();
    let to = match &path.audience {
        Audience::Group(group) => vec![group.to_string()],
        Audience::Peers(peers) => peers.iter().map(ToString::to_string).collect(),
    };
    SyncView {
        director: worker.name.clone(),
        sync: Some(SyncState {
            interface: path.interface.clone(),
            to,
            port: path.port,
            phase: phase(view.phase),
            joined_permille: view.joined,
            position: view.position,
            flows: replica.flows(),
            untold: replica.untold(),
            peers: view.peers.iter().map(peer).collect(),
            sent: SentView {
                datagrams: counters.sent,
                bytes: counters.sent_bytes,
                updates: counters.updates_sent,
                connections: counters.records_sent,
                repeated: counters.repeated,
                bulk_connections: counters.bulk_records_sent,
            },
            received: counters.received,
            updates: applied(&counters.updated),
            repairs: applied(&counters.repaired),
            surveys: counters.surveys,
            overrun: overrun + unfound,
            crowded_out: counters.crowded_out,
            refused: refused(worker),
            errors: trouble.errors,
            last_error: trouble.last.clone(),
        }),
    }
}

/// Reasons that occurred.
fn refused(worker: &Worker) -> Vec<CountView> {
    let (sealed, counters) = (worker.node.seal_counters(), worker.node.counters());
    let of_seals = seal::Refusal::ALL
        .iter()
        .map(|&reason| (reason.slug(), reason.sentence(), sealed.refused(reason)));
    let of_messages = sync::Refusal::ALL
        .iter()
        .map(|&reason| (reason.slug(), reason.sentence(), counters.refused(reason)));
    let all = of_seals
        .chain(of_messages)
        .map(|(slug, sentence, count)| CountView {
            slug: slug.to_owned(),
            sentence: sentence.to_owned(),
            count,
        });
    all.filter(|view| view.count > 0).collect()
}

fn peer(peer: &PeerView) -> SyncPeerView {
    SyncPeerView {
        name: peer.name.clone(),
        node: peer.id.to_string(),
        phase: phase(peer.phase),
        joined_permille: peer.joined,
        age_milliseconds: peer.silent_for.as_millis() as u64,
        with_us: peer.with_us,
        version: peer.version,
        same_configuration: peer.same_configuration,
        same_orders: peer.same_store,
        flows: peer.flows,
        position: peer.position,
        rate: peer.rate.round() as u64,
        lag_microseconds: (peer.lag_ms * 1000.0) as u64,
        behind: peer.behind,
        updates: peer.updates,
        connections: peer.records,
        missing: peer.missing,
        repaired: peer.repaired,
        lost: peer.lost,
        differed: peer.mended,
        served: peer.served,
        divergence: divergence(&peer.divergence),
    }
}

/// A connection that differed; templates are no connections.
pub(in crate::daemon) fn mended(mended: &Mended) -> Option<MendedView> {
    let flow = &mended.flow;
    Some(MendedView {
        protocol: super::super::flows::protocol_of(flow.protocol)?,
        client: (flow.source, flow.source_port).into(),
        vip: (flow.destination, flow.destination_port).into(),
        was_known: mended.was_known,
    })
}

/// How two tables differ.
pub(in crate::daemon) fn divergence(divergence: &Divergence) -> DivergenceView {
    DivergenceView {
        compared: divergence.compared,
        only_here: divergence.only_here,
        only_there: divergence.only_there,
        otherwise: divergence.otherwise,
    }
}

fn phase(phase: sync::Phase) -> SyncPhase {
    match phase {
        sync::Phase::Starting => SyncPhase::Starting,
        sync::Phase::Joining => SyncPhase::Joining,
        sync::Phase::InSync => SyncPhase::InSync,
    }
}

fn applied(applied: &Applied) -> AppliedView {
    AppliedView {
        new: applied.new,
        changed: applied.changed,
        known: applied.known,
        overruled: applied.overruled,
        removed: applied.removed,
        unknown_service: applied.unknown_service,
        waited: applied.waiting,
        no_room: applied.no_room,
        expired: applied.expired,
    }
}
