//! Asks who has an address on a link: ARP (RFC 826) and neighbour solicitation (RFC 4861), whatever the kernel remembers.

use std::{
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6},
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

use nix::{errno::Errno, net::if_::if_nametoindex};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{frame, ifreq, packet::PacketSender};
use crate::core::neighbour::Mac;

const ETH_P_ARP: u16 = 0x0806;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Routers do not forward it, and receivers check that none did.
const HOP_LIMIT: u32 = 255;

/// Sends one question out of an interface, and waits for the answer to it: the MAC address.
///
/// # Errors
/// When none comes in time, or it cannot be sent.
pub fn solicit(to: IpAddr, interface: &str, patience: Duration) -> io::Result<Mac> {
    let deadline = Instant::now() + patience;
    match to {
        IpAddr::V4(to) => arp(to, interface, deadline),
        IpAddr::V6(to) => discovery(to, interface, deadline),
    }
}

fn arp(to: Ipv4Addr, interface: &str, deadline: Instant) -> io::Result<Mac> {
    let index = if_nametoindex(interface)?;
    let protocol = Protocol::from(i32::from(ETH_P_ARP.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM.cloexec(), Some(protocol))?;
    bind_packet(&socket, index)?;
    let (mac, own) = identity(&socket, interface)?;
    let sender = PacketSender::open(interface).map_err(io::Error::other)?;
    sender.send(&frame::arp_request(mac, own, to))?;
    wait(&socket, deadline, |packet| {
        // Ethernet and IPv4, a reply, from the one that was asked.
        let is_it = packet.get(..8) == Some(&[0, 1, 0x08, 0, 6, 4, 0, 2])
            && packet.get(14..18) == Some(&to.octets()[..]);
        is_it.then(|| at(packet, 8)).flatten()
    })
}

fn discovery(to: Ipv6Addr, interface: &str, deadline: Instant) -> io::Result<Mac> {
    let index = if_nametoindex(interface)?;
    let socket = Socket::new(Domain::IPV6, Type::RAW.cloexec(), Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_multicast_hops_v6(HOP_LIMIT)?;
    let (mac, _) = identity(&socket, interface)?;
    let mut message = [0; 32];
    message[0] = SOLICITATION;
    message[8..24].copy_from_slice(&to.octets());
    // Option: source link-layer address, one unit of eight bytes. The kernel fills in the checksum.
    message[24..26].copy_from_slice(&[1, 1]);
    message[26..].copy_from_slice(&mac.0);
    socket.send_to(
        &message,
        &SockAddr::from(SocketAddrV6::new(solicited_node(to), 0, 0, index)),
    )?;
    wait(&socket, deadline, |message| {
        let is_it = message.first() == Some(&ADVERTISEMENT) && message.get(8..24) == Some(&to.octets()[..]);
        // Option: target link-layer address, which the answer to a question for all has.
        let is_told = message.get(24..26) == Some(&[2, 1]);
        (is_it && is_told).then(|| at(message, 26)).flatten()
    })
}

/// RFC 4291 section 2.7.1.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | u16::from(a),
        u16::from_be_bytes([b, c]),
    )
}

fn at(packet: &[u8], offset: usize) -> Option<Mac> {
    Some(Mac(packet.get(offset..)?.first_chunk().copied()?))
}

/// Reads until something is the answer.
fn wait(socket: &Socket, deadline: Instant, answer: impl Fn(&[u8]) -> Option<Mac>) -> io::Result<Mac> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "no answer"));
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(error) => return Err(error),
        };
        // SAFETY: so many bytes were written.
        let packet = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
        if let Some(mac) = answer(packet) {
            return Ok(mac);
        }
    }
}

/// The interface's MAC address and its first IPv4 address; without one, unspecified, as in an ARP probe (RFC 5227).
fn identity(socket: &Socket, interface: &str) -> io::Result<(Mac, Ipv4Addr)> {
    let mut request = ifreq::named(interface)?;
    // SAFETY: SIOCGIFHWADDR writes a sockaddr into the ifreq itself.
    unsafe { ifreq::ask(socket.as_fd(), libc::SIOCGIFHWADDR, &mut request) }?;
    // SAFETY: the kernel has filled that field in.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(address.sa_data) {
        *to = from.cast_unsigned();
    }
    let inet = Socket::new(Domain::IPV4, Type::DGRAM.cloexec(), None)?;
    let mut request = ifreq::named(interface)?;
    // SAFETY: SIOCGIFADDR writes a sockaddr into the ifreq itself.
    let asked = unsafe { ifreq::ask(inet.as_fd(), libc::SIOCGIFADDR, &mut request) };
    if asked.is_err() {
        return Ok((Mac(mac), Ipv4Addr::UNSPECIFIED));
    }
    // SAFETY: the kernel has filled that field in, with a sockaddr_in.
    let data = unsafe { request.ifr_ifru.ifru_addr }.sa_data;
    let octet = |index: usize| data[index].cast_unsigned();
    // Behind the port.
    Ok((Mac(mac), Ipv4Addr::new(octet(2), octet(3), octet(4), octet(5))))
}

fn bind_packet(socket: &Socket, index: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETH_P_ARP.to_be(),
        sll_ifindex: index.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a whole sockaddr_ll of `length` bytes.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    Errno::result(bound)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solicited_nodes() {
        let address: Ipv6Addr = "2001:db8::12:3456".parse().unwrap();
        assert_eq!(solicited_node(address).to_string(), "ff02::1:ff12:3456");
    }
}
