//! The pair.

use super::{Samples, Section, Snapshot, counter, gauge, traffic::family};
use crate::{
    api::types::{InstanceView, Role, RouterView},
    metrics::exposition::Number,
};

const INSTANCE: &[&str] = &["vrrp_instance", "interface", "vrid"];
const ROUTER: &[&str] = &["vrrp_instance", "family"];

fn each<N: Into<Number>>(from: &Snapshot, to: &mut Samples<'_>, number: fn(&InstanceView) -> N) {
    for instance in &from.ha.instances {
        let vrid = instance.vrid.to_string();
        to.add(&[&instance.name, &instance.interface, &vrid], number(instance));
    }
}

fn each_router<N: Into<Number>>(from: &Snapshot, to: &mut Samples<'_>, number: fn(&RouterView) -> Option<N>) {
    for instance in &from.ha.instances {
        for router in &instance.routers {
            if let Some(number) = number(router) {
                to.add(&[&instance.name, family(router.family)], number);
            }
        }
    }
}

pub(in crate::metrics) const SECTION: Section = Section {
    title: "The pair",
    metrics: &[
        gauge(
            "tandem_vrrp_state",
            INSTANCE,
            "What the director is in the instance: 0 takes no part, 1 Backup, 2 Active (it holds the VIPs).",
            |from, to| {
                each(from, to, |instance| match instance.role {
                    Role::Out => 0_u32,
                    Role::Backup => 1,
                    Role::Active => 2,
                });
            },
        )
        .like("keepalived_vrrp_state"),
        gauge(
            "tandem_vrrp_priority",
            INSTANCE,
            "Priority that is in force.",
            |from, to| each(from, to, |instance| u32::from(instance.priority)),
        ),
        gauge(
            "tandem_vrrp_fit",
            INSTANCE,
            "Whether the director could hold the VIPs. `tandem ha` says why it could not.",
            |from, to| each(from, to, |instance| instance.unfit.is_empty()),
        ),
        gauge(
            "tandem_vrrp_health_ratio",
            INSTANCE,
            "Health score: how much of what is behind the VIPs is reached, less what monitors take; 0 to 1. Among directors of the same \
             priority the higher one takes over.",
            |from, to| each(from, to, |instance| f64::from(instance.health_percent) / 100.0),
        ),
        counter(
            "tandem_vrrp_advertisements_sent_total",
            ROUTER,
            "Advertisements that were to be sent.",
            |from, to| each_router(from, to, |router| Some(router.sent)),
        )
        .like("keepalived_advertisements_sent_total"),
        counter(
            "tandem_vrrp_advertisements_received_total",
            ROUTER,
            "Advertisements of other directors that were obeyed or answered.",
            |from, to| each_router(from, to, |router| Some(router.received)),
        )
        .like("keepalived_advertisements_received_total"),
        counter(
            "tandem_vrrp_refused_total",
            &["vrrp_instance", "family", "reason"],
            "Messages about the instance that were refused. `tandem ha` explains the reasons.",
            |from, to| {
                for instance in &from.ha.instances {
                    for router in &instance.routers {
                        for refused in &router.refused {
                            let labels = [&instance.name, family(router.family), &refused.slug];
                            to.add(&labels, refused.count);
                        }
                    }
                }
            },
        ),
        gauge(
            "tandem_vrrp_heard_age_seconds",
            ROUTER,
            "Time since the last advertisement of another director; not there if there was none.",
            |from, to| {
                each_router(from, to, |router| {
                    let heard = router.heard.as_ref()?;
                    Some(heard.age_milliseconds as f64 / 1000.0)
                });
            },
        ),
        gauge(
            "tandem_vrrp_interface_up",
            &["interface"],
            "Whether the interface of an instance can carry packets.",
            |from, to| {
                for port in &from.ha.interfaces {
                    to.add(&[&port.name], port.up);
                }
            },
        ),
        counter(
            "tandem_vrrp_errors_total",
            &["interface"],
            "How often VRRP could not send or receive there.",
            |from, to| {
                for port in &from.ha.interfaces {
                    to.add(&[&port.name], port.errors);
                }
            },
        ),
    ],
};
