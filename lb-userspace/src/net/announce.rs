//! Tells the link who holds an address now: gratuitous ARP and unsolicited neighbour advertisements.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, send, socket},
};

use super::frame;
use crate::core::neighbour::Mac;

/// Why an address could not be announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// There is no such interface in this namespace.
    #[error("cannot announce addresses on {interface}: there is no such interface")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// The socket was refused.
    #[error(
        "cannot announce addresses on {interface}: a packet socket needs the capability CAP_NET_RAW (run as root, or \
         let the service manager grant it)"
    )]
    Permission {
        /// The interface.
        interface: String,
    },
    /// Another error from the kernel; a link that is down is among them.
    #[error("cannot announce {what} on {interface}: {error}")]
    Io {
        /// The address, or "addresses".
        what: String,
        /// The interface.
        interface: String,
        /// What the kernel said.
        error: io::Error,
    },
}

/// A packet socket that sends on one interface and receives nothing.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    interface: String,
}

impl Announcer {
    /// Opens it in the calling thread's network namespace. An interface made anew under the same name needs a new one.
    ///
    /// # Errors
    /// Without the interface or the capability.
    pub fn open(interface: &str) -> Result<Self, AnnounceError> {
        let failed = |errno: Errno| match errno {
            Errno::EPERM | Errno::EACCES => AnnounceError::Permission {
                interface: interface.into(),
            },
            Errno::ENODEV | Errno::ENXIO => AnnounceError::NoInterface {
                interface: interface.into(),
            },
            errno => AnnounceError::Io {
                what: "addresses".into(),
                interface: interface.into(),
                error: errno.into(),
            },
        };
        let ifindex = if_nametoindex(interface).map_err(failed)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None).map_err(failed)?;
        bind(socket.as_raw_fd(), &link_address(ifindex)).map_err(failed)?;
        Ok(Self {
            socket,
            interface: interface.into(),
        })
    }

    /// Sends one announcement: `ip` is at `mac` from now on. Receivers that know `ip` replace what they had.
    ///
    /// # Errors
    /// When the kernel does not take the frame, as on a link that is down.
    pub fn announce(&self, ip: IpAddr, mac: Mac) -> Result<(), AnnounceError> {
        let sent = match ip {
            IpAddr::V4(ip) => self.send(&frame::arp_announcement(mac, ip)),
            IpAddr::V6(ip) => self.send(&frame::neighbour_advertisement(mac, ip)),
        };
        sent.map_err(|errno| AnnounceError::Io {
            what: ip.to_string(),
            interface: self.interface.clone(),
            error: errno.into(),
        })
    }

    fn send(&self, frame: &[u8]) -> nix::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty()).map(drop)
    }
}

/// An interface to bind to. Protocol 0: the socket gets no copies of packets.
fn link_address(ifindex: u32) -> LinkAddr {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: ifindex.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a whole sockaddr_ll of `length` bytes, and says so in its family.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast(), Some(length)) };
    address.expect("a sockaddr_ll with AF_PACKET is a LinkAddr")
}
