//! VRRP on the wire: raw sockets of protocol 112 that receive, a packet socket that sends to the group.
//!
//! Frames to the group are built here whole, so that neither routes nor packet filters nor the choice of a source address
//! have a say in them. Those to unicast peers need the kernel to find the peers' MAC addresses.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use lb_common::wire::vrrp::{Endpoints, GROUP_V4, GROUP_V6, HOP_LIMIT, MAX_LENGTH, PROTOCOL};
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, recvmsg, sendmsg, setsockopt,
        sockopt,
    },
};
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};

use super::{
    announce, frame,
    packet::{PacketError, PacketSender},
};
use crate::core::neighbour::{Link, Mac};

/// DSCP CS6, network control, as routers' own packets have it.
const TRAFFIC_CLASS: u32 = 0xC0;
/// Asked of the kernel for packets that wait to be read, in bytes: a second of what a fast flood brings in the time that
/// a busy machine may keep us waiting.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Longest IPv4 header.
const MAX_IP_HEADER: usize = 60;
/// Longest packet that is read; of a longer one the rest is cut off.
const MAX_PACKET: usize = MAX_IP_HEADER + MAX_LENGTH;

/// Why VRRP cannot be spoken on an interface.
#[derive(Debug, thiserror::Error)]
pub enum VrrpError {
    /// Nothing can be sent.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The kernel does not allow it.
    #[error(
        "cannot speak VRRP on {interface}: a raw socket needs the capability CAP_NET_RAW (run as root, or let the service \
         manager grant it)"
    )]
    Permission {
        /// The interface.
        interface: String,
    },
    /// Another error from the kernel.
    #[error("cannot {doing} to speak VRRP on {interface}: {error}")]
    Io {
        /// What failed.
        doing: &'static str,
        /// The interface.
        interface: String,
        /// What the kernel said.
        error: io::Error,
    },
}

/// Whether VRRP may be spoken at all.
///
/// # Errors
/// [`VrrpError::Permission`], mostly.
pub fn ensure_allowed() -> Result<(), VrrpError> {
    let kind = Type::RAW.nonblocking().cloexec();
    step(
        "any interface",
        "open a raw socket",
        Socket::new(Domain::IPV4, kind, Some(i32::from(PROTOCOL).into())),
    )?;
    Ok(())
}

/// A packet of protocol 112, in somebody's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// What follows the IP header.
    pub message: &'a [u8],
    /// Its source and destination.
    pub endpoints: Endpoints,
    /// Its TTL or hop limit.
    pub hop_limit: u8,
}

/// Memory to receive into.
#[derive(Debug)]
pub struct ReceiveBuffer {
    packet: Box<[u8; MAX_PACKET]>,
    control: Vec<u8>,
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self {
            packet: Box::new([0; MAX_PACKET]),
            control: vec![0; cmsg_space!(libc::in6_pktinfo, libc::c_int).capacity()],
        }
    }
}

/// The sockets of one interface.
#[derive(Debug)]
pub struct VrrpSockets {
    ifindex: u32,
    mac: Mac,
    sender: PacketSender,
    v4: Socket,
    /// `None` where there is no IPv6.
    v6: Option<Socket>,
    /// Number of the next IPv4 packet.
    identification: u16,
}

impl VrrpSockets {
    /// Opens them in the calling thread's network namespace, and joins the groups. An interface made anew under the same
    /// name needs new ones.
    ///
    /// Opening and dropping them waits for the kernel's network configuration lock.
    ///
    /// # Errors
    /// [`VrrpError`].
    pub fn open(link: &Link, mac: Mac) -> Result<Self, VrrpError> {
        Ok(Self {
            ifindex: link.ifindex,
            mac,
            sender: PacketSender::open(&link.name)?,
            v4: open_v4(link)?,
            v6: open_v6(link)?,
            identification: 0,
        })
    }

    /// Index of the interface.
    #[must_use]
    pub fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Its MAC address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// What becomes readable when packets arrive.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.v4.as_fd()).chain(self.v6.as_ref().map(AsFd::as_fd))
    }

    /// The next IPv4 packet; `None` when none waits.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn next_v4<'b>(&self, buffer: &'b mut ReceiveBuffer) -> io::Result<Option<Received<'b>>> {
        unless_empty(receive_v4(&self.v4, buffer))
    }

    /// The next IPv6 packet; `None` when none waits.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn next_v6<'b>(&self, buffer: &'b mut ReceiveBuffer) -> io::Result<Option<Received<'b>>> {
        match &self.v6 {
            Some(socket) => unless_empty(receive_v6(socket, buffer)),
            None => Ok(None),
        }
    }

    /// Sends a message to all who listen, from a MAC address that is the interface's or a virtual router's own.
    ///
    /// # Errors
    /// When the kernel does not take it, as on a link that is down.
    pub fn send_to_group(&mut self, from: Mac, endpoints: &Endpoints, message: &[u8]) -> io::Result<()> {
        self.identification = self.identification.wrapping_add(1);
        let frame = frame::advertisement(from, endpoints, self.identification, message);
        self.sender.send(&frame)
    }

    /// Sends a message to one.
    ///
    /// # Errors
    /// When the kernel does not take it, as without a route.
    pub fn send_to_peer(&self, endpoints: &Endpoints, message: &[u8]) -> io::Result<()> {
        let data = [IoSlice::new(message)];
        match *endpoints {
            Endpoints::V4 { source, destination } => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: self.ifindex.cast_signed(),
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(source.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(SocketAddrV4::new(destination, 0));
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(self.v4.as_raw_fd(), &data, &control, MsgFlags::empty(), Some(&to))?;
            }
            Endpoints::V6 { source, destination } => {
                let Some(socket) = &self.v6 else {
                    return Err(io::ErrorKind::Unsupported.into());
                };
                let info = libc::in6_pktinfo {
                    ipi6_ifindex: self.ifindex,
                    ipi6_addr: libc::in6_addr {
                        s6_addr: source.octets(),
                    },
                };
                let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, self.ifindex));
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(socket.as_raw_fd(), &data, &control, MsgFlags::empty(), Some(&to))?;
            }
        }
        Ok(())
    }

    /// Tells the link that an address is here, at a MAC address that is the interface's or a virtual router's own.
    ///
    /// # Errors
    /// When the kernel does not take it, as on a link that is down.
    pub fn announce(&self, ip: IpAddr, at: Mac) -> io::Result<()> {
        announce::announce(&self.sender, ip, at)
    }
}

fn unless_empty<T>(received: io::Result<T>) -> io::Result<Option<T>> {
    match received {
        Ok(received) => Ok(Some(received)),
        // The link went down; the socket lives on.
        Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(None),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn open_v4(link: &Link) -> Result<Socket, VrrpError> {
    let socket = open(link, Domain::IPV4)?;
    let index = InterfaceIndexOrAddress::Index(link.ifindex);
    step(
        &link.name,
        "join 224.0.0.18",
        socket.join_multicast_v4_n(&GROUP_V4, &index),
    )?;
    step(&link.name, "set the TTL", socket.set_ttl_v4(HOP_LIMIT.into()))?;
    step(&link.name, "set the DSCP", socket.set_tos_v4(TRAFFIC_CLASS))?;
    Ok(socket)
}

fn open_v6(link: &Link) -> Result<Option<Socket>, VrrpError> {
    let socket = match open(link, Domain::IPV6) {
        Err(VrrpError::Io { error, .. }) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            return Ok(None);
        }
        opened => opened?,
    };
    // On an interface without IPv6.
    if socket.join_multicast_v6(&GROUP_V6, link.ifindex).is_err() {
        return Ok(None);
    }
    step(
        &link.name,
        "set the hop limit",
        socket.set_unicast_hops_v6(HOP_LIMIT.into()),
    )?;
    step(&link.name, "set the DSCP", socket.set_tclass_v6(TRAFFIC_CLASS))?;
    step(
        &link.name,
        "receive hop limits",
        socket.set_recv_hoplimit_v6(true),
    )?;
    let destinations = setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true);
    step(
        &link.name,
        "receive destinations",
        destinations.map_err(io::Error::from),
    )?;
    Ok(Some(socket))
}

/// A socket that hears of this interface alone.
fn open(link: &Link, domain: Domain) -> Result<Socket, VrrpError> {
    let kind = Type::RAW.nonblocking().cloexec();
    let socket = step(
        &link.name,
        "open a raw socket",
        Socket::new(domain, kind, Some(i32::from(PROTOCOL).into())),
    )?;
    step(
        &link.name,
        "bind a raw socket",
        socket.bind_device(Some(link.name.as_bytes())),
    )?;
    // The first needs CAP_NET_ADMIN and passes the system's limit; the second does what is allowed.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        step(
            &link.name,
            "set the buffer",
            socket.set_recv_buffer_size(RECEIVE_BUFFER),
        )?;
    }
    Ok(socket)
}

fn step<T>(interface: &str, doing: &'static str, result: io::Result<T>) -> Result<T, VrrpError> {
    let interface = interface.to_owned();
    result.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => VrrpError::Permission { interface },
        _ => VrrpError::Io {
            doing,
            interface,
            error,
        },
    })
}

/// A raw IPv4 socket gives the IP header, too, which the kernel has checked.
fn receive_v4<'b>(socket: &Socket, buffer: &'b mut ReceiveBuffer) -> io::Result<Received<'b>> {
    let packet = &mut buffer.packet[..];
    let length = {
        let mut data = [IoSliceMut::new(packet)];
        recvmsg::<()>(socket.as_raw_fd(), &mut data, None, MsgFlags::MSG_DONTWAIT)?.bytes
    };
    // One without a header would be refused by whoever reads it.
    Ok(split_v4(&buffer.packet[..length]).unwrap_or(Received {
        message: &[],
        endpoints: Endpoints::V4 {
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::UNSPECIFIED,
        },
        hop_limit: HOP_LIMIT,
    }))
}

fn split_v4(packet: &[u8]) -> Option<Received<'_>> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let message = packet.get(usize::from(header[0] & 0x0F) * 4..)?;
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    Some(Received {
        message,
        endpoints: Endpoints::V4 {
            source: address(12),
            destination: address(16),
        },
        hop_limit: header[8],
    })
}

fn receive_v6<'b>(socket: &Socket, buffer: &'b mut ReceiveBuffer) -> io::Result<Received<'b>> {
    let packet = &mut buffer.packet[..];
    let (length, source, hop_limit, destination) = {
        let mut data = [IoSliceMut::new(packet)];
        let control = Some(&mut buffer.control[..]);
        let received =
            recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut data, control, MsgFlags::MSG_DONTWAIT)?;
        let mut destination = Ipv6Addr::UNSPECIFIED;
        let mut hop_limit = 0;
        for message in received.cmsgs()? {
            match message {
                ControlMessageOwned::Ipv6HopLimit(limit) => hop_limit = u8::try_from(limit).unwrap_or(0),
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    destination = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                }
                _ => {}
            }
        }
        let source = received.address.ok_or(Errno::EAFNOSUPPORT)?.ip();
        (received.bytes, source, hop_limit, destination)
    };
    Ok(Received {
        message: &buffer.packet[..length],
        endpoints: Endpoints::V6 { source, destination },
        hop_limit,
    })
}
