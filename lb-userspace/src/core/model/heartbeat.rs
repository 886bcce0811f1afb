//! Heartbeat paths: networks beside the clients', and cables, over which directors hear each other.

use std::{
    fmt::{self, Display, Formatter},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Where heartbeats go unless the configuration says otherwise.
pub const DEFAULT_HEARTBEAT_GROUP: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81)), DEFAULT_HEARTBEAT_PORT);

/// Their UDP port.
pub const DEFAULT_HEARTBEAT_PORT: u16 = 8847;

/// Speed of a serial line that has none of its own, in bits a second.
pub const DEFAULT_BAUD: u32 = 115_200;

/// A way on which the directors of a cluster hear each other, besides VRRP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Unique name.
    pub name: String,
    /// Time between two heartbeats: 10 ms to 10 s.
    pub interval: Duration,
    /// What it goes over.
    pub medium: Medium,
}

/// What heartbeats go over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// A network, by UDP.
    Network(HeartbeatNetwork),
    /// A cable between the serial ports of two directors.
    Serial {
        /// The device.
        device: PathBuf,
        /// Bits a second.
        baud: u32,
    },
}

/// A network that heartbeats go over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatNetwork {
    /// The interface that it goes over.
    pub interface: String,
    /// Where they arrive: a multicast group and a port. With `peers` the port alone counts.
    pub group: SocketAddr,
    /// Whom they are sent to, one by one; where empty, the group.
    pub peers: Vec<SocketAddr>,
}

impl Medium {
    /// By multicast over this interface, where heartbeats go unless the configuration says otherwise.
    #[must_use]
    pub fn multicast(interface: &str) -> Self {
        Self::Network(HeartbeatNetwork {
            interface: interface.to_owned(),
            group: DEFAULT_HEARTBEAT_GROUP,
            peers: Vec::new(),
        })
    }
}

impl Display for Medium {
    /// Its interface or device.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => f.write_str(&network.interface),
            Self::Serial { device, .. } => write!(f, "{}", device.display()),
        }
    }
}
