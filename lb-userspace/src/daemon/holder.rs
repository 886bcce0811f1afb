//! Keeps addresses of ours on interfaces, whoever decides which.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use super::virtual_links::{self, VirtualLinks};
use crate::{
    core::ha::Place,
    net::{
        Netlink, NetlinkError,
        address::{Added, AddressBook, AddressError, Leftover, Removed},
    },
};

/// Makes interfaces hold exactly the addresses that are wanted, and no others of ours; and sees to the links that those
/// are on which have a MAC address of their own.
pub(super) struct Holder {
    pub(super) netlink: Netlink,
    pub(super) links: VirtualLinks,
    wanted: BTreeSet<Place>,
    held: BTreeSet<Place>,
    /// What was said of those that fail.
    failing: BTreeMap<Place, String>,
}

impl Holder {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            netlink: Netlink::open()?,
            links: VirtualLinks::default(),
            wanted: BTreeSet::new(),
            held: BTreeSet::new(),
            failing: BTreeMap::new(),
        })
    }

    /// Wants exactly these from now on; addresses that an earlier daemon left elsewhere are removed. Returns those that were
    /// not there before. What fails is said, and [tried again](Self::keep).
    pub(super) async fn hold(&mut self, wanted: BTreeSet<Place>) -> Vec<Place> {
        self.held.retain(|place| wanted.contains(place));
        self.failing.retain(|place, _| wanted.contains(place));
        self.wanted = wanted;
        match self.look().await {
            Ok(book) => {
                self.remove_others(&book).await;
                self.put_in_place(&book).await
            }
            Err(error) => {
                warn!(%error, "cannot see which VIPs are there; trying again");
                Vec::new()
            }
        }
    }

    /// Puts back what was taken off the interfaces, or went with another of their names, and tries again what failed.
    /// Returns those that were not there before.
    pub(super) async fn keep(&mut self) -> Vec<Place> {
        if self.wanted.is_empty() && self.links.is_empty() {
            return Vec::new();
        }
        match self.look().await {
            Ok(book) => self.put_in_place(&book).await,
            // Said when it began, by whatever needs the kernel's tables as well.
            Err(_) => Vec::new(),
        }
    }

    /// Has no links any more, if no VIP is held.
    pub(super) async fn take_leave(&mut self) {
        if self.wanted.is_empty() && !self.links.is_empty() {
            self.links.want(BTreeSet::new());
            self.hold(BTreeSet::new()).await;
        }
    }

    /// What is there, once links that were missing are made.
    async fn look(&mut self) -> Result<AddressBook, NetlinkError> {
        let book = self.netlink.address_book().await?;
        match self.links.make(&self.netlink, &book).await {
            true => self.netlink.address_book().await,
            false => Ok(book),
        }
    }

    async fn put_in_place(&mut self, book: &AddressBook) -> Vec<Place> {
        let macs = self.wanted.iter().filter_map(Place::virtual_mac).collect();
        self.links.switch_on(&self.netlink, book, &macs).await;
        let new = self.add_missing(book).await;
        self.links.switch_off(&self.netlink, book, &macs).await;
        new
    }

    /// Removes every address of ours from every interface, and every link of ours.
    pub(super) async fn drop_all(&mut self) -> Result<(), AddressError> {
        self.wanted.clear();
        self.held.clear();
        let book = self.netlink.address_book().await?;
        for leftover in book.leftovers(&BTreeSet::new()) {
            self.remove(&book, &leftover).await?;
        }
        for link in book.virtual_links() {
            self.netlink.remove_link(link).await?;
        }
        Ok(())
    }

    async fn remove_others(&self, book: &AddressBook) {
        let wanted = self.wanted.iter();
        let wanted = wanted.map(|place| (interface(place, book), place.vip)).collect();
        for leftover in book.leftovers(&wanted) {
            if let Err(error) = self.remove(book, &leftover).await {
                let Leftover { interface, address } = leftover;
                warn!(vip = %address, interface, %error, "cannot remove the VIP");
            }
        }
    }

    async fn remove(&self, book: &AddressBook, leftover: &Leftover) -> Result<(), AddressError> {
        let Leftover { interface, address } = leftover;
        match self.netlink.remove_address(book, interface, *address).await? {
            Removed::Gone => info!(vip = %address, interface, "removed the VIP"),
            Removed::Absent | Removed::Foreign => {}
        }
        Ok(())
    }

    async fn add_missing(&mut self, book: &AddressBook) -> Vec<Place> {
        let mut new = Vec::new();
        for place in &self.wanted {
            let (interface, vip) = (&interface(place, book), place.vip);
            match self.netlink.add_address(book, interface, vip).await {
                Ok(Added::New) => {
                    if self.held.contains(place) {
                        warn!(%vip, interface, "the VIP was no longer on the interface");
                    }
                    new.push(place.clone());
                }
                Ok(Added::Already) => {}
                Ok(Added::Foreign) if self.held.contains(place) => {}
                Ok(Added::Foreign) => {
                    info!(%vip, interface, "the VIP is there already, set by somebody else; it stays theirs");
                }
                // Without the interface there is nothing to do, and who looks after it has said so.
                Err(AddressError::NoInterface { .. }) if self.held.contains(place) => continue,
                Err(error) => {
                    let error = error.to_string();
                    if self.failing.get(place) != Some(&error) {
                        warn!(%vip, interface, error, "cannot hold the VIP; trying again");
                        self.failing.insert(place.clone(), error);
                    }
                    continue;
                }
            }
            self.failing.remove(place);
            self.held.insert(place.clone());
        }
        new
    }
}

/// The interface that the address is put on.
fn interface(place: &Place, book: &AddressBook) -> String {
    match place.virtual_mac() {
        None => place.interface.clone(),
        Some(mac) => match virtual_links::of(book, &mac) {
            Some(link) => link.name.clone(),
            None => mac.link(book.link(&place.interface).map_or(0, |lower| lower.ifindex)),
        },
    }
}
