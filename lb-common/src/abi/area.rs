//! Frontends that are more than one address and port: networks, and ranges of ports.
//!
//! There are few, so they stand in a list, the most particular first; the first that holds a destination is the one that
//! counts. It is looked through where the frontend table has nothing. As that, it is there twice.

use core::net::IpAddr;

use crate::flow_table::{HalfWord, Word};

/// Areas there may be.
pub const MOST_AREAS: u32 = 256;

/// No service.
pub const NO_SERVICE: u32 = u32::MAX;

/// One of them: a cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct AreaEntry {
    /// The network, as addresses lie in a packet; an IPv4 address in the lower half of the first word.
    network: [Word; 2],
    /// Which bits of an address count.
    mask: [Word; 2],
    /// First and last port (bits 0..16 and 16..32).
    ports: HalfWord,
    /// Protocol (bits 0..8), family (8..16).
    kind: HalfWord,
    /// Number of the service.
    service: HalfWord,
    reserved: HalfWord,
    more: [Word; 2],
}

const _: () = assert!(size_of::<AreaEntry>() == 64);

/// A destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Destination {
    /// Address, as it lies in a packet.
    pub address: [u64; 2],
    /// Port as a number.
    pub port: u32,
    /// Protocol (bits 0..8), family (8..16).
    pub kind: u32,
}

/// All addresses of a network, and all ports of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AreaBounds {
    /// The first address.
    pub network: IpAddr,
    /// How many of its bits all addresses have in common.
    pub prefix: u8,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

impl Destination {
    /// An IPv4 address (as it lies in a packet), a port, and a protocol.
    #[inline(always)]
    #[must_use]
    pub const fn v4(address: u32, port: u16, protocol: u8) -> Self {
        Self {
            address: [address as u64, 0],
            port: port as u32,
            kind: protocol as u32 | 4 << 8,
        }
    }

    /// An IPv6 address (as it lies in a packet), a port, and a protocol.
    #[inline(always)]
    #[must_use]
    pub const fn v6(address: [u64; 2], port: u16, protocol: u8) -> Self {
        Self {
            address,
            port: port as u32,
            kind: protocol as u32 | 6 << 8,
        }
    }
}

impl AreaEntry {
    /// The service, if the destination is in this area. Without a protocol, any port will do.
    #[inline(always)]
    #[must_use]
    pub fn service_at(&self, destination: &Destination) -> Option<u32> {
        let [a, b] = destination.address;
        let outside = (a ^ self.network[0].load()) & self.mask[0].load()
            | (b ^ self.network[1].load()) & self.mask[1].load();
        let (kind, ports) = (self.kind.load(), self.ports.load());
        let family = (kind ^ destination.kind) & 0xFF00;
        if outside != 0 || family != 0 {
            return None;
        }
        let whole = destination.kind & 0xFF == 0
            || kind == destination.kind
                && destination.port >= ports & 0xFFFF
                && destination.port <= ports >> 16;
        whole.then(|| self.service.load())
    }
}

/// Writing; by the daemon alone, in the idle half of the list.
#[cfg(not(target_arch = "bpf"))]
impl AreaEntry {
    /// Makes the entry speak of this area.
    pub fn set(&self, bounds: &AreaBounds, service: u32) {
        use crate::{
            abi::{Keeper, Persistence},
            packet::address_words,
        };

        let masks = Persistence {
            keeper: Keeper::Client,
            service: 0,
            prefix_v4: bounds.prefix,
            prefix_v6: bounds.prefix,
        };
        let (network, mask, family) = match bounds.network {
            IpAddr::V4(network) => {
                let network = u64::from(u32::from_ne_bytes(network.octets()));
                ([network, 0], [masks.mask_v4().into(), 0], 4)
            }
            IpAddr::V6(network) => (address_words(network), masks.mask_v6(), 6),
        };
        for (word, value) in self.network.iter().zip(network).chain(self.mask.iter().zip(mask)) {
            word.store(value);
        }
        self.ports
            .store(u32::from(bounds.first) | u32::from(bounds.last) << 16);
        self.kind.store(u32::from(bounds.protocol) | family << 8);
        self.service.store(service);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::address_words;
    use core::net::{Ipv4Addr, Ipv6Addr};

    fn v4(address: &str, port: u16, protocol: u8) -> Destination {
        let address: Ipv4Addr = address.parse().unwrap();
        Destination::v4(u32::from_ne_bytes(address.octets()), port, protocol)
    }

    fn v6(address: &str, port: u16, protocol: u8) -> Destination {
        let address: Ipv6Addr = address.parse().unwrap();
        Destination::v6(address_words(address), port, protocol)
    }

    #[test]
    fn an_area_holds_what_is_inside() {
        let entry = AreaEntry::default();
        entry.set(
            &AreaBounds {
                network: "192.0.2.64".parse().unwrap(),
                prefix: 26,
                first: 8000,
                last: 8999,
                protocol: 6,
            },
            7,
        );
        for (destination, inside) in [
            (v4("192.0.2.64", 8000, 6), true),
            (v4("192.0.2.127", 8999, 6), true),
            (v4("192.0.2.100", 1, 0), true),
            (v4("192.0.2.63", 8000, 6), false),
            (v4("192.0.2.128", 8000, 6), false),
            (v4("192.0.2.128", 8000, 0), false),
            (v4("192.0.2.64", 7999, 6), false),
            (v4("192.0.2.64", 9000, 6), false),
            (v4("192.0.2.64", 8000, 17), false),
            (v6("::", 8000, 6), false),
        ] {
            assert_eq!(
                entry.service_at(&destination),
                inside.then_some(7),
                "{destination:?}"
            );
        }
        entry.set(
            &AreaBounds {
                network: "2001:db8:1::".parse().unwrap(),
                prefix: 48,
                first: 1,
                last: u16::MAX,
                protocol: 17,
            },
            9,
        );
        for (destination, inside) in [
            (v6("2001:db8:1:ffff::1", 65_535, 17), true),
            (v6("2001:db8:1::", 1, 17), true),
            (v6("2001:db8:2::", 1, 17), false),
            (v6("2001:db8:1::", 0, 17), false),
            (v6("2001:db8:1::", 1, 6), false),
            (v4("192.0.2.64", 1, 17), false),
        ] {
            assert_eq!(
                entry.service_at(&destination),
                inside.then_some(9),
                "{destination:?}"
            );
        }
    }
}
