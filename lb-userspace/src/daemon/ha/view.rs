//! What the HA thread tells of itself.

use std::time::Duration;

use lb_common::wire::vrrp::Refusal;

use super::{peers, worker::Worker};
use crate::{
    api::types::{CountView, HaView, HeardView, InstanceView, PortView, ReachView, RouterView},
    core::{
        ha::{GroupView, Reach, WireView},
        vrrp::Counters,
    },
};

pub(super) fn view(worker: &Worker, now: Duration) -> HaView {
    let Worker {
        member, ports, paths, ..
    } = worker;
    let groups = member.groups();
    let port = |name: &str| {
        let port = ports.get(name);
        PortView {
            name: name.to_owned(),
            up: port.is_some_and(|port| port.told.up),
            errors: port.map_or(0, |port| port.errors),
            last_error: port.and_then(|port| port.last_error.clone()),
        }
    };
    HaView {
        director: worker.name.clone(),
        instances: groups.flat_map(|group| instances(group, now)).collect(),
        interfaces: member.interfaces().into_iter().map(port).collect(),
        refused: refusals(member.strangers()),
        maintenance: member.is_in_maintenance(),
        cluster: peers::part(member, paths, now),
        outlook: peers::outlook(member, now),
    }
}

fn instances(group: GroupView<'_>, now: Duration) -> Vec<InstanceView> {
    let change = group.last_change();
    let instances = group.instances().iter().map(|instance| {
        let routers = group.wires().filter(|wire| wire.instance.name == instance.name);
        InstanceView {
            name: instance.name.clone(),
            group: instance.group.clone(),
            interface: instance.interface.clone(),
            vrid: instance.vrid,
            role: group.role().into(),
            since_seconds: change.map(|change| now.saturating_sub(change.at).as_secs()),
            reason: change.map(|change| change.why.to_string()),
            unfit: group.unfit().iter().map(ToString::to_string).collect(),
            priority: group.priority(),
            health_percent: group.health(),
            services: group.services().iter().map(reach).collect(),
            remarks: group.remarks(now),
            vips: instance.vips.clone(),
            routers: routers.map(|wire| router(&wire, now)).collect(),
        }
    });
    instances.collect()
}

fn reach(reach: &Reach) -> ReachView {
    ReachView {
        service: reach.service.clone(),
        reached: reach.reached,
        backends: reach.backends,
    }
}

fn router(wire: &WireView<'_>, now: Duration) -> RouterView {
    let counters = wire.router.counters();
    let heard = wire.router.last_heard();
    RouterView {
        family: wire.family.into(),
        virtual_mac: wire.virtual_mac().map(|mac| mac.to_string()),
        primary: (!wire.primary.is_unspecified()).then_some(wire.primary),
        heard: heard.map(|(heard, at)| HeardView {
            source: heard.source,
            priority: heard.priority,
            interval_milliseconds: millis(heard.interval.duration()),
            age_milliseconds: millis(now.saturating_sub(at)),
        }),
        sent: counters.sent,
        received: counters.received,
        refused: refusals(counters),
        differing_addresses: counters.differing_addresses,
        differing_interval: counters.differing_interval,
    }
}

/// Those that occurred.
fn refusals(counters: &Counters) -> Vec<CountView> {
    let all = Refusal::ALL.iter().map(|&refusal| CountView {
        slug: refusal.slug().to_owned(),
        sentence: refusal.sentence().to_owned(),
        count: counters.refused(refusal),
    });
    all.filter(|view| view.count > 0).collect()
}

pub(super) fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
