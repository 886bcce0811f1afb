//! The VIPs as addresses of an interface.

use std::{collections::BTreeSet, net::IpAddr};

use tracing::{info, warn};

use crate::net::{
    Netlink, NetlinkError,
    address::{Added, Removed},
    announce::Announcer,
};

/// Keeps the VIPs on an interface.
pub(super) struct Vips {
    pub(super) netlink: Netlink,
    held: BTreeSet<IpAddr>,
}

impl Vips {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            netlink: Netlink::open()?,
            held: BTreeSet::new(),
        })
    }

    /// Makes the interface hold exactly `wanted` of ours; those that an earlier daemon left elsewhere are removed. What
    /// fails is said, and tried again the next time.
    pub(super) async fn hold(&mut self, interface: &str, wanted: &BTreeSet<IpAddr>) {
        let pairs: Vec<_> = wanted.iter().map(|&vip| (interface.to_owned(), vip)).collect();
        match self.netlink.leftovers(&pairs).await {
            Ok(leftovers) => {
                for leftover in leftovers {
                    self.remove(&leftover.interface, leftover.address).await;
                }
            }
            Err(error) => warn!(%error, "cannot look for VIPs that are no longer wanted"),
        }
        let mut added = Vec::new();
        for &vip in wanted {
            match self.netlink.add_address(interface, vip).await {
                Ok(Added::New) => added.push(vip),
                Ok(Added::Already) => {}
                Ok(Added::Foreign) if self.held.contains(&vip) => {}
                Ok(Added::Foreign) => {
                    info!(%vip, interface, "the VIP is there already, set by somebody else; it stays theirs");
                }
                Err(error) => {
                    warn!(%vip, interface, %error, "cannot hold the VIP");
                    continue;
                }
            }
            self.held.insert(vip);
        }
        self.held.retain(|vip| wanted.contains(vip));
        self.announce(interface, &added).await;
    }

    async fn announce(&self, interface: &str, vips: &[IpAddr]) {
        if vips.is_empty() {
            return;
        }
        let mac = match self.netlink.link_facts(interface).await {
            Ok(facts) => facts.mac,
            Err(error) => return warn!(interface, %error, "cannot announce the VIPs"),
        };
        let (Some(mac), Ok(announcer)) = (mac, Announcer::open(interface)) else {
            return warn!(
                interface,
                "cannot announce the VIPs: no Ethernet link, or no permission (CAP_NET_RAW)"
            );
        };
        for &vip in vips {
            match announcer.announce(vip, mac) {
                Ok(()) => info!(%vip, interface, "holding the VIP"),
                Err(error) => warn!(%vip, interface, %error, "cannot announce the VIP"),
            }
        }
    }

    /// Removes every VIP of ours from every interface.
    pub(super) async fn drop_all(&mut self) -> Result<(), NetlinkError> {
        for leftover in self.netlink.leftovers(&[]).await? {
            self.remove(&leftover.interface, leftover.address).await;
        }
        self.held.clear();
        Ok(())
    }

    async fn remove(&self, interface: &str, vip: IpAddr) {
        match self.netlink.remove_address(interface, vip).await {
            Ok(Removed::Gone) => info!(%vip, interface, "removed the VIP"),
            Ok(Removed::Absent | Removed::Foreign) => {}
            Err(error) => warn!(%vip, interface, %error, "cannot remove the VIP"),
        }
    }
}
