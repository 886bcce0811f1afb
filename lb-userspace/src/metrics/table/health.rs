//! Health checks, and drains.

use super::{Samples, Section, Snapshot, counter, gauge};
use crate::api::{health::CheckView, orders::DrainView, types::BackendView};

const BACKEND: &[&str] = &["service", "backend", "address"];
const CHECK: &[&str] = &["service", "backend", "address", "check"];

/// Where several checks of a backend are of one type, the first counts.
fn checks(from: &Snapshot, to: &mut Samples<'_>, number: fn(&CheckView) -> Option<f64>) {
    for backend in &from.backends {
        let address = backend.address.to_string();
        for check in backend.health.iter().flat_map(|health| &health.checks) {
            if let Some(number) = number(check) {
                to.add(&[&backend.service, &backend.name, &address, &check.check], number);
            }
        }
    }
}

fn drains(from: &Snapshot, to: &mut Samples<'_>, number: fn(&BackendView, &DrainView) -> Option<f64>) {
    for backend in &from.backends {
        let number = backend.drain.as_ref().and_then(|drain| number(backend, drain));
        if let Some(number) = number {
            to.add(
                &[&backend.service, &backend.name, &backend.address.to_string()],
                number,
            );
        }
    }
}

pub(in crate::metrics) const SECTION: Section = Section {
    title: "Health and drains",
    metrics: &[
        gauge(
            "tandem_backend_check_up",
            CHECK,
            "What a check says: 1 up, 0 down; not there while it is not known. Of several of a type, the first.",
            |from, to| {
                checks(from, to, |check| match check.state.as_str() {
                    "up" => Some(1.0),
                    "down" => Some(0.0),
                    _ => None,
                });
            },
        ),
        gauge(
            "tandem_backend_check_duration_seconds",
            CHECK,
            "How long the success took after which the verdict was known.",
            |from, to| checks(from, to, |check| Some(check.took_ms? as f64 / 1000.0)),
        ),
        counter(
            "tandem_probes_total",
            &[],
            "Probes of health checks that have ended, by themselves or because their time was over.",
            |from, to| to.add(&[], from.stats.probes.ended),
        ),
        counter(
            "tandem_probes_failed_total",
            &[],
            "Those of them that failed: no answer, a wrong one, one without end, scripts that were killed.",
            |from, to| to.add(&[], from.stats.probes.failed),
        ),
        counter(
            "tandem_health_changes_total",
            &[],
            "How often checks found something else than before, and the packet path was told; what many find at once counts once.",
            |from, to| to.add(&[], from.stats.reaction.changes),
        ),
        counter(
            "tandem_health_reaction_seconds_total",
            &[],
            "How long that took, all of them together: from the verdict to the packet path.",
            |from, to| to.add(&[], from.stats.reaction.total_ms / 1000.0),
        ),
        gauge(
            "tandem_health_reaction_longest_seconds",
            &[],
            "How long the longest of them took since the daemon began.",
            |from, to| to.add(&[], from.stats.reaction.longest_ms / 1000.0),
        ),
        gauge(
            "tandem_backend_check_weight_ratio",
            CHECK,
            "Part of its weight that the backend wants, as its agent or its latency says: 1 is all of it.",
            |from, to| checks(from, to, |check| Some(check.weight_percent / 100.0)),
        ),
        gauge(
            "tandem_backend_drain_connections",
            BACKEND,
            "Flows that are left of a backend that is drained; not there for others.",
            |from, to| drains(from, to, |_, drain| Some(drain.flows as f64)),
        ),
        gauge(
            "tandem_backend_drain_remaining_seconds",
            BACKEND,
            "Time until they have ended if it goes on like this; not there while that cannot be said.",
            |from, to| drains(from, to, |_, drain| Some(drain.remaining_seconds? as f64)),
        ),
        gauge(
            "tandem_backend_drain_deadline_seconds",
            BACKEND,
            "Time until those that are left are ended; not there without a deadline.",
            |from, to| drains(from, to, |_, drain| Some(drain.deadline_seconds? as f64)),
        ),
        gauge(
            "tandem_backend_drain_oldest_seconds",
            BACKEND,
            "Age of the oldest flow that is left.",
            |from, to| drains(from, to, |_, drain| Some(drain.oldest_seconds? as f64)),
        ),
        counter(
            "tandem_backend_drain_new_connections_total",
            BACKEND,
            "Flows that the backend was given since its drain began: those whose first packet was under way.",
            |from, to| drains(from, to, |_, drain| Some(drain.new_flows as f64)),
        ),
    ],
};
