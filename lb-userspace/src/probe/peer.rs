//! Whom a probe talks to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::sys::socket::{setsockopt, sockopt};
use std::os::fd::AsFd;

/// Whom a probe talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// Where its sockets go.
    pub(super) at: SocketAddr,
    /// Whom it takes the other end for: the VIP, if it goes there, and else the same.
    pub(super) name: IpAddr,
    /// What makes its packets go to the VIP.
    pub(super) mark: Option<u32>,
}

impl Peer {
    /// Prepares a socket before it is connected.
    pub(super) fn prepare<S: AsFd>(
        &self,
        socket: &S,
        bind: impl FnOnce(SocketAddr) -> io::Result<()>,
    ) -> Result<(), String> {
        let Some(mark) = self.mark else {
            return Ok(());
        };
        setsockopt(socket, sockopt::Mark, &mark).map_err(|error| format!("cannot mark a socket: {error}"))?;
        // A local port that no other socket has: by it the way back is known.
        bind(any(self.at)).map_err(|error| format!("no local port: {error}"))
    }
}

/// Any address of this family, any port.
pub(super) const fn any(at: SocketAddr) -> SocketAddr {
    let address = if at.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    SocketAddr::new(address, 0)
}
