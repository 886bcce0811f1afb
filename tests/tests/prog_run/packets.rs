//! Packets, built without the code under test: etherparse makes them right, and the changes make them wrong.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, checksum::Sum16BitWords};

/// Who sends the frames: a router on the director's link.
pub(crate) const ROUTER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xAA, 1];
/// Whom the frames are sent to.
pub(crate) const OWN_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xDD, 9];
pub(crate) const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
pub(crate) const CLIENT4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(crate) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 7);
pub(crate) const CLIENT_PORT: u16 = 40_000;

/// Where the network header begins in a frame without tags.
pub(crate) const IP: usize = 14;
/// Where the transport header begins in an IPv4 frame without tags and options.
pub(crate) const L4_OF_V4: usize = IP + 20;
/// Where the transport header begins in an IPv6 frame without tags and extension headers.
pub(crate) const L4_OF_V6: usize = IP + 40;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const URG: u8 = 0x20;

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;

type Network = PacketBuilderStep<etherparse::IpHeaders>;

fn v4_from(source: Ipv4Addr, destination: Ipv4Addr) -> Network {
    PacketBuilder::ethernet2(ROUTER_MAC, OWN_MAC).ipv4(source.octets(), destination.octets(), 61)
}

fn v6_from(source: Ipv6Addr, destination: Ipv6Addr) -> Network {
    PacketBuilder::ethernet2(ROUTER_MAC, OWN_MAC).ipv6(source.octets(), destination.octets(), 61)
}

fn tcp(network: Network, port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(CLIENT_PORT, port, 1, 1000);
    header.fin = flags & FIN != 0;
    header.syn = flags & SYN != 0;
    header.rst = flags & RST != 0;
    header.psh = flags & PSH != 0;
    header.ack = flags & ACK != 0;
    header.urg = flags & URG != 0;
    let mut packet = Vec::new();
    network
        .tcp_header(header)
        .write(&mut packet, payload)
        .expect("memory takes everything");
    packet
}

fn udp(network: Network, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    network
        .udp(CLIENT_PORT, port)
        .write(&mut packet, payload)
        .expect("memory takes everything");
    packet
}

/// A TCP segment from the client to the IPv4 VIP.
pub(crate) fn tcp4(port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    tcp(v4_from(CLIENT4, VIP4), port, flags, payload)
}

/// A TCP segment from the client to the IPv6 VIP.
pub(crate) fn tcp6(port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    tcp(v6_from(CLIENT6, VIP6), port, flags, payload)
}

/// A TCP segment without data from this port of the client to the IPv4 VIP.
pub(crate) fn tcp4_from(client_port: u16, port: u16, flags: u8) -> Vec<u8> {
    let mut header = TcpHeader::new(client_port, port, 1, 1000);
    (header.syn, header.ack) = (flags & SYN != 0, flags & ACK != 0);
    let mut packet = Vec::new();
    v4_from(CLIENT4, VIP4)
        .tcp_header(header)
        .write(&mut packet, &[])
        .expect("memory takes everything");
    packet
}

/// A SYN to port 80 from somewhere to somewhere.
pub(crate) fn syn4(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    tcp(v4_from(source, destination), 80, SYN, &[])
}

/// A SYN to port 80 from somewhere to somewhere.
pub(crate) fn syn6(source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    tcp(v6_from(source, destination), 80, SYN, &[])
}

/// A datagram from the client to the IPv4 VIP.
pub(crate) fn udp4(port: u16, payload: &[u8]) -> Vec<u8> {
    udp(v4_from(CLIENT4, VIP4), port, payload)
}

/// A datagram from the client to the IPv6 VIP.
pub(crate) fn udp6(port: u16, payload: &[u8]) -> Vec<u8> {
    udp(v6_from(CLIENT6, VIP6), port, payload)
}

/// An echo request from the client; `number` is its identifier and its sequence number.
pub(crate) fn echo4(destination: Ipv4Addr, number: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    v4_from(CLIENT4, destination)
        .icmpv4_echo_request(number, number)
        .write(&mut packet, payload)
        .expect("memory takes everything");
    packet
}

/// An echo request from the client; `number` is its identifier and its sequence number.
pub(crate) fn echo6(destination: Ipv6Addr, number: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    v6_from(CLIENT6, destination)
        .icmpv6_echo_request(number, number)
        .write(&mut packet, payload)
        .expect("memory takes everything");
    packet
}

/// The VIP's answer to [`echo4`].
pub(crate) fn echo_reply4(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2(OWN_MAC, ROUTER_MAC)
        .ipv4(VIP4.octets(), CLIENT4.octets(), 64)
        .icmpv4_echo_reply(number, number)
        .write(&mut packet, payload)
        .expect("memory takes everything");
    packet
}

/// The VIP's answer to [`echo6`].
pub(crate) fn echo_reply6(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ethernet2(OWN_MAC, ROUTER_MAC)
        .ipv6(VIP6.octets(), CLIENT6.octets(), 64)
        .icmpv6_echo_reply(number, number)
        .write(&mut packet, payload)
        .expect("memory takes everything");
    packet
}

/// A reset from the VIP to the client; with an acknowledgement where one is given.
pub(crate) fn reset4(port: u16, sequence: u32, acknowledgement: Option<u32>) -> Vec<u8> {
    reset(
        PacketBuilder::ethernet2(OWN_MAC, ROUTER_MAC).ipv4(VIP4.octets(), CLIENT4.octets(), 64),
        port,
        sequence,
        acknowledgement,
    )
}

/// The same for IPv6.
pub(crate) fn reset6(port: u16, sequence: u32, acknowledgement: Option<u32>) -> Vec<u8> {
    reset(
        PacketBuilder::ethernet2(OWN_MAC, ROUTER_MAC).ipv6(VIP6.octets(), CLIENT6.octets(), 64),
        port,
        sequence,
        acknowledgement,
    )
}

fn reset(network: Network, port: u16, sequence: u32, acknowledgement: Option<u32>) -> Vec<u8> {
    let mut header = TcpHeader::new(port, CLIENT_PORT, sequence, 0);
    header.rst = true;
    header.ack = acknowledgement.is_some();
    header.acknowledgment_number = acknowledgement.unwrap_or(0);
    let mut packet = Vec::new();
    network
        .tcp_header(header)
        .write(&mut packet, &[])
        .expect("memory takes everything");
    packet
}

/// What a backend sent from the VIP to the client, as a router quotes it: no link header.
pub(crate) fn reply4(port: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    reply(
        PacketBuilder::ipv4(VIP4.octets(), CLIENT4.octets(), 63),
        port,
        protocol,
        payload,
    )
}

/// What a backend sent from the VIP to the client, as a router quotes it: no link header.
pub(crate) fn reply6(port: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    reply(
        PacketBuilder::ipv6(VIP6.octets(), CLIENT6.octets(), 63),
        port,
        protocol,
        payload,
    )
}

fn reply(network: Network, port: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let written = match protocol {
        17 => network.udp(port, CLIENT_PORT).write(&mut packet, payload),
        _ => {
            let mut header = TcpHeader::new(port, CLIENT_PORT, 1, 1000);
            (header.ack, header.psh) = (true, true);
            network.tcp_header(header).write(&mut packet, payload)
        }
    };
    written.expect("memory takes everything");
    packet
}

/// A router on the way to the client, who sends errors.
const FAR_ROUTER4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const FAR_ROUTER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 1);

/// An ICMP error from a router to the VIP that quotes these bytes.
pub(crate) fn error4(kind: u8, code: u8, quote: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    v4_from(FAR_ROUTER4, VIP4)
        .icmpv4_raw(kind, code, [0, 0, 5, 0])
        .write(&mut packet, quote)
        .expect("memory takes everything");
    packet
}

/// An ICMPv6 error from a router to the VIP that quotes these bytes.
pub(crate) fn error6(kind: u8, code: u8, quote: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    v6_from(FAR_ROUTER6, VIP6)
        .icmpv6_raw(kind, code, [0, 0, 5, 0])
        .write(&mut packet, quote)
        .expect("memory takes everything");
    packet
}

/// A frame of this EtherType.
pub(crate) fn frame(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&OWN_MAC, &ROUTER_MAC, &ether_type.to_be_bytes()[..], payload].concat()
}

/// The packet with other bytes at `offset`.
pub(crate) fn with(mut packet: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    packet[offset..offset + bytes.len()].copy_from_slice(bytes);
    packet
}

/// The packet with other bytes at `offset` of its IPv4 header, whose checksum is right again.
pub(crate) fn with_ip(packet: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut packet = with(packet, IP + offset, bytes);
    repair(&mut packet, IP);
    packet
}

/// Makes the checksum of the IPv4 header at `offset` right, if there is a whole header.
pub(crate) fn repair(packet: &mut [u8], offset: usize) {
    let Some(length) = packet
        .get(offset)
        .map(|first| usize::from(first & 0x0F) * 4)
        .filter(|&length| length >= 20)
    else {
        return;
    };
    let Some(header) = packet.get_mut(offset..offset + length) else {
        return;
    };
    header[10..12].fill(0);
    let checksum = Sum16BitWords::new().add_slice(header).ones_complement();
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
}

/// The frame with VLAN tags of these EtherTypes, the outermost first, in front of its own.
pub(crate) fn tagged(mut packet: Vec<u8>, tags: &[u16]) -> Vec<u8> {
    for tag in tags.iter().rev() {
        let [a, b] = tag.to_be_bytes();
        // Priority 5, VLAN 100.
        packet.splice(12..12, [a, b, 0xA0, 100]);
    }
    packet
}

/// The IPv4 packet with options: up to 40 bytes, a multiple of four.
pub(crate) fn with_options(mut packet: Vec<u8>, options: &[u8]) -> Vec<u8> {
    packet.splice(L4_OF_V4..L4_OF_V4, options.iter().copied());
    let total = (packet.len() - IP) as u16;
    packet[IP] = 0x45 + (options.len() / 4) as u8;
    with_ip(packet, 2, &total.to_be_bytes())
}

/// An IPv6 extension header: its protocol number and what follows its "next header" byte, up to a multiple of eight.
pub(crate) type Extension = (u8, Vec<u8>);

/// Options that say nothing, `units` times eight bytes long.
pub(crate) fn padding_options(kind: u8, units: u8) -> Extension {
    let length = usize::from(units) * 8;
    let mut body = vec![0; length - 1];
    body[0] = units - 1;
    // PadN over all that is left, as far as one of them reaches.
    body[1] = 1;
    body[2] = (length - 4).min(255) as u8;
    (kind, body)
}

/// A segment routing header (RFC 8754) with one segment.
pub(crate) fn routing(segments_left: u8) -> Extension {
    let mut body = vec![2, 4, segments_left, 0, 0, 0, 0];
    body.extend(VIP6.octets());
    (ROUTING, body)
}

/// A fragment header: `offset` in units of eight bytes.
pub(crate) fn fragment(offset: u16, more: bool) -> Extension {
    let [a, b] = (offset << 3 | u16::from(more)).to_be_bytes();
    (FRAGMENT, vec![0, a, b, 0, 0, 0, 99])
}

/// The IPv6 packet with these extension headers.
pub(crate) fn with_extensions(mut packet: Vec<u8>, extensions: &[Extension]) -> Vec<u8> {
    for (kind, body) in extensions.iter().rev() {
        let next = std::mem::replace(&mut packet[IP + 6], *kind);
        packet.splice(
            L4_OF_V6..L4_OF_V6,
            std::iter::once(next).chain(body.iter().copied()),
        );
    }
    let length = (packet.len() - L4_OF_V6) as u16;
    with(packet, IP + 4, &length.to_be_bytes())
}
