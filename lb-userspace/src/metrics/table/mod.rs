//! The table of metrics, a file for each section.

pub(super) mod backend;
pub(super) mod director;
pub(super) mod events;
pub(super) mod ha;
pub(super) mod health;
pub(super) mod heartbeat;
pub(super) mod service;
pub(super) mod sync;
pub(super) mod traffic;

use super::{Kind, Metric, Samples, Section, Snapshot};

type Read = fn(&Snapshot, &mut Samples<'_>);

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: Read,
) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        labels,
        help,
        like: "",
        read,
    }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: Read,
) -> Metric {
    Metric {
        kind: Kind::Gauge,
        ..counter(name, labels, help, read)
    }
}

impl Metric {
    /// The same is called so elsewhere.
    const fn like(self, name: &'static str) -> Self {
        Self { like: name, ..self }
    }
}
