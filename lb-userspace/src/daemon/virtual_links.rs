//! Keeps links with the MAC addresses of virtual routers: there as long as an instance is configured, switched on as long
//! as its VIPs are held. One that is off takes in nothing and sends nothing, so no switch is misled by a Backup.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use crate::{
    core::ha::VirtualMac,
    net::{
        Netlink,
        address::AddressBook,
        virtual_link::{NewLink, VirtualLink},
    },
};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct VirtualLinks {
    wanted: BTreeSet<VirtualMac>,
    /// Those that were set up by this daemon.
    ready: BTreeSet<VirtualMac>,
    /// What is wrong with others.
    faults: BTreeMap<VirtualMac, String>,
}

impl VirtualLinks {
    /// Wants exactly these from now on.
    pub(super) fn want(&mut self, wanted: BTreeSet<VirtualMac>) {
        self.ready.retain(|mac| wanted.contains(mac));
        self.faults.retain(|mac, _| wanted.contains(mac));
        self.wanted = wanted;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// What keeps VIPs from being at this address.
    pub(super) fn fault(&self, mac: &VirtualMac) -> Option<&str> {
        match self.ready.contains(mac) {
            true => None,
            false => Some(
                self.faults
                    .get(mac)
                    .map_or("it was not set up yet", String::as_str),
            ),
        }
    }

    /// Makes what is missing; whether something was made.
    pub(super) async fn make(&mut self, netlink: &Netlink, book: &AddressBook) -> bool {
        let mut made = false;
        for mac in &self.wanted {
            // Without the interface there is nothing to do, and who looks after it has said so.
            let Some(lower) = book.link(&mac.interface) else {
                self.ready.remove(mac);
                continue;
            };
            let is_present = of(book, mac).is_some();
            if is_present && self.ready.contains(mac) {
                continue;
            }
            let link = NewLink {
                name: mac.link(lower.ifindex),
                lower: (&mac.interface, lower.ifindex),
                mac: mac.address(),
                family: mac.family,
            };
            if self.ready.remove(mac) {
                warn!(
                    link = link.name,
                    "the link with the VIPs' MAC address was no longer there"
                );
            }
            let done = match is_present {
                true => link.set_up(),
                false => netlink.add_virtual_link(&link).await.and_then(|()| link.set_up()),
            };
            made |= !is_present;
            match done.map_err(|error| error.to_string()) {
                Ok(()) => {
                    info!(link = link.name, mac = %link.mac, "made the link with the VIPs' MAC address");
                    self.faults.remove(mac);
                    self.ready.insert(mac.clone());
                }
                Err(error) => {
                    if self.faults.get(mac) != Some(&error) {
                        warn!(error, "VIPs cannot be at {}; trying again", link.mac);
                        self.faults.insert(mac.clone(), error);
                    }
                }
            }
        }
        made
    }

    /// Switches these on.
    pub(super) async fn switch_on(&self, netlink: &Netlink, book: &AddressBook, held: &BTreeSet<VirtualMac>) {
        let off = held
            .iter()
            .filter_map(|mac| of(book, mac))
            .filter(|link| !link.is_on);
        for link in off {
            if let Err(error) = netlink.switch_link(link, true).await {
                warn!(%error, "the VIPs of {} cannot be reached", link.name);
            }
        }
    }

    /// Switches all others off, and removes what nobody wants (any more).
    pub(super) async fn switch_off(
        &self,
        netlink: &Netlink,
        book: &AddressBook,
        held: &BTreeSet<VirtualMac>,
    ) {
        for link in book.virtual_links() {
            let is = |mac: &&VirtualMac| of(book, mac) == Some(link);
            let done = if !self.wanted.iter().any(|mac| is(&mac)) {
                info!(link = link.name, "removing the link with the MAC address of VIPs");
                netlink.remove_link(link).await
            } else if link.is_on && !held.iter().any(|mac| is(&mac)) {
                netlink.switch_link(link, false).await
            } else {
                Ok(())
            };
            if let Err(error) = done {
                warn!(%error, "frames to the VIPs' MAC address still come here");
            }
        }
    }
}

/// The link that has this address.
pub(super) fn of<'a>(book: &'a AddressBook, mac: &VirtualMac) -> Option<&'a VirtualLink> {
    let lower = book.link(&mac.interface)?.ifindex;
    let address = mac.address();
    let mut links = book.virtual_links().iter();
    links.find(|link| (link.lower, link.mac) == (lower, address))
}
