//! The other directors, as heartbeats tell of them.

use super::{Samples, Section, Snapshot, counter, gauge};
use crate::{
    api::types::{PathView, PeerPathView, PeerView},
    metrics::exposition::Number,
};

const PEER: &[&str] = &["peer"];
const PEER_PATH: &[&str] = &["peer", "path"];
const PATH: &[&str] = &["path", "interface"];

fn peers<N: Into<Number>>(from: &Snapshot, to: &mut Samples<'_>, number: fn(&PeerView) -> N) {
    for peer in &from.ha.cluster.peers {
        to.add(&[&peer.name], number(peer));
    }
}

fn peer_paths<N: Into<Number>>(
    from: &Snapshot,
    to: &mut Samples<'_>,
    number: fn(&PeerPathView) -> Option<N>,
) {
    for peer in &from.ha.cluster.peers {
        for path in &peer.paths {
            if let Some(number) = number(path) {
                to.add(&[&peer.name, &path.path], number);
            }
        }
    }
}

fn paths<N: Into<Number>>(from: &Snapshot, to: &mut Samples<'_>, number: fn(&PathView) -> N) {
    for path in &from.ha.cluster.paths {
        to.add(&[&path.name, &path.interface], number(path));
    }
}

pub(in crate::metrics) const SECTION: Section = Section {
    title: "Heartbeats",
    metrics: &[
        gauge(
            "tandem_maintenance",
            &[],
            "Whether this director is in maintenance, and neither keeps nor takes VIPs.",
            |from, to| to.add(&[], from.ha.maintenance),
        ),
        gauge(
            "tandem_peer_up",
            PEER,
            "Whether the director is heard on any path, be it by way of others.",
            |from, to| peers(from, to, |peer| peer.alive),
        ),
        gauge(
            "tandem_peer_same_configuration",
            PEER,
            "Whether the director's services and instances are the same as here.",
            |from, to| peers(from, to, |peer| peer.same_configuration),
        ),
        gauge(
            "tandem_peer_maintenance",
            PEER,
            "Whether the director is in maintenance.",
            |from, to| peers(from, to, |peer| peer.maintenance),
        ),
        gauge(
            "tandem_heartbeat_heard",
            PEER_PATH,
            "Whether the director is heard on the path.",
            |from, to| peer_paths(from, to, |path| Some(path.heard)),
        ),
        gauge(
            "tandem_heartbeat_age_seconds",
            PEER_PATH,
            "Time since its last heartbeat on the path; not there if there was none.",
            |from, to| peer_paths(from, to, |path| Some(path.age_milliseconds? as f64 / 1000.0)),
        ),
        gauge(
            "tandem_heartbeat_round_trip_seconds",
            PEER_PATH,
            "How long the way there and back takes; not there while that is not known.",
            |from, to| peer_paths(from, to, |path| Some(path.round_trip_microseconds? as f64 / 1e6)),
        ),
        counter(
            "tandem_heartbeat_received_total",
            PEER_PATH,
            "Heartbeats that came.",
            |from, to| peer_paths(from, to, |path| Some(path.received)),
        ),
        counter(
            "tandem_heartbeat_lost_total",
            PEER_PATH,
            "Heartbeats that did not come.",
            |from, to| peer_paths(from, to, |path| Some(path.lost)),
        ),
        gauge(
            "tandem_heartbeat_path_up",
            PATH,
            "Whether the path can carry heartbeats.",
            |from, to| paths(from, to, |path| path.up),
        ),
        counter(
            "tandem_heartbeat_errors_total",
            PATH,
            "How often something could not be sent or received there.",
            |from, to| paths(from, to, |path| path.errors),
        ),
        counter(
            "tandem_heartbeat_refused_total",
            &["reason"],
            "Heartbeats that were refused. `tandem ha` explains the reasons.",
            |from, to| {
                for refused in &from.ha.cluster.heartbeats_refused {
                    to.add(&[&refused.slug], refused.count);
                }
            },
        ),
    ],
};
