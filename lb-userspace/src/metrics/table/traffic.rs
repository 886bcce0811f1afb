//! Packets and flows of the whole director.

use super::{Section, counter, gauge};
use crate::api::types::{Family, Fate};

pub(in crate::metrics) const SECTION: Section = Section {
    title: "Traffic and tables",
    metrics: &[
        counter(
            "tandem_connections_total",
            &[],
            "Flows (TCP connections, pseudo-connections of UDP) that were given to a backend.",
            |from, to| to.add(&[], from.stats.new_flows),
        )
        .like("node_ipvs_connections_total"),
        counter(
            "tandem_incoming_packets_total",
            &[],
            "Packets of clients that were forwarded.",
            |from, to| to.add(&[], from.stats.packets),
        )
        .like("node_ipvs_incoming_packets_total"),
        counter(
            "tandem_incoming_bytes_total",
            &[],
            "Bytes of those packets, from the link header on.",
            |from, to| to.add(&[], from.stats.bytes),
        )
        .like("node_ipvs_incoming_bytes_total"),
        counter(
            "tandem_not_forwarded_packets_total",
            &["reason", "fate"],
            "Packets that were not forwarded, by reason and by what became of them: pass (to the kernel), drop, answer. \
             docs/drop-reasons.md explains each reason.",
            |from, to| {
                for reason in &from.stats.reasons {
                    let fate = match reason.fate {
                        Fate::Pass => "pass",
                        Fate::Drop => "drop",
                        Fate::Answer => "answer",
                    };
                    to.add(&[&reason.slug, fate], reason.packets);
                }
            },
        ),
        counter(
            "tandem_datapath_events_total",
            &["event"],
            "What else happened in the packet path: flows made and evicted, and so on. docs/drop-reasons.md explains each.",
            |from, to| {
                for event in &from.stats.events {
                    to.add(&[&event.slug], event.count);
                }
            },
        ),
        gauge(
            "tandem_flow_places",
            &["family"],
            "Flows that the flow table has room for.",
            |from, to| {
                for table in &from.stats.tables {
                    to.add(&[family(table.family)], table.places);
                }
            },
        ),
        gauge(
            "tandem_flows",
            &["family", "state"],
            "Living flows, at the last census. The states are those of IPVS.",
            |from, to| {
                for table in &from.stats.tables {
                    for count in &table.by_state {
                        to.add(&[family(table.family), count.state.0.name()], count.flows);
                    }
                }
            },
        ),
        gauge(
            "tandem_census_age_seconds",
            &[],
            "Time since the last census of the flow tables; there is one each second.",
            |from, to| {
                if let Some(age) = from.stats.census_age_seconds {
                    to.add(&[], age);
                }
            },
        ),
    ],
};

pub(super) const fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}
