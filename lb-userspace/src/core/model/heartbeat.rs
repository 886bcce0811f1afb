//! Heartbeat paths: networks beside the clients' over which directors hear each other.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// Where heartbeats go unless the configuration says otherwise.
pub const DEFAULT_HEARTBEAT_GROUP: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81)), DEFAULT_HEARTBEAT_PORT);

/// Their UDP port.
pub const DEFAULT_HEARTBEAT_PORT: u16 = 8847;

/// A way on which the directors of a cluster hear each other, besides VRRP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Unique name.
    pub name: String,
    /// The interface that it goes over.
    pub interface: String,
    /// Time between two heartbeats: 10 ms to 10 s.
    pub interval: Duration,
    /// Where they arrive: a multicast group and a port. With `peers` the port alone counts.
    pub group: SocketAddr,
    /// Whom they are sent to, one by one; where empty, the group.
    pub peers: Vec<SocketAddr>,
}
