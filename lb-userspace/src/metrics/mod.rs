//! Metrics in the text formats of Prometheus, from what the API tells.
//!
//! [`metrics`] is the table of all there are: name, kind, labels, sentence, and how the values are read. The answer to
//! a scrape and docs/metrics.md both come from it. Names are never reused; labels name what the configuration names,
//! never clients.

mod exposition;
mod table;
#[cfg(test)]
mod tests;

pub use self::exposition::{Format, Samples, write};
use crate::{
    api::types::{BackendView, HaView, ServiceView, StatsView, StatusView, SyncView},
    notify::ReceiverView,
};

/// What a scrape tells.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The director as a whole.
    pub status: StatusView,
    /// Services.
    pub services: Vec<ServiceView>,
    /// Backends.
    pub backends: Vec<BackendView>,
    /// Counters and tables.
    pub stats: StatsView,
    /// The pair.
    pub ha: HaView,
    /// Connections of the other directors.
    pub sync: SyncView,
    /// How many orders stand.
    pub orders: usize,
    /// How often each kind of event happened; those that never did need not be there.
    pub events: Vec<(&'static str, u64)>,
    /// How telling of events goes.
    pub receivers: Vec<ReceiverView>,
}

/// What kind of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises, until balancing begins anew. Its name ends in `_total`.
    Counter,
    /// It rises and falls.
    Gauge,
}

impl Kind {
    /// The word for it in the formats.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with `_total` if it is a counter.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What its samples are told apart by.
    pub labels: &'static [&'static str],
    /// What it means, as a sentence.
    pub help: &'static str,
    /// The same elsewhere: a metric of node_exporter or of an exporter for keepalived; empty where there is none.
    pub like: &'static str,
    read: fn(&Snapshot, &mut Samples<'_>),
}

/// A part of the table, and what it is about.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its title.
    pub title: &'static str,
    /// Its metrics.
    pub metrics: &'static [Metric],
}

/// All there are, by what they are about.
pub const SECTIONS: &[Section] = &[
    table::director::SECTION,
    table::traffic::SECTION,
    table::service::SECTION,
    table::backend::SECTION,
    table::health::SECTION,
    table::ha::SECTION,
    table::heartbeat::SECTION,
    table::sync::SECTION,
    table::events::SECTION,
];

/// All there are.
pub fn metrics() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|section| section.metrics)
}
