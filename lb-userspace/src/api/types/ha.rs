//! The pair.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterPart, Family, OutlookView};
use crate::core::{ha, vrrp};

/// This director's part in the pair.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HaView {
    /// Name of this director.
    pub director: String,
    /// Whether it is in maintenance, and neither keeps nor takes VIPs.
    #[serde(default)]
    pub maintenance: bool,
    /// Instances in the order of the configuration; empty if this director is the only one.
    pub instances: Vec<InstanceView>,
    /// Interfaces on which instances are.
    pub interfaces: Vec<PortView>,
    /// VRRP messages that were refused, and belong to no instance; reasons that occurred.
    pub refused: Vec<CountView>,
    /// The other directors of the cluster.
    #[serde(flatten)]
    pub cluster: ClusterPart,
    /// What would happen if an Active died now.
    #[serde(default)]
    pub outlook: Vec<OutlookView>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceView {
    /// Its name.
    pub name: String,
    /// What it moves together with, if it is in a group.
    pub group: Option<String>,
    /// Its interface.
    pub interface: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// What this director is in it.
    pub role: Role,
    /// Seconds since it is that; `None` if it never was anything else.
    pub since_seconds: Option<u64>,
    /// Why it is that, as a sentence.
    pub reason: Option<String>,
    /// Why it cannot hold the VIPs, as sentences; empty if it can.
    pub unfit: Vec<String>,
    /// Priority that is in force.
    pub priority: u8,
    /// Health score, 0 to 100: how much of what is behind the VIPs this director reaches, less what its monitors take.
    pub health_percent: u8,
    /// How many backends it reaches, by service.
    pub services: Vec<ReachView>,
    /// What else has a say in who holds the VIPs, as sentences.
    pub remarks: Vec<String>,
    /// The VIPs.
    pub vips: Vec<IpAddr>,
    /// Its virtual routers: one for each family that it has VIPs of.
    pub routers: Vec<RouterView>,
}

/// How many backends of a service a director reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReachView {
    /// Name of the service.
    pub service: String,
    /// Backends that it reaches.
    pub reached: u32,
    /// Backends that count.
    pub backends: u32,
}

/// What a director is in an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It takes no part.
    Out,
    /// It listens, ready to take over.
    Backup,
    /// It holds the VIPs.
    Active,
}

impl Role {
    /// The word for it, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Backup => "backup",
            Self::Active => "active",
        }
    }
}

impl From<vrrp::Role> for Role {
    fn from(role: vrrp::Role) -> Self {
        match role {
            vrrp::Role::Initialize => Self::Out,
            vrrp::Role::Backup => Self::Backup,
            vrrp::Role::Active => Self::Active,
        }
    }
}

/// A virtual router of VRRP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouterView {
    /// Its family.
    pub family: Family,
    /// The MAC address that its VIPs are at; `None` where that is the interface's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_mac: Option<String>,
    /// What it advertises from; `None` while that is not known.
    pub primary: Option<IpAddr>,
    /// The last advertisement of another director; `None` if there was none.
    pub heard: Option<HeardView>,
    /// Advertisements that were to be sent.
    pub sent: u64,
    /// Advertisements that were obeyed or answered.
    pub received: u64,
    /// Messages that were refused; reasons that occurred.
    pub refused: Vec<CountView>,
    /// Advertisements received that name other VIPs.
    pub differing_addresses: u64,
    /// Advertisements received with another interval.
    pub differing_interval: u64,
}

/// An advertisement of another director.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeardView {
    /// Where it came from.
    pub source: IpAddr,
    /// Its priority; 0 if the sender gave up.
    pub priority: u8,
    /// Its interval.
    pub interval_milliseconds: u64,
    /// How long ago it came.
    pub age_milliseconds: u64,
}

/// An interface that instances are on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortView {
    /// Its name.
    pub name: String,
    /// Whether it can carry packets.
    pub up: bool,
    /// How often something could not be sent or received.
    pub errors: u64,
    /// What it was the last time.
    pub last_error: Option<String>,
}

/// How often something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountView {
    /// Short name.
    pub slug: String,
    /// What it means.
    pub sentence: String,
    /// How often.
    pub count: u64,
}

impl From<ha::Family> for Family {
    fn from(family: ha::Family) -> Self {
        match family {
            ha::Family::V4 => Self::Ipv4,
            ha::Family::V6 => Self::Ipv6,
        }
    }
}
