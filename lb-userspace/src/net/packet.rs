//! A packet socket that sends whole frames by one interface, and receives nothing.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, send, socket},
};

/// Why there is no packet socket.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// There is no such interface in this namespace.
    #[error("cannot send on {interface}: there is no such interface")]
    NoInterface {
        /// Its name.
        interface: String,
    },
    /// The socket was refused.
    #[error(
        "cannot send on {interface}: a packet socket needs the capability CAP_NET_RAW (run as root, or let the service \
         manager grant it)"
    )]
    Permission {
        /// The interface.
        interface: String,
    },
    /// Another error from the kernel.
    #[error("cannot send on {interface}: {error}")]
    Io {
        /// The interface.
        interface: String,
        /// What the kernel said.
        error: io::Error,
    },
}

/// The socket.
#[derive(Debug)]
pub struct PacketSender {
    socket: OwnedFd,
}

impl PacketSender {
    /// Opens it in the calling thread's network namespace. An interface made anew under the same name needs a new one.
    ///
    /// # Errors
    /// Without the interface or the capability.
    pub fn open(interface: &str) -> Result<Self, PacketError> {
        let failed = |errno: Errno| match errno {
            Errno::EPERM | Errno::EACCES => PacketError::Permission {
                interface: interface.into(),
            },
            Errno::ENODEV | Errno::ENXIO => PacketError::NoInterface {
                interface: interface.into(),
            },
            errno => PacketError::Io {
                interface: interface.into(),
                error: errno.into(),
            },
        };
        let ifindex = if_nametoindex(interface).map_err(failed)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None).map_err(failed)?;
        bind(socket.as_raw_fd(), &link_address(ifindex)).map_err(failed)?;
        Ok(Self { socket })
    }

    /// Sends one frame, from its destination address on.
    ///
    /// # Errors
    /// When the kernel does not take the frame, as on a link that is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
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
