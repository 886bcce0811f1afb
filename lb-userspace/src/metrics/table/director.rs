//! The director itself.

use super::{Section, gauge};
use crate::api::types::XdpMode;

pub(in crate::metrics) const SECTION: Section = Section {
    title: "The director",
    metrics: &[
        gauge(
            "tandem_build_info",
            &["director", "version"],
            "1, with the director's name and the daemon's version.",
            |from, to| to.add(&[&from.status.name, &from.status.version], 1_u32),
        ),
        gauge(
            "tandem_uptime_seconds",
            &[],
            "Time since the daemon was started. Balancing may have begun long before.",
            |from, to| to.add(&[], from.status.uptime_seconds),
        ),
        gauge(
            "tandem_interface_attached",
            &["interface"],
            "Whether the XDP program is on the interface.",
            |from, to| {
                for interface in &from.status.interfaces {
                    to.add(&[&interface.name], interface.mode.is_some());
                }
            },
        ),
        gauge(
            "tandem_interface_generic",
            &["interface"],
            "Whether the XDP program runs behind the driver instead of in it, which is slow.",
            |from, to| {
                for interface in &from.status.interfaces {
                    to.add(&[&interface.name], interface.mode == Some(XdpMode::Generic));
                }
            },
        ),
        gauge(
            "tandem_orders",
            &[],
            "Orders of operators that stand: drains, backends that were taken out, other weights.",
            |from, to| to.add(&[], from.orders),
        ),
    ],
};
