//! One virtual router of a group: one VRID on one interface for one family.

use std::{net::IpAddr, time::Duration};

use lb_common::wire::vrrp::Interval;

use super::{
    Interface,
    announce::Announcements,
    event::{Family, Unfit},
};
use crate::core::{
    model::{Failback, Instance},
    vrrp::{DOWN_ADVERTS, Preempt, Settings, Takeover, Vips, VirtualRouter},
};

#[derive(Debug, Clone)]
pub(super) struct Wire {
    /// Number of its instance within the group.
    pub(super) instance: usize,
    pub(super) family: Family,
    pub(super) router: VirtualRouter,
    pub(super) announcements: Announcements,
}

impl Wire {
    /// The virtual routers of an instance: one for each family that it has VIPs of.
    pub(super) fn all_of(number: usize, instance: &Instance) -> Vec<Self> {
        Family::ALL
            .into_iter()
            .filter(|family| instance.vips.iter().any(|&vip| Family::of(vip) == *family))
            .map(|family| Self {
                instance: number,
                family,
                router: VirtualRouter::new(settings(instance, family, family.unspecified())),
                announcements: Announcements::new(instance.announce),
            })
            .collect()
    }

    /// What it is to be under this configuration and on this interface, with nothing lost of what it is.
    pub(super) fn reconfigure(&mut self, instance: &Instance, now: Duration) {
        let settings = Settings {
            // It follows from what is tracked, and changes with that.
            priority: self.router.settings().priority,
            ..settings(instance, self.family, self.router.settings().primary)
        };
        if settings != *self.router.settings() {
            if settings.vips != self.router.settings().vips {
                self.announcements.again(now);
            }
            self.router.reconfigure(settings, now);
        }
        self.announcements.reconfigure(instance.announce);
    }

    /// Takes note of the address to send from.
    pub(super) fn send_from(&mut self, primary: IpAddr, now: Duration) {
        if self.router.settings().primary != primary {
            let settings = self.router.settings().clone();
            self.router.reconfigure(Settings { primary, ..settings }, now);
        }
    }

    /// Has this priority from now on.
    pub(super) fn advertise_as(&mut self, priority: u8, now: Duration) {
        if self.router.settings().priority != priority {
            let settings = self.router.settings().clone();
            self.router.reconfigure(Settings { priority, ..settings }, now);
        }
    }

    /// Why it cannot run on an interface like this.
    pub(super) fn unfit(&self, name: &str, interface: &Interface) -> Option<Unfit> {
        if !interface.up {
            return Some(Unfit::LinkDown {
                interface: name.to_owned(),
            });
        }
        interface
            .primary(self.family)
            .is_none()
            .then(|| Unfit::NoAddress {
                interface: name.to_owned(),
                family: self.family,
            })
    }

    /// When there is something to do.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let due = self.router.due(now).is_some();
        let router = self.router.next_deadline().filter(|_| !due);
        router.into_iter().chain(self.announcements.next_deadline()).min()
    }
}

fn settings(instance: &Instance, family: Family, primary: IpAddr) -> Settings {
    let centiseconds = instance.advert_interval.as_millis() / 10;
    let interval = u16::try_from(centiseconds)
        .ok()
        .and_then(Interval::from_centiseconds);
    Settings {
        vrid: instance.vrid,
        priority: instance.priority,
        // The configuration allows no other.
        interval: interval.unwrap_or(Interval::MAX),
        preempt: match instance.failback {
            Failback::Never => Preempt::Never,
            Failback::AfterSync | Failback::Immediate => Preempt::After(instance.failback_delay),
        },
        down_adverts: DOWN_ADVERTS,
        takeover: Takeover::OnOrder,
        peers: instance.peers.clone(),
        primary,
        vips: vips(instance, family),
    }
}

fn vips(instance: &Instance, family: Family) -> Vips {
    match family {
        Family::V4 => Vips::V4(
            instance
                .vips
                .iter()
                .filter_map(|vip| match vip {
                    IpAddr::V4(vip) => Some(vip.octets()),
                    IpAddr::V6(_) => None,
                })
                .collect(),
        ),
        Family::V6 => Vips::V6(
            instance
                .vips
                .iter()
                .filter_map(|vip| match vip {
                    IpAddr::V4(_) => None,
                    IpAddr::V6(vip) => Some(vip.octets()),
                })
                .collect(),
        ),
    }
}
