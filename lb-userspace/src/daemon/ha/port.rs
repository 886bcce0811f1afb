//! Interfaces as the HA thread uses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::BorrowedFd,
};

use crate::{
    core::{
        ha::{Family, Interface},
        neighbour::Mac,
    },
    net::vrrp::{ReceiveBuffer, Received, VrrpSockets},
};

/// An interface on which instances are.
#[derive(Debug)]
pub(super) struct Port {
    /// `None` while there is no such interface, or it cannot be used.
    pub(super) sockets: Option<VrrpSockets>,
    /// What the mover says.
    state: Interface,
    /// What the member was told.
    pub(super) told: Interface,
    /// How often something could not be sent or received.
    pub(super) errors: u64,
    /// What it was the last time.
    pub(super) last_error: Option<String>,
}

impl Port {
    const fn new() -> Self {
        Self {
            sockets: None,
            state: Interface::ABSENT,
            told: Interface::ABSENT,
            errors: 0,
            last_error: None,
        }
    }

    /// Sends something, and counts it if that fails.
    pub(super) fn send(&mut self, send: impl FnOnce(&mut VrrpSockets) -> io::Result<()>) {
        if let Some(sockets) = &mut self.sockets
            && let Err(error) = send(sockets)
        {
            self.errors += 1;
            self.last_error = Some(format!("cannot send: {error}"));
        }
    }

    /// The next packet; `None` when none waits.
    pub(super) fn next<'b>(&mut self, family: Family, buffer: &'b mut ReceiveBuffer) -> Option<Received<'b>> {
        let sockets = self.sockets.as_ref()?;
        let received = match family {
            Family::V4 => sockets.next_v4(buffer),
            Family::V6 => sockets.next_v6(buffer),
        };
        received.unwrap_or_else(|error| {
            self.errors += 1;
            self.last_error = Some(format!("cannot receive: {error}"));
            None
        })
    }
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(super) struct Ports(BTreeMap<String, Port>);

impl Ports {
    /// Has exactly these; sockets of others are returned, to be closed by somebody who has time.
    pub(super) fn retain(&mut self, names: &BTreeSet<String>) -> Vec<VrrpSockets> {
        let gone = self.0.extract_if(.., |name, _| !names.contains(name));
        let sockets = gone.filter_map(|(_, port)| port.sockets).collect();
        for name in names {
            self.0.entry(name.clone()).or_insert_with(Port::new);
        }
        sockets
    }

    /// Takes note of what the mover says; sockets that serve no more are returned.
    pub(super) fn set(
        &mut self,
        name: &str,
        state: Interface,
        sockets: Option<VrrpSockets>,
        is_there: bool,
    ) -> Option<VrrpSockets> {
        let Some(port) = self.0.get_mut(name) else {
            return sockets;
        };
        port.state = state;
        if sockets.is_some() || !is_there {
            return std::mem::replace(&mut port.sockets, sockets);
        }
        None
    }

    /// How an interface is now, given its carrier; `None` if the member knows that already.
    pub(super) fn look(&mut self, name: &str, has_carrier: bool) -> Option<Interface> {
        let port = self.0.get_mut(name)?;
        let now = Interface {
            up: port.state.up && has_carrier && port.sockets.is_some(),
            ..port.state
        };
        (std::mem::replace(&mut port.told, now) != now).then_some(now)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Port> {
        self.0.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Port> {
        self.0.get_mut(name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Whether one of them has this MAC address.
    pub(super) fn has_mac(&self, mac: Mac) -> bool {
        let mut sockets = self.0.values().filter_map(|port| port.sockets.as_ref());
        sockets.any(|sockets| sockets.mac() == mac)
    }

    /// What becomes readable when packets arrive.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let sockets = self.0.values().filter_map(|port| port.sockets.as_ref());
        sockets.flat_map(|sockets| sockets.descriptors())
    }
}
