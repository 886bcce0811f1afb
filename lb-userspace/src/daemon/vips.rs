//! The VIPs as addresses of an interface.

use std::{collections::BTreeSet, net::IpAddr};

use tracing::{info, warn};

use crate::net::{
    Netlink, NetlinkError,
    address::{Added, AddressError, Leftover, Removed},
    announce::Announcer,
};

/// Keeps the VIPs on an interface.
pub(super) struct Vips {
    pub(super) netlink: Netlink,
    wanted: BTreeSet<IpAddr>,
    held: BTreeSet<IpAddr>,
    /// Those that the network was not told of yet.
    unannounced: BTreeSet<IpAddr>,
    /// Those of which a failure was said.
    failing: BTreeSet<IpAddr>,
}

impl Vips {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            netlink: Netlink::open()?,
            wanted: BTreeSet::new(),
            held: BTreeSet::new(),
            unannounced: BTreeSet::new(),
            failing: BTreeSet::new(),
        })
    }

    /// Makes the interface hold exactly `wanted` of ours; those that an earlier daemon left elsewhere are removed. What
    /// fails is said, and [tried again](Self::keep).
    pub(super) async fn hold(&mut self, interface: &str, wanted: &BTreeSet<IpAddr>) {
        let pairs: Vec<_> = wanted.iter().map(|&vip| (interface.to_owned(), vip)).collect();
        match self.netlink.leftovers(&pairs).await {
            Ok(leftovers) => {
                for Leftover { interface, address } in leftovers {
                    if let Err(error) = self.remove(&interface, address).await {
                        warn!(%address, interface, %error, "cannot remove the VIP");
                    }
                }
            }
            Err(error) => warn!(%error, "cannot look for VIPs that are no longer wanted"),
        }
        self.wanted.clone_from(wanted);
        for vips in [&mut self.held, &mut self.unannounced, &mut self.failing] {
            vips.retain(|vip| wanted.contains(vip));
        }
        for &vip in wanted {
            self.add(interface, vip).await;
        }
        self.announce(interface).await;
    }

    /// Puts back what was taken off the interface, or went with another of its name, and tells the network what it was not
    /// told yet.
    pub(super) async fn keep(&mut self, interface: &str) {
        if self.wanted.is_empty() {
            return;
        }
        // Without the interface there is nothing to do, and who looks after it has said so.
        let Ok(present) = self.netlink.addresses(interface).await else {
            return;
        };
        let present: BTreeSet<IpAddr> = present.into_iter().map(|found| found.address).collect();
        let missing: Vec<IpAddr> = self.wanted.difference(&present).copied().collect();
        for vip in missing {
            if self.held.remove(&vip) {
                warn!(%vip, interface, "the VIP was no longer on the interface");
            }
            self.add(interface, vip).await;
        }
        self.announce(interface).await;
    }

    async fn add(&mut self, interface: &str, vip: IpAddr) {
        match self.netlink.add_address(interface, vip).await {
            Ok(Added::New) => {
                self.unannounced.insert(vip);
            }
            Ok(Added::Already) => {}
            Ok(Added::Foreign) if self.held.contains(&vip) => {}
            Ok(Added::Foreign) => {
                info!(%vip, interface, "the VIP is there already, set by somebody else; it stays theirs");
            }
            Err(error) => {
                if self.failing.insert(vip) {
                    warn!(%vip, interface, %error, "cannot hold the VIP; trying again");
                }
                return;
            }
        }
        self.failing.remove(&vip);
        self.held.insert(vip);
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
        let facts = self.netlink.link_facts(interface).await;
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

    /// Removes every VIP of ours from every interface.
    pub(super) async fn drop_all(&mut self) -> Result<(), AddressError> {
        for Leftover { interface, address } in self.netlink.leftovers(&[]).await? {
            self.remove(&interface, address).await?;
        }
        self.held.clear();
        Ok(())
    }

    async fn remove(&self, interface: &str, vip: IpAddr) -> Result<(), AddressError> {
        match self.netlink.remove_address(interface, vip).await? {
            Removed::Gone => info!(%vip, interface, "removed the VIP"),
            Removed::Absent | Removed::Foreign => {}
        }
        Ok(())
    }
}
