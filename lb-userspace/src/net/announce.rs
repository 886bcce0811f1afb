//! Tells the link who holds an address now: gratuitous ARP and unsolicited neighbour advertisements.

use std::{io, net::IpAddr};

use super::{
    frame,
    packet::{PacketError, PacketSender},
};
use crate::core::neighbour::Mac;

/// Why an address could not be announced.
#[derive(Debug, thiserror::Error)]
#[error("cannot announce {address} on {interface}: {error}")]
pub struct AnnounceError {
    address: IpAddr,
    interface: String,
    /// What the kernel said; that the link is down, for instance.
    #[source]
    error: io::Error,
}

/// A packet socket that announces addresses on one interface.
#[derive(Debug)]
pub struct Announcer {
    sender: PacketSender,
    interface: String,
}

impl Announcer {
    /// Opens it in the calling thread's network namespace. An interface made anew under the same name needs a new one.
    ///
    /// # Errors
    /// Without the interface or the capability.
    pub fn open(interface: &str) -> Result<Self, PacketError> {
        Ok(Self {
            sender: PacketSender::open(interface)?,
            interface: interface.into(),
        })
    }

    /// Sends one announcement: `ip` is at `mac` from now on. Receivers that know `ip` replace what they had.
    ///
    /// # Errors
    /// When the kernel does not take the frame, as on a link that is down.
    pub fn announce(&self, ip: IpAddr, mac: Mac) -> Result<(), AnnounceError> {
        announce(&self.sender, ip, mac).map_err(|error| AnnounceError {
            address: ip,
            interface: self.interface.clone(),
            error,
        })
    }
}

/// Sends one announcement.
pub(super) fn announce(sender: &PacketSender, ip: IpAddr, mac: Mac) -> io::Result<()> {
    match ip {
        IpAddr::V4(ip) => sender.send(&frame::arp_announcement(mac, ip)),
        IpAddr::V6(ip) => sender.send(&frame::neighbour_advertisement(mac, ip)),
    }
}
