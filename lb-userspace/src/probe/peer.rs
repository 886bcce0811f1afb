//! Whom a probe talks to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use nix::sys::socket::{setsockopt, sockopt};
use std::os::fd::AsFd;
use tokio::net::TcpSocket;

/// Whom a probe talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// Where its sockets go.
    pub(super) at: SocketAddr,
    /// Whom it takes the other end for: the VIP, if it goes there, and else the same.
    pub(super) name: IpAddr,
    /// What makes its packets go to the VIP.
    pub(super) mark: Option<u32>,
    /// Whether they go through a tunnel, which narrows the way.
    pub(super) in_tunnel: bool,
}

/// Longest segment that every tunnel has room for: a packet of 1280 bytes (see `core::way`) less the longest headers.
const SEGMENT: u32 = 1280 - 40 - 20;

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

    /// The same for a socket of TCP.
    pub(super) fn prepare_tcp(&self, socket: &TcpSocket) -> Result<(), String> {
        if self.in_tunnel {
            setsockopt(socket, sockopt::TcpMaxSeg, &SEGMENT)
                .map_err(|error| format!("cannot limit segments: {error}"))?;
        }
        self.prepare(socket, |any| socket.bind(any))
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
