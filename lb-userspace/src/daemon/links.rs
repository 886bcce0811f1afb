//! How backends are reached, as the packet path wants it: from what the monitor tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi::Link;

use crate::{
    core::{
        neighbour::{Egress, Unresolved},
        plan::Inventory,
    },
    net::monitor::Change,
};

/// What is known of each backend address.
#[derive(Debug, Default)]
pub(super) struct Links {
    known: BTreeMap<IpAddr, Egress>,
    /// Links that an earlier daemon had written: they hold until something is known.
    inherited: BTreeMap<IpAddr, Link>,
}

impl Links {
    /// What an earlier daemon knew.
    pub(super) fn inherit(inventory: &Inventory) -> Self {
        let links = inventory
            .backends
            .values()
            .filter_map(|backend| Some((backend.address, backend.link?)));
        Self {
            known: BTreeMap::new(),
            inherited: links.collect(),
        }
    }

    /// Takes note of a change; whether it makes a difference to the packet path.
    pub(super) fn note(&mut self, change: Change) -> bool {
        let before = self.link(change.address);
        self.known.insert(change.address, change.egress);
        self.link(change.address) != before
    }

    /// Forgets addresses that nobody asks for any more.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<IpAddr>) {
        self.known.retain(|address, _| wanted.contains(address));
        self.inherited.retain(|address, _| wanted.contains(address));
    }

    /// How the backend is reached.
    pub(super) fn link(&self, address: IpAddr) -> Option<Link> {
        match self.known.get(&address) {
            None | Some(Egress::Unresolved(Unresolved::NotYetResolved)) => {
                self.inherited.get(&address).copied()
            }
            Some(egress) => {
                let hop = egress.on_link(address).ok()?;
                Some(Link {
                    destination: hop.dest_mac.0,
                    source: hop.source_mac.0,
                    ifindex: hop.ifindex,
                })
            }
        }
    }

    /// Every backend that is reached.
    pub(super) fn all(&self) -> BTreeMap<IpAddr, Link> {
        let addresses: BTreeSet<&IpAddr> = self.known.keys().chain(self.inherited.keys()).collect();
        addresses
            .into_iter()
            .filter_map(|&address| Some((address, self.link(address)?)))
            .collect()
    }

    /// The interface and the MAC address by which the backend is reached, or why it is not.
    pub(super) fn describe(&self, address: IpAddr) -> Result<(String, [u8; 6]), String> {
        match self.known.get(&address) {
            None => Err(Unresolved::NotYetResolved.to_string()),
            Some(egress) => match egress.on_link(address) {
                Ok(hop) => Ok((hop.ifname.clone(), hop.dest_mac.0)),
                Err(reason) => Err(reason.to_string()),
            },
        }
    }

    /// Whether each of these is known to be reachable or not: nothing is being looked up.
    pub(super) fn settled(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        addresses.iter().all(|address| {
            !matches!(
                self.known.get(address),
                None | Some(Egress::Unresolved(Unresolved::NotYetResolved))
            )
        })
    }
}
