//! Has clients of connections that are to end say something.
//!
//! A segment whose sequence number cannot be right is answered with an acknowledgement that has the right ones (RFC 9293
//! section 3.10.7.4). So a client that is silent can be made to speak in the name of the VIP, and what it says is what the
//! packet path makes resets of. Linux answers at most two such segments a second for each connection.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use lb_common::{checksum::fold, packet::protocol};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const TCP: usize = 20;
const HOP_LIMIT: u8 = 64;
const ACK: u8 = 0x10;

/// Sends questions by the kernel's routes, whatever their source.
#[derive(Debug)]
pub struct Questioner {
    v4: Socket,
    v6: Socket,
}

impl Questioner {
    /// Opens its sockets in the calling thread's network namespace.
    ///
    /// # Errors
    /// Without the capability CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        // Raw sockets of this protocol send what begins with an IP header, and receive nothing.
        let raw = |domain| {
            Socket::new(
                domain,
                Type::RAW.cloexec().nonblocking(),
                Some(Protocol::from(libc::IPPROTO_RAW)),
            )
        };
        let v6 = raw(Domain::IPV6)?;
        v6.set_header_included_v6(true)?;
        Ok(Self {
            v4: raw(Domain::IPV4)?,
            v6,
        })
    }

    /// Asks the client, as if the VIP did. `sequence` is whatever the connection will hardly be at.
    ///
    /// # Errors
    /// What the kernel says; nothing, where the two are of different families.
    pub fn ask(&self, vip: SocketAddr, client: SocketAddr, sequence: u32) -> io::Result<()> {
        let (socket, packet) = match (vip.ip(), client.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                (&self.v4, packet_v4(from, to, vip.port(), client.port(), sequence))
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                (&self.v6, packet_v6(from, to, vip.port(), client.port(), sequence))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Ok(()),
        };
        // For IPv6 the port has to be zero.
        socket.send_to(&packet, &SockAddr::from(SocketAddr::new(client.ip(), 0)))?;
        Ok(())
    }
}

fn packet_v4(from: Ipv4Addr, to: Ipv4Addr, source: u16, destination: u16, sequence: u32) -> Vec<u8> {
    // The kernel fills in the length, the identification and the checksum.
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, HOP_LIMIT, protocol::TCP, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    let addresses = packet[12..].to_vec();
    packet.extend(segment(&addresses, source, destination, sequence));
    packet
}

fn packet_v6(from: Ipv6Addr, to: Ipv6Addr, source: u16, destination: u16, sequence: u32) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, TCP as u8, protocol::TCP, HOP_LIMIT];
    packet.extend(from.octets());
    packet.extend(to.octets());
    let addresses = packet[8..].to_vec();
    packet.extend(segment(&addresses, source, destination, sequence));
    packet
}

fn segment(addresses: &[u8], source: u16, destination: u16, sequence: u32) -> [u8; TCP] {
    let mut tcp = [0; TCP];
    tcp[..2].copy_from_slice(&source.to_be_bytes());
    tcp[2..4].copy_from_slice(&destination.to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    // Nor can the acknowledgement be right.
    tcp[8..12].copy_from_slice(&sequence.wrapping_mul(3).to_be_bytes());
    tcp[12] = (TCP as u8 / 4) << 4;
    tcp[13] = ACK;
    let pseudo = sum(addresses) + u64::from(protocol::TCP) + TCP as u64;
    let checksum = !fold(pseudo + sum(&tcp));
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    tcp
}

/// Of whole 16-bit words.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks().0.iter();
    words.map(|&word| u64::from(u16::from_be_bytes(word))).sum()
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_question_is_a_segment_from_the_vip(v4: bool, vip: [u8; 16], client: [u8; 16], ports: (u16, u16), sequence: u32) {
            let short = |octets: [u8; 16]| Ipv4Addr::from([octets[0], octets[1], octets[2], octets[3]]);
            let mut packet = if v4 {
                packet_v4(short(vip), short(client), ports.0, ports.1, sequence)
            } else {
                packet_v6(vip.into(), client.into(), ports.0, ports.1, sequence)
            };
            if v4 {
                // As the kernel does.
                packet[3] = 40;
            }
            let parsed = SlicedPacket::from_ip(&packet).expect("well-formed");
            let Some(TransportSlice::Tcp(tcp)) = &parsed.transport else { panic!("not TCP") };
            let right = match parsed.net.expect("an IP packet") {
                NetSlice::Ipv4(ip) => tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination()),
                NetSlice::Ipv6(ip) => tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination()),
                NetSlice::Arp(_) => panic!("not IP"),
            };
            prop_assert_eq!(tcp.checksum(), right.expect("short enough"));
            prop_assert_eq!((tcp.source_port(), tcp.destination_port(), tcp.sequence_number()), (ports.0, ports.1, sequence));
            prop_assert!(tcp.ack() && !tcp.rst() && !tcp.syn() && !tcp.fin());
        }
    }
}
