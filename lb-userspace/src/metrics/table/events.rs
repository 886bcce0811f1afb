//! Events, and who is told of them. These counters begin with the daemon.

use super::{Samples, Section, Snapshot, counter};
use crate::{core::event, notify::ReceiverView};

const RECEIVER: &[&str] = &["receiver", "kind"];

fn each(from: &Snapshot, to: &mut Samples<'_>, number: fn(&ReceiverView) -> u64) {
    for receiver in &from.receivers {
        to.add(&[&receiver.name, &receiver.kind], number(receiver));
    }
}

pub(in crate::metrics) const SECTION: Section = Section {
    title: "Events",
    metrics: &[
        counter(
            "tandem_events_total",
            &["kind"],
            "Events since the daemon was started. docs/events.md explains each kind.",
            |from, to| {
                // Also those that never happened: what appears with its first event looks to Prometheus as if nothing had.
                for kind in event::kinds() {
                    let count = from.events.iter().find(|(name, _)| *name == kind.name);
                    to.add(&[kind.name], count.map_or(0, |&(_, count)| count));
                }
            },
        ),
        counter(
            "tandem_event_receiver_delivered_total",
            RECEIVER,
            "Events that a hook, mail or webhook was told of.",
            |from, to| each(from, to, |receiver| receiver.delivered),
        ),
        counter(
            "tandem_event_receiver_failed_total",
            RECEIVER,
            "Attempts that failed; they are repeated.",
            |from, to| each(from, to, |receiver| receiver.failed),
        ),
        counter(
            "tandem_event_receiver_lost_total",
            RECEIVER,
            "Events that the receiver will never be told of.",
            |from, to| each(from, to, |receiver| receiver.lost),
        ),
    ],
};
