//! How a director tells the others of its connections.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// Where all directors listen unless the operator says otherwise.
pub const DEFAULT_SYNC_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
/// UDP port of the sync protocol unless the operator says otherwise.
pub const DEFAULT_SYNC_PORT: u16 = 8848;
/// Bytes a second at which a director that joins is told of all connections, at most: a million of IPv4 in half a second.
pub const DEFAULT_BULK_RATE: u64 = 48 << 20;

/// The path by which connections are told of; the same on all directors, but for unicast peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncPath {
    /// Interface by which the others are reached.
    pub interface: String,
    /// Who is told.
    pub audience: Audience,
    /// UDP port, here and there.
    pub port: u16,
    /// Routers that a datagram to the group may pass, plus one: the TTL or hop limit.
    pub ttl: u8,
    /// Bytes a second at which the content of tables is sent, at most.
    pub bulk_rate: u64,
}

/// Who is told of connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Who listens to this multicast group.
    Group(IpAddr),
    /// These, one by one; all of one family.
    Peers(Vec<IpAddr>),
}

impl SyncPath {
    /// Whether IPv6 is spoken.
    #[must_use]
    pub fn is_v6(&self) -> bool {
        match &self.audience {
            Audience::Group(group) => group.is_ipv6(),
            Audience::Peers(peers) => peers.iter().any(IpAddr::is_ipv6),
        }
    }
}
