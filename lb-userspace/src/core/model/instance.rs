//! Virtual routers: VIPs that move together from director to director.

use std::{net::IpAddr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Hooks, Track};

/// Priority of an instance that has none of its own (RFC 9568 section 5.2.4).
pub const DEFAULT_PRIORITY: u8 = 100;

/// Time between two advertisements where the instance does not say.
pub const DEFAULT_ADVERT_INTERVAL: Duration = Duration::from_millis(100);

/// A VRRP virtual router: its VIPs are held by one director at a time.
///
/// With VIPs of both families it is a virtual router of each, which have one VRID and move together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique name.
    pub name: String,
    /// Virtual router identifier, 1..=255; unique on its interface.
    pub vrid: u8,
    /// Where it speaks VRRP, and where the VIPs are.
    pub interface: String,
    /// 1..=255; 255 says that the VIPs are the director's own addresses.
    pub priority: u8,
    /// The addresses that move; at least one, at most 255 of a family.
    pub vips: Vec<IpAddr>,
    /// Time between two advertisements: 10 ms to 40.95 s, in steps of 10 ms.
    pub advert_interval: Duration,
    /// Whether a director that could be Active again takes the VIPs back.
    pub failback: Failback,
    /// How long it waits before it does.
    pub failback_delay: Duration,
    /// Instances with the same one move together; `None`: by itself.
    pub group: Option<String>,
    /// Whether its VIPs are at MAC addresses of their own (RFC 9568 section 7.3), which move with them.
    pub virtual_mac: bool,
    /// Whom to send advertisements to; where empty, the multicast group.
    pub peers: Vec<IpAddr>,
    /// How the network is told of a takeover.
    pub announce: Announce,
    /// What the Active does when somebody else claims a VIP.
    pub on_duplicate: OnDuplicate,
    /// What it depends on besides its interface.
    pub track: Vec<Track>,
    /// What is run when the VIPs come and go.
    pub hooks: Hooks,
}

impl Instance {
    /// What moves together with it: its group's name or its own.
    #[must_use]
    pub fn group_name(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.name)
    }
}

/// What a Backup does that has the higher priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Failback {
    /// Leaves the VIPs where they are.
    Never,
    /// Takes them once it knows the connections.
    AfterSync,
    /// Takes them.
    Immediate,
}

/// What an Active does when another machine says that a VIP is at its own MAC address. It is an event in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDuplicate {
    /// Announces the VIPs again, so that the link learns where they are.
    Announce,
    /// Gives the VIPs up for a while.
    Yield,
    /// Nothing.
    Ignore,
}

/// Gratuitous ARP and unsolicited neighbour advertisements after a takeover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// How often each VIP is announced; the first time at once.
    pub repeat: u8,
    /// Time between two rounds.
    pub interval: Duration,
    /// Most frames a second.
    pub rate: u32,
    /// Time between further rounds for as long as the director is Active; zero: none.
    pub refresh: Duration,
}

impl Default for Announce {
    /// Five times within two seconds, which outlives what a switch may lose while it learns.
    fn default() -> Self {
        Self {
            repeat: 5,
            interval: Duration::from_millis(500),
            rate: 2000,
            refresh: Duration::ZERO,
        }
    }
}
