//! What the kernel knows of backends' addresses, as the monitor tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi::Way;

use crate::{
    core::{
        model::Forward,
        neighbour::{Egress, Unresolved},
        way::{self, NoWay},
    },
    net::monitor::Change,
};

/// What is known of each backend address.
#[derive(Debug, Default)]
pub(super) struct Links {
    known: BTreeMap<IpAddr, Egress>,
}

impl Links {
    /// Takes note of a change; whether it makes a difference to the packet path.
    pub(super) fn note(&mut self, change: Change) -> bool {
        let Change { address, egress } = change;
        let before = self.known.insert(address, egress);
        before.as_ref() != self.known.get(&address)
    }

    /// Forgets addresses that nobody asks for any more.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<IpAddr>) {
        self.known.retain(|address, _| wanted.contains(address));
    }

    /// All that is known.
    pub(super) const fn all(&self) -> &BTreeMap<IpAddr, Egress> {
        &self.known
    }

    /// Interfaces by which backends are reached.
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.known
            .values()
            .filter_map(|egress| Some(egress.hop().ok()?.ifname.as_str()))
    }

    /// How packets get to the backend by this method, or why not, and by which interface.
    pub(super) fn way(
        &self,
        forward: Forward,
        address: IpAddr,
        vips: &BTreeSet<IpAddr>,
    ) -> Result<(Way, &str), NoWay> {
        let egress = self
            .known
            .get(&address)
            .ok_or(NoWay::Unresolved(Unresolved::NotYetResolved))?;
        let way = way::way(forward, address, None, egress, vips)?;
        let interface = egress.hop().map_or("lo", |hop| &hop.ifname);
        Ok((way, interface))
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
