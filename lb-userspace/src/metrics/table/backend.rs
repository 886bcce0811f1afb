//! Backends.

use super::{Samples, Section, Snapshot, counter, gauge};
use crate::{api::types::BackendView, metrics::exposition::Number};

const BACKEND: &[&str] = &["service", "backend", "address"];

fn each<N: Into<Number>>(from: &Snapshot, to: &mut Samples<'_>, number: fn(&BackendView) -> N) {
    for backend in &from.backends {
        let address = backend.address.to_string();
        to.add(&[&backend.service, &backend.name, &address], number(backend));
    }
}

pub(in crate::metrics) const SECTION: Section = Section {
    title: "Backends",
    metrics: &[
        gauge(
            "tandem_backend_state",
            &["service", "backend", "address", "state"],
            "1 for the state that the backend is in; the others are not there. docs/cli.md explains the states.",
            |from, to| {
                for backend in &from.backends {
                    let address = backend.address.to_string();
                    let state = backend.state.name();
                    to.add(&[&backend.service, &backend.name, &address, state], 1_u32);
                }
            },
        ),
        gauge(
            "tandem_backend_weight",
            BACKEND,
            "Weight that is in force: 0 for a backend that takes no new flows.",
            |from, to| each(from, to, |backend| backend.effective_weight),
        )
        .like("node_ipvs_backend_weight"),
        gauge(
            "tandem_backend_configured_weight",
            BACKEND,
            "Weight in the configuration.",
            |from, to| each(from, to, |backend| backend.weight),
        ),
        gauge(
            "tandem_backend_share_ratio",
            BACKEND,
            "Part of the service's new flows that the backend is to get, 0 to 1; not there if that depends on what comes.",
            |from, to| {
                for backend in &from.backends {
                    if let Some(share) = backend.share {
                        let address = backend.address.to_string();
                        to.add(&[&backend.service, &backend.name, &address], share);
                    }
                }
            },
        ),
        gauge(
            "tandem_backend_connections_active",
            BACKEND,
            "Flows that are being opened or have traffic, at the last census.",
            |from, to| each(from, to, |backend| backend.active_flows),
        )
        .like("node_ipvs_backend_connections_active"),
        gauge(
            "tandem_backend_connections_inactive",
            BACKEND,
            "Flows that are over, but not forgotten, at the last census.",
            |from, to| each(from, to, |backend| backend.inactive_flows),
        )
        .like("node_ipvs_backend_connections_inactive"),
        gauge(
            "tandem_backend_full",
            BACKEND,
            "Whether it has as many flows as its upper threshold allows.",
            |from, to| each(from, to, |backend| backend.full),
        ),
        counter(
            "tandem_backend_connections_total",
            BACKEND,
            "Flows that were given to the backend.",
            |from, to| each(from, to, |backend| backend.new_flows),
        ),
        counter(
            "tandem_backend_connections_refused_total",
            BACKEND,
            "Connections that the backend refused with a reset in answer to a SYN; heard where replies pass the director: nat and full-nat.",
            |from, to| each(from, to, |backend| backend.refused),
        ),
        counter(
            "tandem_backend_incoming_packets_total",
            BACKEND,
            "Packets of clients that were forwarded to the backend.",
            |from, to| each(from, to, |backend| backend.packets),
        ),
        counter(
            "tandem_backend_incoming_bytes_total",
            BACKEND,
            "Bytes of those packets, from the link header on.",
            |from, to| each(from, to, |backend| backend.bytes),
        ),
    ],
};
