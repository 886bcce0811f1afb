//! Ways back to clients that are silent.
//!
//! A reply of a translated flow goes back where the client's packets came from. Of a flow that began on another director nothing
//! came here yet; its replies go by the kernel's routes, for which the next hop's MAC address has to be known before the
//! first one comes: a client that waits for data does not speak by itself.

use std::{collections::BTreeSet, net::IpAddr};

use futures_util::FutureExt as _;
use tracing::warn;

use crate::{core::neighbour::Timing, net::monitor::Monitor};

/// Clients whose next hops are looked up at the same time. Mostly one router is that of all; where it is not, all have their
/// turn, and the kernel remembers them.
pub(super) const MOST: usize = 64;

/// Has the kernel know the next hops of clients.
#[derive(Default)]
pub(super) struct Returns {
    /// Only where there are such clients.
    monitor: Option<Monitor>,
    followed: BTreeSet<IpAddr>,
}

impl Returns {
    /// These are the clients that replies go to by the kernel's routes.
    pub(super) fn follow(&mut self, clients: BTreeSet<IpAddr>) {
        // What is found out, the kernel knows.
        while let Some(change) = self
            .monitor
            .as_mut()
            .and_then(|monitor| monitor.next().now_or_never())
        {
            if let Err(error) = change {
                warn!(%error, "the ways back to silent clients are looked up anew");
                self.monitor = None;
                self.followed.clear();
            }
        }
        if clients == self.followed {
            return;
        }
        if clients.is_empty() {
            self.monitor = None;
        } else if self.monitor.is_none() {
            match Monitor::spawn(Timing::default()) {
                Ok(monitor) => self.monitor = Some(monitor),
                Err(error) => {
                    return warn!(%error, "replies to clients that are silent wait until those speak");
                }
            }
        }
        if let Some(monitor) = &self.monitor {
            monitor.set_targets(clients.iter().copied().collect());
        }
        self.followed = clients;
    }
}
