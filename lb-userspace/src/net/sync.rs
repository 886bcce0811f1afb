//! The socket by which directors tell each other of connections: UDP, bound to one interface.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    net::if_::if_nametoindex,
    sys::socket::{setsockopt, sockopt},
};
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

use super::ifreq;
use crate::core::model::{Audience, SyncPath};

/// Asked of the kernel for datagrams that wait to be read, in bytes: a tenth of a second of a copy of all connections.
const RECEIVE_BUFFER: usize = 8 << 20;
/// For datagrams that wait to be sent.
const SEND_BUFFER: usize = 2 << 20;
/// Headers of IP and UDP, in bytes.
const HEADERS_V4: usize = 28;
const HEADERS_V6: usize = 48;
/// A director on a link of large frames is not to send what others on smaller ones cannot hear: no longer than this, in
/// bytes of an IP packet.
const MOST_MTU: usize = 1500;

/// Why connections cannot be synchronised by an interface.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} on {interface} to synchronise connections: {error}")]
pub struct SyncSocketError {
    doing: &'static str,
    interface: String,
    error: io::Error,
}

/// The socket.
#[derive(Debug)]
pub struct SyncSocket {
    socket: Socket,
    interface: String,
    ifindex: u32,
    /// Where what is for all goes.
    everybody: Vec<SocketAddr>,
}

impl SyncSocket {
    /// Opens it in the calling thread's network namespace, and joins the group if there is one. An interface made anew under
    /// the same name needs a new one.
    ///
    /// # Errors
    /// [`SyncSocketError`].
    pub fn open(path: &SyncPath) -> Result<Self, SyncSocketError> {
        let step = |doing: &'static str| {
            let interface = path.interface.clone();
            move |error: io::Error| SyncSocketError {
                doing,
                interface,
                error,
            }
        };
        let ifindex = if_nametoindex(path.interface.as_str())
            .map_err(|errno| step("find the interface")(errno.into()))?;
        let domain = if path.is_v6() { Domain::IPV6 } else { Domain::IPV4 };
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(domain, kind, None).map_err(step("open a socket"))?;
        let bind = || {
            socket.bind_device(Some(path.interface.as_bytes()))?;
            socket.set_reuse_address(true)?;
            let any: IpAddr = if path.is_v6() {
                socket.set_only_v6(true)?;
                Ipv6Addr::UNSPECIFIED.into()
            } else {
                Ipv4Addr::UNSPECIFIED.into()
            };
            socket.bind(&SocketAddr::new(any, path.port).into())
        };
        bind().map_err(step("bind to the port"))?;
        let everybody = match &path.audience {
            Audience::Group(group) => {
                join(&socket, *group, ifindex, path.ttl).map_err(step("join the multicast group"))?;
                vec![address(*group, path.port, ifindex)]
            }
            Audience::Peers(peers) => peers
                .iter()
                .map(|peer| address(*peer, path.port, ifindex))
                .collect(),
        };
        // Where the system's limits do not matter to us; without the right to that, up to the limits.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket
                .set_recv_buffer_size(RECEIVE_BUFFER)
                .map_err(step("buffer datagrams"))?;
        }
        if setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER).is_err() {
            socket
                .set_send_buffer_size(SEND_BUFFER)
                .map_err(step("buffer datagrams"))?;
        }
        Ok(Self {
            socket,
            interface: path.interface.clone(),
            ifindex,
            everybody,
        })
    }

    /// Whether the interface is still the one that it was opened on.
    #[must_use]
    pub fn is_current(&self) -> bool {
        if_nametoindex(self.interface.as_str()) == Ok(self.ifindex)
    }

    /// The longest UDP payload that need not be divided, in bytes, as far as the interface is concerned.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn longest_datagram(&self) -> io::Result<usize> {
        let mut request = ifreq::named(&self.interface)?;
        // SAFETY: SIOCGIFMTU writes the MTU into the ifreq itself.
        unsafe { ifreq::ask(self.socket.as_fd(), libc::SIOCGIFMTU, &mut request) }?;
        // SAFETY: the kernel has filled that field in.
        let mtu = usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).unwrap_or(MOST_MTU);
        let headers = match self.everybody.first() {
            Some(SocketAddr::V6(_)) => HEADERS_V6,
            Some(SocketAddr::V4(_)) | None => HEADERS_V4,
        };
        Ok(mtu.min(MOST_MTU).saturating_sub(headers))
    }

    /// Where what is for all goes.
    #[must_use]
    pub fn everybody(&self) -> &[SocketAddr] {
        &self.everybody
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// When the kernel does not take it: [`io::ErrorKind::WouldBlock`] if it may take it later.
    pub fn send(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.socket.send_to(datagram, &to.into()).map(|_| ())
    }

    /// The next datagram, in `buffer`: its length and where it came from; `None` when none waits. What does not fit is cut off.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        // SAFETY: bytes that have a value are bytes that may have none, and the kernel only writes.
        let raw = unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>]) };
        match self.socket.recv_from(raw) {
            Ok((length, from)) => Ok(from.as_socket().map(|from| (length, from))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for SyncSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn join(socket: &Socket, group: IpAddr, ifindex: u32, ttl: u8) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            let interface = InterfaceIndexOrAddress::Index(ifindex);
            // What leaves a socket that is bound to an interface needs no route to the group.
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_ttl_v4(ttl.into())?;
            socket.join_multicast_v4_n(&group, &interface)
        }
        IpAddr::V6(group) => {
            socket.set_multicast_if_v6(ifindex)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_hops_v6(ttl.into())?;
            socket.join_multicast_v6(&group, ifindex)
        }
    }
}

/// Addresses that mean something on one link alone go by this one.
fn address(ip: IpAddr, port: u16, ifindex: u32) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, ifindex).into(),
    }
}
