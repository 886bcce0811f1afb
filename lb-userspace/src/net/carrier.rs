//! Whether interfaces can carry packets, without waiting for the kernel's network configuration lock.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use rtnetlink::MulticastGroup;

use super::{ifreq, subscription::Subscription};

/// Hears of changes of any link, and looks at those that matter.
#[derive(Debug)]
pub struct Carrier {
    changes: Subscription,
    /// A socket to ask through; which one does not matter.
    socket: OwnedFd,
}

impl Carrier {
    /// Opens it in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel gives no sockets.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            changes: Subscription::open(&[MulticastGroup::Link])?,
            socket: socket(
                AddressFamily::Inet,
                SockType::Datagram,
                SockFlag::SOCK_CLOEXEC,
                None,
            )?,
        })
    }

    /// What becomes readable when a link changes.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }

    /// Whether any link changed since the last call; also when the kernel had more to tell than it could.
    pub fn changed(&self) -> bool {
        self.changes.drain()
    }

    /// Whether the interface is switched on and has a carrier; not, if there is none of that name.
    #[must_use]
    pub fn is_up(&self, interface: &str) -> bool {
        const UP: i32 = libc::IFF_UP | libc::IFF_RUNNING;
        let Ok(mut request) = ifreq::named(interface) else {
            return false;
        };
        // SAFETY: SIOCGIFFLAGS writes the flags into the ifreq itself.
        let asked = unsafe { ifreq::ask(self.socket.as_fd(), libc::SIOCGIFFLAGS, &mut request) };
        // SAFETY: the kernel has filled that field in.
        asked.is_ok() && i32::from(unsafe { request.ifr_ifru.ifru_flags }) & UP == UP
    }
}
