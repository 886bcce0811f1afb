//! Packets of a case: one packet, and how the front makes those of other flows of it.

use std::net::SocketAddrV4;

use anyhow::{Result, anyhow, ensure};
use etherparse::{IpHeaders, Ipv4Header, Ipv6Header, PacketBuilder};
use lb_common::packet::{FlowKey, parse, protocol};

use super::{
    packet_source::{CUTS_V4, CUTS_V6, ETHERNET, PIECES, PacketSource},
    path::{MARK, STAMP},
};

/// Source port of flow 0. The front flips the lower 15 bits as they lie in memory, so in either byte order one bit of it
/// must be out of reach, or some flow had port 0.
const SOURCE_PORT: u16 = 0x8080;
/// MAC address that packets come from unless they are told.
pub const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xCC, 1];
/// MAC address that they go to unless they are told.
pub const DIRECTOR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xDD, 1];

/// Bytes of the shortest and of the longest frame, without the check sequence.
const SHORTEST: usize = 64;
const LONGEST: usize = 9014;

/// 22 bytes of payload: none of the packets is below 64 bytes, nor below what the front writes.
const DATA: [u8; 22] = [0; 22];

/// Address family of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// For a sentence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Bytes of the shortest frame that a datagram of a benchmark has, without the check sequence.
    #[must_use]
    pub const fn shortest(self) -> usize {
        match self {
            Self::V4 => SHORTEST,
            Self::V6 => SHORTEST + 20,
        }
    }
}

/// The order in which flows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// At random, one as likely as another.
    Random,
    /// One after the other: each number once.
    Rising,
}

/// What is above the network header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// A segment in the middle of a connection, to this port.
    TcpAck(u16),
    /// The first segment of a connection, to this port.
    TcpSyn(u16),
    /// A datagram to this port.
    Udp(u16),
    /// An ICMP echo request.
    Echo,
}

/// Packets of one case.
#[derive(Debug, Clone)]
pub struct Template {
    /// Address family.
    pub family: Family,
    packet: Vec<u8>,
    services: u16,
}

impl Template {
    /// IPv4 packets from clients of `network`.0.0/16 to `vip`.
    ///
    /// # Errors
    /// Never for the payloads there are.
    pub fn v4(network: [u8; 2], vip: [u8; 4], payload: Payload) -> Result<Self> {
        let mut header = Ipv4Header::new(
            0,
            64,
            etherparse::IpNumber::TCP,
            [network[0], network[1], 0, 0],
            vip,
        )?;
        // See `PacketSource::headers_v4`.
        header.identification = 0xFFFF;
        Self::new(Family::V4, IpHeaders::Ipv4(header, Default::default()), payload)
    }

    /// IPv4 segments in the middle of one connection, from here to there.
    ///
    /// # Errors
    /// Never.
    pub fn reply_v4(from: SocketAddrV4, to: SocketAddrV4) -> Result<Self> {
        let addresses = (from.ip().octets(), to.ip().octets());
        let mut header = Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, addresses.0, addresses.1)?;
        header.identification = 0xFFFF;
        let mut packet = Vec::new();
        PacketBuilder::ethernet2(CLIENT_MAC, DIRECTOR_MAC)
            .ip(IpHeaders::Ipv4(header, Default::default()))
            .tcp(from.port(), to.port(), 1, 1000)
            .ack(1)
            .write(&mut packet, &DATA)?;
        Ok(Self {
            family: Family::V4,
            packet,
            services: 0,
        })
    }

    /// IPv6 packets from clients of 2001:db8:`network`::/48 to `vip`.
    ///
    /// # Errors
    /// Never for the payloads there are.
    pub fn v6(network: u16, vip: [u8; 16], payload: Payload) -> Result<Self> {
        let [a, b] = network.to_be_bytes();
        let header = Ipv6Header {
            hop_limit: 64,
            source: [0x20, 1, 0x0D, 0xB8, a, b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            destination: vip,
            ..Ipv6Header::default()
        };
        Self::new(Family::V6, IpHeaders::Ipv6(header, Default::default()), payload)
    }

    fn new(family: Family, ip: IpHeaders, payload: Payload) -> Result<Self> {
        let network = PacketBuilder::ethernet2(CLIENT_MAC, DIRECTOR_MAC).ip(ip);
        let mut packet = Vec::new();
        match payload {
            Payload::TcpAck(port) => network
                .tcp(SOURCE_PORT, port, 1, 1000)
                .ack(1)
                .write(&mut packet, &DATA)?,
            Payload::TcpSyn(port) => network
                .tcp(SOURCE_PORT, port, 1, 1000)
                .syn()
                .write(&mut packet, &DATA)?,
            Payload::Udp(port) => network.udp(SOURCE_PORT, port).write(&mut packet, &DATA)?,
            Payload::Echo if family == Family::V4 => {
                network.icmpv4_echo_request(1, 1).write(&mut packet, &DATA)?;
            }
            Payload::Echo => network.icmpv6_echo_request(1, 1).write(&mut packet, &DATA)?,
        }
        Ok(Self {
            family,
            packet,
            services: 0,
        })
    }

    /// IPv4 datagrams in frames of `length` bytes, at least 64, without a checksum: so whoever changes an address or the payload
    /// has none to mend, and whoever checks has none to refuse.
    ///
    /// # Errors
    /// When they do not fit into a frame.
    pub fn datagrams(network: [u8; 2], vip: [u8; 4], port: u16, length: usize) -> Result<Self> {
        let template = Self::v4(network, vip, Payload::Udp(port))?;
        template.lengthened(length, 14 + 2)
    }

    /// The same with IPv6, at least 84 bytes. There is no datagram without a checksum, and that of the first flow is in all of
    /// them: whoever is no end of them does not look at it.
    ///
    /// # Errors
    /// When they do not fit into a frame.
    pub fn datagrams6(network: u16, vip: [u8; 16], port: u16, length: usize) -> Result<Self> {
        let template = Self::v6(network, vip, Payload::Udp(port))?;
        template.lengthened(length, 14 + 4)
    }

    /// The first segments of IPv4 connections in frames of `length` bytes, at least 76, with data behind the header and without a
    /// valid checksum.
    ///
    /// # Errors
    /// When they do not fit into a frame.
    pub fn syns(network: [u8; 2], vip: [u8; 4], port: u16, length: usize) -> Result<Self> {
        Self::v4(network, vip, Payload::TcpSyn(port))?.lengthened(length, 14 + 2)
    }

    /// The same with IPv6, at least 96 bytes.
    ///
    /// # Errors
    /// When they do not fit into a frame.
    pub fn syns6(network: u16, vip: [u8; 16], port: u16, length: usize) -> Result<Self> {
        Self::v6(network, vip, Payload::TcpSyn(port))?.lengthened(length, 14 + 4)
    }

    /// Fills frames up to this length, which is also told in the headers: in the network header, at `at`, and in UDP's.
    fn lengthened(mut self, length: usize, at: usize) -> Result<Self> {
        let shortest = self.packet.len();
        let network = match self.family {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        ensure!(
            (shortest..=LONGEST).contains(&length),
            "frames have {shortest} to {LONGEST} bytes, not {length}"
        );
        let more = (length - self.packet.len()) as u16;
        self.packet.resize(length, 0);
        let udp = ETHERNET + network + 4;
        let protocol = match self.family {
            Family::V4 => self.packet[ETHERNET + 9],
            Family::V6 => self.packet[ETHERNET + 6],
        };
        let is_udp = protocol == protocol::UDP;
        for at in [Some(at), is_udp.then_some(udp)].into_iter().flatten() {
            let old = u16::from_be_bytes([self.packet[at], self.packet[at + 1]]);
            self.packet[at..at + 2].copy_from_slice(&(old + more).to_be_bytes());
        }
        if self.family == Family::V4 {
            if is_udp {
                self.packet[udp + 2..udp + 4].fill(0);
            }
            let ip = &mut self.packet[ETHERNET..];
            let header = Ipv4Header::from_slice(&ip[..20])?.0;
            ip[10..12].copy_from_slice(&header.calc_header_checksum().to_be_bytes());
        }
        Ok(self)
    }

    /// From and to these MAC addresses.
    pub fn address(&mut self, source: [u8; 6], destination: [u8; 6]) {
        self.packet[..6].copy_from_slice(&destination);
        self.packet[6..12].copy_from_slice(&source);
    }

    /// Writes a mark into the payload, before the place of a time stamp, by which a sink knows these packets from others.
    pub fn mark(&mut self, mark: u64) {
        let end = self.packet.len() - STAMP as usize;
        self.packet[end - MARK as usize..end].copy_from_slice(&mark.to_ne_bytes());
    }

    /// Spreads the flows over this many ports, a power of two.
    #[must_use]
    pub fn with_services(mut self, services: u16) -> Self {
        self.services = services - 1;
        self
    }

    /// The packet of flow 0.
    #[must_use]
    pub fn first_packet(&self) -> &[u8] {
        &self.packet
    }

    /// The packet of this flow, as the front makes it.
    #[must_use]
    pub fn packet(&self, flow: u32) -> Vec<u8> {
        let source = self.source(1, Order::Random);
        let pieces = match self.family {
            Family::V4 => source.headers_v4(flow),
            Family::V6 => source.headers_v6(flow),
        };
        let mut packet = self.packet.clone();
        for ((start, end), piece) in self.cuts().zip(pieces) {
            packet[start..end].copy_from_slice(&piece.to_ne_bytes()[..end - start]);
        }
        packet
    }

    /// The key of this flow.
    ///
    /// # Errors
    /// When the packets are no flow's.
    pub fn key(&self, flow: u32) -> Result<FlowKey> {
        let parsed = parse(&*self.packet(flow), |_| true);
        let parsed = parsed.map_err(|reason| anyhow!("flow {flow} has no key: {}", reason.sentence()))?;
        Ok(parsed.key)
    }

    /// State of a front that makes packets of this many flows.
    #[must_use]
    pub(crate) fn source(&self, flows: u32, order: Order) -> PacketSource {
        let mut pieces = [0; PIECES];
        for ((start, end), piece) in self.cuts().zip(&mut pieces) {
            let mut bytes = [0; 8];
            bytes[..end - start].copy_from_slice(&self.packet[start..end]);
            *piece = u64::from_ne_bytes(bytes);
        }
        let mut tail = [0; 8];
        tail[..6].copy_from_slice(&self.packet[8..14]);
        let mut head = [0; 8];
        head.copy_from_slice(&self.packet[..8]);
        // Knuth's MMIX generator has the full period; so has counting, by steps of one flow.
        let (multiplier, increment, flows) = match order {
            Order::Random => (6_364_136_223_846_793_005, 1_442_695_040_888_963_407, flows.into()),
            Order::Rising => (1, 1 << 32, 1 << 32),
        };
        PacketSource {
            position: 0,
            multiplier,
            increment,
            flows,
            services: self.services.into(),
            link_head: u64::from_ne_bytes(head),
            link_tail: u64::from_ne_bytes(tail),
            pieces,
        }
    }

    /// Start and end of each piece in the packet.
    fn cuts(&self) -> impl Iterator<Item = (usize, usize)> {
        let cuts = match self.family {
            Family::V4 => &CUTS_V4,
            Family::V6 => &CUTS_V6,
        };
        cuts.windows(2).map(|cut| (ETHERNET + cut[0], ETHERNET + cut[1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn templates() -> [Template; 3] {
        let vip = [192, 0, 2, 10];
        let vip6 = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
        [
            Template::v4([198, 18], vip, Payload::TcpAck(80)).unwrap(),
            Template::v4([198, 18], vip, Payload::Udp(53))
                .unwrap()
                .with_services(512),
            Template::v6(0xC, vip6, Payload::TcpAck(80)).unwrap(),
        ]
    }

    #[test]
    fn every_flow_is_another_and_valid() {
        for template in templates() {
            let flows = (0..100_000)
                .chain((0..31).map(|bit| 1 << bit))
                .chain([(1 << 31) - 1]);
            let flows: HashSet<u32> = flows.collect();
            // `key` parses, and so verifies the header's checksum and that no port is zero.
            let keys: HashSet<FlowKey> = flows.iter().map(|&flow| template.key(flow).unwrap()).collect();
            assert_eq!(keys.len(), flows.len());
            assert_eq!(template.packet(0), template.first_packet());
        }
    }

    #[test]
    fn datagrams_have_the_length_that_was_asked_for() {
        for length in [64, 65, 512, 1514, 9014] {
            let template = Template::datagrams([198, 18], [192, 0, 2, 10], 53, length).unwrap();
            for flow in [0, 1, 99_999] {
                let packet = template.packet(flow);
                assert_eq!(packet.len(), length);
                template.key(flow).unwrap();
                let parsed = etherparse::PacketHeaders::from_ethernet_slice(&packet).unwrap();
                let Some(etherparse::TransportHeader::Udp(udp)) = parsed.transport else {
                    panic!("no datagram: {parsed:?}");
                };
                assert_eq!((usize::from(udp.length), udp.checksum), (length - 34, 0));
            }
        }
        assert!(Template::datagrams([198, 18], [192, 0, 2, 10], 53, 63).is_err());
        assert!(Template::datagrams([198, 18], [192, 0, 2, 10], 53, 9015).is_err());
    }

    #[test]
    fn datagrams_of_ipv6_have_the_length_that_was_asked_for() {
        let vip = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
        for length in [84, 512, 1514, 9014] {
            let mut template = Template::datagrams6(0xC, vip, 53, length).unwrap();
            template.address([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
            template.mark(0x0123_4567_89AB_CDEF);
            for flow in [0, 1, 99_999] {
                let packet = template.packet(flow);
                template.key(flow).unwrap();
                assert_eq!(packet[..12], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
                let parsed = etherparse::PacketHeaders::from_ethernet_slice(&packet).unwrap();
                let Some(etherparse::TransportHeader::Udp(udp)) = parsed.transport else {
                    panic!("no datagram: {parsed:?}");
                };
                assert_eq!((packet.len(), usize::from(udp.length)), (length, length - 54));
                assert_eq!(
                    packet[length - 16..length - 8],
                    0x0123_4567_89AB_CDEF_u64.to_ne_bytes()
                );
            }
        }
        assert!(Template::datagrams6(0xC, vip, 53, 83).is_err());
    }

    #[test]
    fn services_are_ports() {
        let [one, many, _] = templates();
        let ports = |template: &Template| {
            let ports = (0..4096).map(|flow| template.key(flow).unwrap().destination_port);
            ports.collect::<HashSet<_>>().len()
        };
        assert_eq!((ports(&one), ports(&many)), (1, 512));
    }

    #[test]
    fn a_random_order_reaches_every_flow_and_no_other() {
        let mut source = templates()[0].source(1000, Order::Random);
        let drawn: HashSet<u32> = (0..20_000).map(|_| source.draw()).collect();
        assert_eq!((drawn.len(), drawn.iter().max()), (1000, Some(&999)));
    }

    #[test]
    fn a_rising_order_counts() {
        let mut source = templates()[0].source(1, Order::Rising);
        assert_eq!([source.draw(), source.draw(), source.draw()], [1, 2, 3]);
    }
}
