//! A switch: a bridge in a namespace of its own.

use std::sync::Arc;

use crate::error::LabError;
use crate::interface::Interface;
use crate::netns::Namespace;

/// The bridge's name inside its namespace.
pub(crate) const BRIDGE: &str = "br0";

/// An Ethernet switch; a clone is the same switch.
#[derive(Debug, Clone)]
pub struct Switch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    namespace: Namespace,
}

impl Switch {
    pub(crate) fn create(name: &str, namespace: Namespace) -> Result<Self, LabError> {
        // It carries IPv6 and does not speak it.
        namespace.set("ipv6/conf/all/disable_ipv6", "1")?;
        namespace.set("ipv6/conf/default/disable_ipv6", "1")?;
        namespace.ip(&[
            // Multicast goes to every port from the first frame; no querier is there to teach the bridge.
            format!("link add {BRIDGE} type bridge mcast_snooping 0 stp_state 0"),
            format!("link set {BRIDGE} up"),
        ])?;
        Ok(Self {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                namespace,
            }),
        })
    }

    /// The name given to [`Lab::switch`](crate::Lab::switch).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Parts these ports from each other, or joins them again: frames pass between each of them and all others, but not among
    /// them. Their hosts see nothing of it but what no longer comes.
    ///
    /// # Errors
    /// What the system refused.
    pub fn part(&self, ports: &[&Interface], parted: bool) -> Result<(), LabError> {
        let state = if parted { "on" } else { "off" };
        let commands = ports
            .iter()
            .map(|port| format!("link set dev {} type bridge_slave isolated {state}", port.port()));
        self.namespace().ip(&commands.collect::<Vec<_>>())
    }

    /// Where its ports are.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }
}
