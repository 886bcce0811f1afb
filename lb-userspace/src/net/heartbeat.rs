//! Heartbeats on the wire: a UDP socket for each path, bound to its interface; or a serial line.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

use super::serial::SerialLine;
use crate::core::model::{Heartbeat, HeartbeatNetwork, Medium};

/// DSCP CS6, network control.
const TRAFFIC_CLASS: u32 = 0xC0;
/// Asked of the kernel for datagrams that wait to be read, in bytes.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Longest datagram that is read; what is longer is no heartbeat.
pub const MAX_DATAGRAM: usize = 2048;

/// Why a heartbeat path cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} for the heartbeat path {path} on {medium}: {error}")]
pub struct HeartbeatError {
    doing: &'static str,
    path: String,
    medium: String,
    error: io::Error,
}

/// What a path sends and receives by.
#[derive(Debug)]
pub enum HeartbeatLink {
    /// Over a network.
    Network(HeartbeatSocket),
    /// Over a cable.
    Serial(Box<SerialLine>),
}

impl HeartbeatLink {
    /// Opens it, in the calling thread's network namespace; `ifindex` is the network's interface. An interface made anew
    /// under the same name needs a new one.
    ///
    /// Opening and dropping it waits for the kernel's network configuration lock.
    ///
    /// # Errors
    /// [`HeartbeatError`].
    pub fn open(path: &Heartbeat, ifindex: u32) -> Result<Self, HeartbeatError> {
        match &path.medium {
            Medium::Network(network) => HeartbeatSocket::open(path, network, ifindex).map(Self::Network),
            Medium::Serial { device, baud } => match SerialLine::open(device, *baud) {
                Ok(line) => Ok(Self::Serial(Box::new(line))),
                Err(error) => Err(HeartbeatError {
                    doing: "open the line",
                    path: path.name.clone(),
                    medium: path.medium.to_string(),
                    error,
                }),
            },
        }
    }

    /// Sends to whoever listens; tries all, and returns the first failure.
    ///
    /// # Errors
    /// When the kernel does not take it, as on a link that is down.
    pub fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        match self {
            Self::Network(socket) => socket.send(datagram),
            Self::Serial(line) => line.send(datagram),
        }
    }

    /// The next datagram; `None` when none waits.
    ///
    /// # Errors
    /// When it fails; with [`io::ErrorKind::UnexpectedEof`] it has to be opened anew.
    pub fn next<'b>(&mut self, buffer: &'b mut [u8; MAX_DATAGRAM]) -> io::Result<Option<&'b mut [u8]>> {
        match self {
            Self::Network(socket) => socket.next(buffer),
            Self::Serial(line) => line.next(buffer),
        }
    }
}

impl HeartbeatLink {
    /// How often something came over it that was no datagram.
    #[must_use]
    pub fn noise(&self) -> u64 {
        match self {
            Self::Network(_) => 0,
            Self::Serial(line) => line.noise(),
        }
    }
}

impl AsFd for HeartbeatLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Network(socket) => socket.as_fd(),
            Self::Serial(line) => line.as_fd(),
        }
    }
}

/// The socket of a path.
#[derive(Debug)]
pub struct HeartbeatSocket {
    socket: UdpSocket,
    destinations: Vec<SocketAddr>,
}

impl HeartbeatSocket {
    /// Opens it, and joins the group.
    fn open(path: &Heartbeat, network: &HeartbeatNetwork, ifindex: u32) -> Result<Self, HeartbeatError> {
        let step = |doing: &'static str, result: io::Result<()>| {
            result.map_err(|error| HeartbeatError {
                doing,
                path: path.name.clone(),
                medium: path.medium.to_string(),
                error,
            })
        };
        let destinations = match &network.peers[..] {
            [] => vec![network.group],
            peers => peers.to_vec(),
        };
        let is_v4 = destinations[0].is_ipv4();
        let domain = if is_v4 { Domain::IPV4 } else { Domain::IPV6 };
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(domain, kind, None).map_err(|error| HeartbeatError {
            doing: "open a socket",
            path: path.name.clone(),
            medium: path.medium.to_string(),
            error,
        })?;
        step("share the port", socket.set_reuse_address(true))?;
        step(
            "bind to the interface",
            socket.bind_device(Some(network.interface.as_bytes())),
        )?;
        let any: IpAddr = if is_v4 {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        step(
            "bind the port",
            socket.bind(&SocketAddr::new(any, network.group.port()).into()),
        )?;
        // The first needs CAP_NET_ADMIN and passes the system's limit; the second does what is allowed.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            step("set the buffer", socket.set_recv_buffer_size(RECEIVE_BUFFER))?;
        }
        if is_v4 {
            step("set the DSCP", socket.set_tos_v4(TRAFFIC_CLASS))?;
        } else {
            step("set the DSCP", socket.set_tclass_v6(TRAFFIC_CLASS))?;
            step("use IPv6 alone", socket.set_only_v6(true)).ok();
        }
        if network.peers.is_empty() {
            let index = InterfaceIndexOrAddress::Index(ifindex);
            match network.group.ip() {
                IpAddr::V4(group) => {
                    step("join the group", socket.join_multicast_v4_n(&group, &index))?;
                    step("send to the group", set_multicast_interface(&socket, ifindex))?;
                    step("not hear ourselves", socket.set_multicast_loop_v4(false))?;
                }
                IpAddr::V6(group) => {
                    step("join the group", socket.join_multicast_v6(&group, ifindex))?;
                    step("send to the group", socket.set_multicast_if_v6(ifindex))?;
                    step("not hear ourselves", socket.set_multicast_loop_v6(false))?;
                }
            }
        }
        let scoped = destinations.into_iter().map(|to| match to {
            SocketAddr::V6(to) => SocketAddrV6::new(*to.ip(), to.port(), 0, ifindex).into(),
            SocketAddr::V4(_) => to,
        });
        Ok(Self {
            destinations: scoped.collect(),
            socket: socket.into(),
        })
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let mut result = Ok(());
        for destination in &self.destinations {
            let sent = self.socket.send_to(datagram, destination);
            result = result.and(sent.map(drop));
        }
        result
    }

    fn next<'b>(&self, buffer: &'b mut [u8; MAX_DATAGRAM]) -> io::Result<Option<&'b mut [u8]>> {
        match self.socket.recv(&mut buffer[..]) {
            Ok(length) => Ok(Some(&mut buffer[..length])),
            Err(error) => match error.kind() {
                // A peer without a daemon says so; the link may be down for now.
                io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::HostUnreachable => Ok(None),
                _ => Err(error),
            },
        }
    }
}

impl AsFd for HeartbeatSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// By its index, which the crate's own function does not take.
fn set_multicast_interface(socket: &Socket, ifindex: u32) -> io::Result<()> {
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: ifindex.cast_signed(),
    };
    use std::os::fd::AsRawFd as _;
    // SAFETY: the kernel reads an ip_mreqn of the length that is given.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            (&raw const request).cast(),
            size_of_val(&request) as libc::socklen_t,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
