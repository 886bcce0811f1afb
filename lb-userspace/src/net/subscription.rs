//! A netlink socket that hears of changes.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::{
    MulticastGroup,
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Asked of the kernel for messages that wait to be read, in bytes.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A non-blocking socket that hears of some groups.
#[derive(Debug)]
pub(super) struct Subscription(Socket);

impl Subscription {
    /// Opens it in the calling thread's network namespace.
    pub(super) fn open(groups: &[MulticastGroup]) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        // The first needs CAP_NET_ADMIN and passes the system's limit; the second does what is allowed.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        }
        socket.bind(&SocketAddr::new(0, 0))?;
        for group in groups {
            socket.add_membership(*group as u32)?;
        }
        Ok(Self(socket))
    }

    /// The same, for a task to wait for.
    pub(super) fn into_async(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the socket owns its descriptor, and nobody replaces or closes it inside of the AsyncFd.
        Ok(unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }?)
    }

    /// Receives one datagram into `buffer`, and returns its whole length, of which it may hold only a part.
    pub(super) fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.0.recv(buffer, libc::MSG_DONTWAIT | libc::MSG_TRUNC)
    }

    /// Throws away what waits; whether there was anything, or something was lost.
    pub(super) fn drain(&self) -> bool {
        let mut heard = false;
        let mut nothing = Vec::new();
        loop {
            nothing.clear();
            match self.receive(&mut nothing) {
                Ok(_) => heard = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => heard = true,
                Err(_) => return heard,
            }
        }
    }
}

impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Subscription {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
