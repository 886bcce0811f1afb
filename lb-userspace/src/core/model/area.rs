//! Frontends that are more than one address and port.

use std::{fmt, net::IpAddr};

use lb_common::abi::AreaBounds;
use serde::{Deserialize, Serialize};

use super::{Frontend, Protocol};

/// All addresses of a network, and all ports of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Area {
    /// The first address; the bits behind the prefix are 0.
    pub network: IpAddr,
    /// How many bits all addresses have in common.
    pub prefix: u8,
    /// First port, never 0.
    pub first: u16,
    /// Last port, not before the first.
    pub last: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl Area {
    /// Its VIP, if it has only one.
    #[must_use]
    pub fn vip(&self) -> Option<IpAddr> {
        (self.prefix == bits(self.network)).then_some(self.network)
    }

    /// Whether the address is one of its own.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.prefix) == self.network
    }

    /// As the packet path has it.
    #[must_use]
    pub fn bounds(&self) -> AreaBounds {
        AreaBounds {
            network: self.network,
            prefix: self.prefix,
            first: self.first,
            last: self.last,
            protocol: self.protocol.number(),
        }
    }

    /// By which they are looked through: the longest prefix first, then the fewest ports.
    #[must_use]
    pub fn rank(&self) -> impl Ord + use<> {
        (std::cmp::Reverse(self.prefix), self.last - self.first, *self)
    }
}

impl From<Frontend> for Area {
    fn from(frontend: Frontend) -> Self {
        Self {
            network: frontend.vip,
            prefix: bits(frontend.vip),
            first: frontend.port,
            last: frontend.port,
            protocol: frontend.protocol,
        }
    }
}

/// Length of an address of this family.
#[must_use]
pub fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address with zeroes behind the prefix.
#[must_use]
pub fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX
                .checked_shl(128 - u32::from(prefix.min(128)))
                .unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = match self.vip() {
            Some(vip) => vip.to_string(),
            None => format!("{}/{}", self.network, self.prefix),
        };
        let ports = match (self.first, self.last) {
            (1, u16::MAX) => "*".to_owned(),
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        };
        if self.network.is_ipv4() {
            write!(f, "{network}:{ports}/{}", self.protocol)
        } else {
            write!(f, "[{network}]:{ports}/{}", self.protocol)
        }
    }
}
