//! VIPs on interfaces.
//!
//! Ours carry the address protocol [`PROTOCOL`] (IFA_PROTO, kernel 5.18; `ip -d address` shows it), so that after a
//! crash they are told from what an administrator set. Older kernels drop the mark, and there nothing is ever ours.

use std::{collections::BTreeSet, net::IpAddr};

use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo},
    },
};

use super::{
    Netlink, NetlinkError,
    translate::{self, bits, family},
    virtual_link::{VirtualLink, virtual_link},
};
use crate::core::neighbour::Link;

/// Marks the addresses that Tandem set. The kernel uses 1 to 3 itself and leaves the rest to routing daemons.
pub const PROTOCOL: u8 = 84;

/// Why an address could not be listed, added or removed.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// There is no such interface in this namespace.
    #[error("cannot {what}: there is no interface {interface} (see `ip link`)")]
    NoInterface {
        /// What was tried.
        what: String,
        /// The interface.
        interface: String,
    },
    /// The kernel would not.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// An address on an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// Index of the interface.
    pub ifindex: u32,
    /// The address itself.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// Whether Tandem set it.
    pub ours: bool,
    /// Whether it cannot be used yet, or never because another machine has it (duplicate address detection).
    pub unusable: bool,
}

/// This machine's addresses that others can answer, each with the name of its interface.
#[must_use]
pub fn own_addresses() -> Vec<(String, IpAddr)> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else {
        // Whoever needs one looks again.
        return Vec::new();
    };
    let address_of = |found: nix::ifaddrs::InterfaceAddress| {
        let address = found.address?;
        let v4 = || address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = || address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        Some((found.interface_name, v4().or_else(v6)?))
    };
    let reaches_far = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
    };
    all.filter_map(address_of)
        .filter(|(_, address)| reaches_far(address))
        .collect()
}

/// What adding found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It was not there and is now.
    New,
    /// It was there, and ours.
    Already,
    /// Somebody else had set it; it stays theirs.
    Foreign,
}

/// What removing found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It was ours and is gone.
    Gone,
    /// It was not there.
    Absent,
    /// Somebody else had set it; it stays.
    Foreign,
}

/// An address of ours that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// The interface it is on.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
}

/// Interfaces and their addresses, as they were at one moment.
#[derive(Debug, Clone)]
pub struct AddressBook {
    links: Vec<Link>,
    virtual_links: Vec<VirtualLink>,
    addresses: Vec<InterfaceAddress>,
}

impl AddressBook {
    /// Every interface.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Links of ours that have a virtual router's MAC address.
    #[must_use]
    pub fn virtual_links(&self) -> &[VirtualLink] {
        &self.virtual_links
    }

    /// The addresses of an interface, in the kernel's order: of a network, its primary address comes first.
    pub fn on(&self, ifindex: u32) -> impl Iterator<Item = &InterfaceAddress> {
        self.addresses
            .iter()
            .filter(move |address| address.ifindex == ifindex)
    }

    /// The interface of that name.
    #[must_use]
    pub fn link(&self, interface: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == interface)
    }

    /// Addresses that we set on any interface and that are not among `wanted` (interface, VIP).
    #[must_use]
    pub fn leftovers(&self, wanted: &BTreeSet<(String, IpAddr)>) -> Vec<Leftover> {
        let ours = self.addresses.iter().filter(|address| address.ours);
        let named = ours.filter_map(|address| {
            let link = self.links.iter().find(|link| link.ifindex == address.ifindex)?;
            Some((link.name.clone(), address.address))
        });
        let unwanted = named.filter(|pair| !wanted.contains(pair));
        unwanted
            .map(|(interface, address)| Leftover { interface, address })
            .collect()
    }

    fn ifindex(&self, interface: &str, what: &str) -> Result<u32, AddressError> {
        let link = self.link(interface);
        link.map(|link| link.ifindex)
            .ok_or_else(|| AddressError::NoInterface {
                what: what.into(),
                interface: interface.into(),
            })
    }

    fn find(&self, ifindex: u32, vip: IpAddr) -> Option<&InterfaceAddress> {
        let here = self.on(ifindex).filter(|found| found.address == vip);
        // IPv4 allows the same address twice with different prefixes: ours counts first.
        here.max_by_key(|found| found.ours)
    }
}

impl Netlink {
    /// Reads the book of addresses.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub async fn address_book(&self) -> Result<AddressBook, NetlinkError> {
        let links = self.link_messages().await?;
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let messages = self.dump(request, "list the addresses").await?;
        let addresses = messages.iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(message) => interface_address(message),
            _ => None,
        });
        Ok(AddressBook {
            links: links.iter().filter_map(translate::link).collect(),
            virtual_links: links.iter().filter_map(virtual_link).collect(),
            addresses: addresses.collect(),
        })
    }

    /// Puts a VIP on an interface as /32 or /128, without duplicate address detection (its former holder may still be
    /// there, and it has to work at once) and without a route of its own.
    ///
    /// # Errors
    /// [`AddressError`]; an address that is already there, by the book, is none.
    pub async fn add_address(
        &self,
        book: &AddressBook,
        interface: &str,
        vip: IpAddr,
    ) -> Result<Added, AddressError> {
        let what = format!("add {vip} to {interface}");
        let ifindex = book.ifindex(interface, &what)?;
        if let Some(present) = book.find(ifindex, vip) {
            return Ok(if present.ours {
                Added::Already
            } else {
                Added::Foreign
            });
        }
        let message = RouteNetlinkMessage::NewAddress(vip_message(ifindex, vip));
        match self.order(message, NLM_F_CREATE | NLM_F_EXCL, &what).await {
            Ok(()) => Ok(Added::New),
            // Somebody was faster.
            Err(error) if error.errno() == Some(libc::EEXIST) => Ok(Added::Foreign),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a VIP of ours off an interface.
    ///
    /// # Errors
    /// [`AddressError`]; an address that is not there, by the book, is none.
    pub async fn remove_address(
        &self,
        book: &AddressBook,
        interface: &str,
        vip: IpAddr,
    ) -> Result<Removed, AddressError> {
        let what = format!("remove {vip} from {interface}");
        let ifindex = book.ifindex(interface, &what)?;
        match book.find(ifindex, vip) {
            None => return Ok(Removed::Absent),
            Some(present) if !present.ours => return Ok(Removed::Foreign),
            Some(_) => {}
        }
        let message = RouteNetlinkMessage::DelAddress(vip_message(ifindex, vip));
        match self.order(message, 0, &what).await {
            Ok(()) => Ok(Removed::Gone),
            Err(error) if error.errno() == Some(libc::EADDRNOTAVAIL) => Ok(Removed::Absent),
            Err(error) => Err(error.into()),
        }
    }
}

fn vip_message(ifindex: u32, vip: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(vip);
    message.header.prefix_len = bits(vip);
    message.header.index = ifindex;
    message.header.scope = AddressScope::Universe;
    message.attributes = vec![
        AddressAttribute::Local(vip),
        AddressAttribute::Address(vip),
        AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute),
        AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)),
    ];
    if vip.is_ipv6() {
        // Valid for ever and never preferred (RFC 6724 section 5, rule 3): nothing that this machine sends by itself comes
        // from an address that may be another's in a moment. IPv4 does so with a /32 anyway.
        let mut lifetimes = CacheInfo::default();
        (lifetimes.ifa_valid, lifetimes.ifa_preferred) = (u32::MAX, 0);
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    message
}

fn interface_address(message: &AddressMessage) -> Option<InterfaceAddress> {
    let mut local = None;
    let mut address = None;
    let mut ours = false;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::Protocol(protocol) => ours = u8::from(*protocol) == PROTOCOL,
            _ => {}
        }
    }
    Some(InterfaceAddress {
        ifindex: message.header.index,
        // On a point-to-point link the other one is the peer's.
        address: local.or(address)?,
        prefix: message.header.prefix_len,
        ours,
        unusable: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
    })
}
