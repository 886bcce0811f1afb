//! The VIPs of a director that is the only one: always held, on one interface.

use std::{collections::BTreeSet, net::IpAddr};

use tracing::{info, warn};

use super::holder::Holder;
use crate::{
    core::ha::Place,
    net::{NetlinkError, address::AddressError, announce::Announcer},
};

/// Keeps the VIPs on an interface, and tells the network.
pub(super) struct Vips {
    pub(super) holder: Holder,
    /// Those that the network was not told of yet.
    unannounced: BTreeSet<IpAddr>,
    /// Those of which it was said that they could not be announced.
    failing: BTreeSet<IpAddr>,
}

impl Vips {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            holder: Holder::open()?,
            unannounced: BTreeSet::new(),
            failing: BTreeSet::new(),
        })
    }

    /// Makes the interface hold exactly `wanted` of ours, and no other interface any. What fails is said, and
    /// [tried again](Self::keep).
    pub(super) async fn hold(&mut self, interface: &str, wanted: &BTreeSet<IpAddr>) {
        for vips in [&mut self.unannounced, &mut self.failing] {
            vips.retain(|vip| wanted.contains(vip));
        }
        let place = |&vip: &IpAddr| Place {
            interface: interface.to_owned(),
            vip,
            vrid: None,
        };
        let places = wanted.iter().map(place).collect();
        let new = self.holder.hold(places).await;
        self.unannounced.extend(new.into_iter().map(|place| place.vip));
        self.announce(interface).await;
    }

    /// Holds none from now on, and leaves those of others alone.
    pub(super) async fn release(&mut self) {
        self.unannounced.clear();
        self.failing.clear();
        self.holder.hold(BTreeSet::new()).await;
    }

    /// Puts back what is missing, and tells the network what it was not told yet.
    pub(super) async fn keep(&mut self, interface: &str) {
        let new = self.holder.keep().await;
        self.unannounced.extend(new.into_iter().map(|place| place.vip));
        self.announce(interface).await;
    }

    /// Removes every VIP of ours from every interface.
    pub(super) async fn drop_all(&mut self) -> Result<(), AddressError> {
        self.holder.drop_all().await
    }

    async fn announce(&mut self, interface: &str) {
        if self.unannounced.is_empty() {
            return;
        }
        let (vips, error) = match self.try_to_announce(interface).await {
            Ok(()) => (std::mem::take(&mut self.unannounced), None),
            Err(error) => (self.unannounced.clone(), Some(error)),
        };
        for vip in vips {
            match &error {
                None => {
                    self.failing.remove(&vip);
                    info!(%vip, interface, "holding the VIP");
                }
                Some(error) if self.failing.insert(vip) => {
                    warn!(%vip, interface, error, "cannot announce the VIP; trying again");
                }
                Some(_) => {}
            }
        }
    }

    async fn try_to_announce(&self, interface: &str) -> Result<(), String> {
        let facts = self.holder.netlink.link_facts(interface).await;
        let facts = facts.map_err(|error| error.to_string())?;
        if !facts.running {
            return Err(format!("{interface} is down or has no carrier"));
        }
        let Some(mac) = facts.mac else {
            return Err(format!("{interface} is no Ethernet link"));
        };
        let announcer = Announcer::open(interface).map_err(|error| error.to_string())?;
        self.unannounced
            .iter()
            .try_for_each(|&vip| announcer.announce(vip, mac))
            .map_err(|error| error.to_string())
    }
}
