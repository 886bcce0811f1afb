//! Where VIPs belong: on an interface, or on a link above it that has the virtual router's own MAC address.

use std::net::IpAddr;

use super::event::Family;
use crate::core::{model::Instance, neighbour::Mac};

/// A VIP, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The interface.
    pub interface: String,
    /// The address.
    pub vip: IpAddr,
    /// VRID of the virtual router at whose own MAC address it is; `None` where it is at the interface's.
    pub vrid: Option<u8>,
}

impl Place {
    /// The places of an instance's VIPs.
    pub(super) fn all_of(instance: &Instance) -> impl Iterator<Item = Self> + '_ {
        let vrid = instance.virtual_mac.then_some(instance.vrid);
        instance.vips.iter().map(move |&vip| Self {
            interface: instance.interface.clone(),
            vip,
            vrid,
        })
    }

    /// The MAC address it is at, unless it is the interface's.
    #[must_use]
    pub fn virtual_mac(&self) -> Option<VirtualMac> {
        self.vrid.map(|vrid| VirtualMac {
            interface: self.interface.clone(),
            family: Family::of(self.vip),
            vrid,
        })
    }
}

/// A virtual router's own MAC address (RFC 9568 section 7.3), and the interface where it is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VirtualMac {
    /// The interface.
    pub interface: String,
    /// IPv4 and IPv6 have different ones.
    pub family: Family,
    /// The virtual router.
    pub vrid: u8,
}

impl VirtualMac {
    /// The address: 00:00:5e:00:01 for IPv4 or 00:00:5e:00:02 for IPv6, and the VRID.
    #[must_use]
    pub const fn address(&self) -> Mac {
        virtual_mac(self.family, self.vrid)
    }

    /// What the link is called that has it, above the interface of this index. The kernel allows 15 characters.
    #[must_use]
    pub fn link(&self, ifindex: u32) -> String {
        let family = match self.family {
            Family::V4 => '4',
            Family::V6 => '6',
        };
        format!("vm{family}.{}.{ifindex}", self.vrid)
    }
}

/// A virtual router's own MAC address.
pub(super) const fn virtual_mac(family: Family, vrid: u8) -> Mac {
    let family = match family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    Mac([0, 0, 0x5e, 0, family, vrid])
}

#[cfg(test)]
mod tests {
    use super::{super::tests::instance, *};

    #[test]
    fn each_family_has_its_own_address() {
        let mut front = instance("front", 51, &["192.0.2.10", "2001:db8::10"]);
        assert!(Place::all_of(&front).all(|place| place.virtual_mac().is_none()));
        front.virtual_mac = true;
        let macs: Vec<_> = Place::all_of(&front)
            .filter_map(|place| place.virtual_mac())
            .collect();
        let addresses: Vec<_> = macs.iter().map(|mac| mac.address().to_string()).collect();
        assert_eq!(addresses, ["00:00:5e:00:01:33", "00:00:5e:00:02:33"]);
        assert_eq!(macs[0].link(2), "vm4.51.2");
        assert!(
            VirtualMac {
                vrid: 255,
                ..macs[1].clone()
            }
            .link(9_999_999)
            .len()
                <= 15
        );
    }
}
