//! Connections of the other directors.

use super::{Samples, Section, Snapshot, counter, gauge};
use crate::{
    api::types::{AppliedView, SyncPeerView, SyncPhase, SyncState},
    metrics::exposition::Number,
};

const PEER: &[&str] = &["peer"];

fn own<N: Into<Number>>(from: &Snapshot, to: &mut Samples<'_>, number: fn(&SyncState) -> N) {
    if let Some(sync) = &from.sync.sync {
        to.add(&[], number(sync));
    }
}

fn peers<N: Into<Number>>(from: &Snapshot, to: &mut Samples<'_>, number: fn(&SyncPeerView) -> Option<N>) {
    for peer in from.sync.sync.iter().flat_map(|sync| &sync.peers) {
        if let Some(number) = number(peer) {
            to.add(&[&peer.name], number);
        }
    }
}

const fn phase(phase: SyncPhase) -> u32 {
    match phase {
        SyncPhase::Starting => 0,
        SyncPhase::Joining => 1,
        SyncPhase::InSync => 2,
    }
}

fn outcomes(applied: &AppliedView) -> [(&'static str, u64); 9] {
    [
        ("new", applied.new),
        ("changed", applied.changed),
        ("known", applied.known),
        ("overruled", applied.overruled),
        ("removed", applied.removed),
        ("unknown_service", applied.unknown_service),
        ("waited", applied.waited),
        ("no_room", applied.no_room),
        ("expired", applied.expired),
    ]
}

pub(in crate::metrics) const SECTION: Section = Section {
    title: "Connections of the other directors",
    metrics: &[
        gauge(
            "tandem_sync_phase",
            &[],
            "How far this director is: 0 starting, 1 joining, 2 in sync.",
            |from, to| own(from, to, |sync| phase(sync.phase)),
        ),
        gauge(
            "tandem_sync_complete_ratio",
            &[],
            "Of what it has to fetch, how much it has: 0 to 1.",
            |from, to| own(from, to, |sync| f64::from(sync.joined_permille) / 1000.0),
        ),
        counter(
            "tandem_sync_position_total",
            &[],
            "Number of its next update: its position in what it tells.",
            |from, to| own(from, to, |sync| sync.position),
        ),
        gauge(
            "tandem_sync_connections",
            &[],
            "Connections that the others know or are to know, roughly.",
            |from, to| own(from, to, |sync| sync.flows),
        ),
        gauge(
            "tandem_sync_untold_flows",
            &[],
            "Connections of services with `sync = \"off\"`, which are known to this director alone, roughly.",
            |from, to| own(from, to, |sync| sync.untold),
        ),
        gauge(
            "tandem_sync_peer_up",
            PEER,
            "Whether the director is heard, and waited for.",
            |from, to| peers(from, to, |peer| Some(peer.with_us)),
        ),
        gauge(
            "tandem_sync_peer_phase",
            PEER,
            "How far the director says that it is: 0 starting, 1 joining, 2 in sync.",
            |from, to| peers(from, to, |peer| Some(phase(peer.phase))),
        ),
        gauge(
            "tandem_sync_peer_lag_seconds",
            PEER,
            "How late the director's updates come, beyond the fastest.",
            |from, to| peers(from, to, |peer| Some(peer.lag_microseconds as f64 / 1e6)),
        ),
        counter(
            "tandem_sync_peer_position_total",
            PEER,
            "Number of the director's next update that is expected here.",
            |from, to| peers(from, to, |peer| Some(peer.position)),
        ),
        gauge(
            "tandem_sync_peer_told_connections_per_second",
            PEER,
            "Connections that the director told in a second, of late.",
            |from, to| peers(from, to, |peer| Some(peer.rate)),
        ),
        gauge(
            "tandem_sync_peer_behind",
            PEER,
            "Updates of this director that the other has not got; not there while it has not said.",
            |from, to| peers(from, to, |peer| peer.behind),
        ),
        gauge(
            "tandem_sync_peer_missing",
            PEER,
            "Updates of the other director that are missing here, and asked for.",
            |from, to| peers(from, to, |peer| Some(peer.missing)),
        ),
        gauge(
            "tandem_sync_peer_diverging",
            PEER,
            "Connections that differed at the last comparison with the director.",
            |from, to| peers(from, to, |peer| Some(peer.differed)),
        ),
        gauge(
            "tandem_sync_peer_connections",
            PEER,
            "Connections in the director's tables, as it says.",
            |from, to| peers(from, to, |peer| Some(peer.flows)),
        ),
        gauge(
            "tandem_sync_peer_complete_ratio",
            PEER,
            "Of what it has to fetch, how much it says that it has: 0 to 1.",
            |from, to| peers(from, to, |peer| Some(f64::from(peer.joined_permille) / 1000.0)),
        ),
        gauge(
            "tandem_sync_peer_same_configuration",
            PEER,
            "Whether the director's configuration is the same as here.",
            |from, to| peers(from, to, |peer| Some(peer.same_configuration)),
        ),
        gauge(
            "tandem_sync_peer_same_orders",
            PEER,
            "Whether the same is ordered there as here.",
            |from, to| peers(from, to, |peer| Some(peer.same_orders)),
        ),
        gauge(
            "tandem_sync_peer_compared",
            PEER,
            "Connections of this director that were compared with the other at the last comparison.",
            |from, to| peers(from, to, |peer| Some(peer.divergence.compared)),
        ),
        gauge(
            "tandem_sync_peer_divergence",
            &["peer", "kind"],
            "Connections that differed then, before they were mended: `only_here`, `only_there`, or `otherwise` (another state or backend).",
            |from, to| {
                for peer in from.sync.sync.iter().flat_map(|sync| &sync.peers) {
                    let found = &peer.divergence;
                    for (kind, connections) in [
                        ("only_here", found.only_here),
                        ("only_there", found.only_there),
                        ("otherwise", found.otherwise),
                    ] {
                        to.add(&[&peer.name, kind], connections);
                    }
                }
            },
        ),
        counter(
            "tandem_sync_peer_updates_total",
            PEER,
            "Updates that came of the director.",
            |from, to| peers(from, to, |peer| Some(peer.updates)),
        ),
        counter(
            "tandem_sync_peer_repaired_total",
            PEER,
            "Updates that were missing, and came when they were asked for.",
            |from, to| peers(from, to, |peer| Some(peer.repaired)),
        ),
        counter(
            "tandem_sync_peer_lost_total",
            PEER,
            "Updates that are lost for good; what they said is found by comparison.",
            |from, to| peers(from, to, |peer| Some(peer.lost)),
        ),
        counter(
            "tandem_sync_applied_total",
            &["outcome"],
            "Connections in updates of others, by what became of them; docs/sync.md explains the outcomes.",
            |from, to| {
                for (outcome, count) in from.sync.sync.iter().flat_map(|sync| outcomes(&sync.updates)) {
                    to.add(&[outcome], count);
                }
            },
        ),
        counter(
            "tandem_sync_sent_datagrams_total",
            &[],
            "Datagrams that were sent.",
            |from, to| own(from, to, |sync| sync.sent.datagrams),
        ),
        counter(
            "tandem_sync_sent_bytes_total",
            &[],
            "Bytes of these, without the headers of IP and UDP.",
            |from, to| own(from, to, |sync| sync.sent.bytes),
        ),
        counter(
            "tandem_sync_sent_connections_total",
            &[],
            "Connections in updates that were sent.",
            |from, to| own(from, to, |sync| sync.sent.connections),
        ),
        counter(
            "tandem_sync_overrun_total",
            &[],
            "Connections that packets noted faster than they could be told; found by comparison.",
            |from, to| own(from, to, |sync| sync.overrun),
        ),
        counter(
            "tandem_sync_refused_total",
            &["reason"],
            "Datagrams that were refused. `tandem sync` explains the reasons.",
            |from, to| {
                for refused in from.sync.sync.iter().flat_map(|sync| &sync.refused) {
                    to.add(&[&refused.slug], refused.count);
                }
            },
        ),
        counter(
            "tandem_sync_errors_total",
            &[],
            "How often something could not be sent or received.",
            |from, to| own(from, to, |sync| sync.errors),
        ),
    ],
};
