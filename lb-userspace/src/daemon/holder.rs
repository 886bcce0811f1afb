//! Keeps addresses of ours on interfaces, whoever decides which.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use tracing::{info, warn};

use crate::net::{
    Netlink, NetlinkError,
    address::{Added, AddressBook, AddressError, Leftover, Removed},
};

/// An address, and the interface that it belongs on.
pub(super) type Place = (String, IpAddr);

/// Makes interfaces hold exactly the addresses that are wanted, and no others of ours.
pub(super) struct Holder {
    pub(super) netlink: Netlink,
    wanted: BTreeSet<Place>,
    held: BTreeSet<Place>,
    /// What was said of those that fail.
    failing: BTreeMap<Place, String>,
}

impl Holder {
    pub(super) fn open() -> Result<Self, NetlinkError> {
        Ok(Self {
            netlink: Netlink::open()?,
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
        match self.netlink.address_book().await {
            Ok(book) => {
                self.remove_others(&book).await;
                self.add_missing(&book).await
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
        if self.wanted.is_empty() {
            return Vec::new();
        }
        match self.netlink.address_book().await {
            Ok(book) => self.add_missing(&book).await,
            // Said when it began, by whatever needs the kernel's tables as well.
            Err(_) => Vec::new(),
        }
    }

    /// Removes every address of ours from every interface.
    pub(super) async fn drop_all(&mut self) -> Result<(), AddressError> {
        self.wanted.clear();
        self.held.clear();
        let book = self.netlink.address_book().await?;
        for leftover in book.leftovers(&self.wanted) {
            self.remove(&book, &leftover).await?;
        }
        Ok(())
    }

    async fn remove_others(&self, book: &AddressBook) {
        for leftover in book.leftovers(&self.wanted) {
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
            let (interface, vip) = place;
            match self.netlink.add_address(book, interface, *vip).await {
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
