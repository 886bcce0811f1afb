//! Links above an interface that have a MAC address of their own: macvlans, one for each virtual router that wants it.
//!
//! While such a link is switched on, the interface below takes in frames for its address as well, and what it sends comes
//! from there. What is attached to the interface below (XDP) sees all of it.
//!
//! Ours are in the link group [`GROUP`] (`ip link show group 84`), by which they are known after a crash.

use std::{fs, io, path::PathBuf};

use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{
            InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
        },
    },
};

use super::{Netlink, NetlinkError};
use crate::core::{ha::Family, neighbour::Mac};

/// Group of the links that Tandem made.
pub const GROUP: u32 = 84;

/// A link of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualLink {
    /// Its index.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Index of the interface below.
    pub lower: u32,
    /// Its MAC address.
    pub mac: Mac,
    /// Whether it is switched on.
    pub is_on: bool,
}

/// A link that there is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: String,
    /// Name and index of the interface below.
    pub lower: (&'a str, u32),
    /// Its MAC address.
    pub mac: Mac,
    /// The family whose addresses it is to have; of the other it hears nothing.
    pub family: Family,
}

/// Why a link could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VirtualLinkError {
    /// The kernel would not.
    #[error("{0} (is {1} a port of a bridge or a bond, or has the kernel no macvlan?)")]
    Refused(#[source] NetlinkError, String),
    /// It cannot be set up as it has to be.
    #[error(
        "cannot write {value} to {}: {error} (the daemon needs the capability CAP_NET_ADMIN and a writable /proc/sys/net; \
         under systemd, ReadWritePaths=/proc/sys/net/ipv4/conf)",
        .file.display()
    )]
    Setting {
        /// The setting.
        file: PathBuf,
        /// What it was to be.
        value: u8,
        /// Why it is not.
        error: io::Error,
    },
}

/// A link of ours, if it is one.
pub(super) fn virtual_link(message: &LinkMessage) -> Option<VirtualLink> {
    let (mut name, mut lower, mut mac, mut group, mut is_macvlan) = (None, None, None, 0, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Link(ifindex) => lower = Some(*ifindex),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac),
            LinkAttribute::Group(value) => group = *value,
            LinkAttribute::LinkInfo(infos) => is_macvlan = infos.contains(&LinkInfo::Kind(InfoKind::MacVlan)),
            _ => {}
        }
    }
    (is_macvlan && group == GROUP).then_some(VirtualLink {
        ifindex: message.header.index,
        name: name?,
        lower: lower?,
        mac: mac?,
        is_on: message.header.flags.contains(LinkFlags::Up),
    })
}

impl Netlink {
    /// Makes a link, switched off.
    ///
    /// # Errors
    /// [`VirtualLinkError::Refused`].
    pub async fn add_virtual_link(&self, link: &NewLink<'_>) -> Result<(), VirtualLinkError> {
        let NewLink { name, lower, mac, .. } = link;
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.clone()),
            LinkAttribute::Link(lower.1),
            LinkAttribute::Address(mac.0.to_vec()),
            LinkAttribute::Group(GROUP),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::MacVlan),
                // In private mode the interface below would not hear the other director, whose frames come from the same address.
                LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)])),
            ]),
        ];
        let what = format!("make the link {name} with the address {mac} on {}", lower.0);
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.order(RouteNetlinkMessage::NewLink(message), flags, &what)
            .await
            .map_err(|error| VirtualLinkError::Refused(error, lower.0.to_owned()))
    }

    /// Switches a link on or off.
    ///
    /// # Errors
    /// [`NetlinkError`].
    pub async fn switch_link(&self, link: &VirtualLink, on: bool) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = link.ifindex;
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if on { LinkFlags::Up } else { LinkFlags::empty() };
        let what = format!("switch {} {}", link.name, if on { "on" } else { "off" });
        self.order(RouteNetlinkMessage::SetLink(message), 0, &what).await
    }

    /// Removes a link, with all addresses on it.
    ///
    /// # Errors
    /// [`NetlinkError`]; one that is gone is none.
    pub async fn remove_link(&self, link: &VirtualLink) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = link.ifindex;
        let what = format!("remove the link {}", link.name);
        match self.order(RouteNetlinkMessage::DelLink(message), 0, &what).await {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            done => done,
        }
    }
}

impl NewLink<'_> {
    /// Sees to it that VIPs on the link are answered for from its address and from no other.
    ///
    /// # Errors
    /// [`VirtualLinkError::Setting`].
    pub fn set_up(&self) -> Result<(), VirtualLinkError> {
        let (lower, link) = (self.lower.0, &self.name);
        match self.family {
            Family::V4 => {
                // The interface below answers for its own addresses alone, and asks from no VIP: it would say that the VIP
                // were at its own MAC address.
                at_least("ipv4", lower, "arp_ignore", 1)?;
                at_least("ipv4", lower, "arp_announce", 2)?;
                at_least("ipv4", link, "arp_ignore", 1)?;
                // Routes to clients lead through the interface below, so by a strict look nobody may ask here.
                at_least("ipv4", link, "rp_filter", 2)?;
                exactly("ipv6", link, "disable_ipv6", 1)
            }
            Family::V6 => {
                // It hears of IPv4 all the same, and would answer for any address of this machine.
                at_least("ipv4", link, "arp_ignore", 8)?;
                // No address of its own, neither link-local nor by advertisements of routers, and no route.
                exactly("ipv6", link, "addr_gen_mode", 1)?;
                exactly("ipv6", link, "autoconf", 0)?;
                exactly("ipv6", link, "accept_ra", 0)
            }
        }
    }
}

/// Raises a setting of which the higher value is the stricter.
fn at_least(family: &str, interface: &str, key: &str, value: u8) -> Result<(), VirtualLinkError> {
    write(family, interface, key, value, |now| now >= value)
}

fn exactly(family: &str, interface: &str, key: &str, value: u8) -> Result<(), VirtualLinkError> {
    write(family, interface, key, value, |now| now == value)
}

/// Writes a setting of an interface, in the calling thread's network namespace, unless what is there is good.
fn write(
    family: &str,
    interface: &str,
    key: &str,
    value: u8,
    is_good: impl Fn(u8) -> bool,
) -> Result<(), VirtualLinkError> {
    let file = PathBuf::from(format!("/proc/sys/net/{family}/conf/{interface}/{key}"));
    let now = match fs::read_to_string(&file) {
        // A kernel without IPv6 has nothing to switch off.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        now => now.ok().and_then(|now| now.trim().parse().ok()),
    };
    if now.is_some_and(is_good) {
        return Ok(());
    }
    fs::write(&file, value.to_string()).map_err(|error| VirtualLinkError::Setting { file, value, error })
}
