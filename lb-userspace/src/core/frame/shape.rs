//! Other packets that concern a flow: its fragments, and errors about its replies.

use std::{fmt, net::IpAddr, str::FromStr};

use etherparse::{
    Icmpv4Type, Icmpv6Type, IpFragOffset, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder,
    icmpv4::DestUnreachableHeader,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FROM, Probe, TO, TTL};

/// What a packet that is asked about looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A whole packet.
    #[default]
    Whole,
    /// The first fragment of a packet, with the ports.
    FirstFragment,
    /// A further fragment, after the first one has passed.
    LaterFragment,
    /// An ICMP error about a reply: it was too big for a link on the way to the client.
    Error,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Whole, Self::FirstFragment, Self::LaterFragment, Self::Error];
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "whole",
            Self::FirstFragment => "first-fragment",
            Self::LaterFragment => "later-fragment",
            Self::Error => "error",
        })
    }
}

/// The text names no shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `whole`, `first-fragment`, `later-fragment` or `error`")]
pub struct NoShape;

impl FromStr for Shape {
    type Err = NoShape;

    fn from_str(text: &str) -> Result<Self, NoShape> {
        let mut shapes = Self::ALL.into_iter();
        shapes.find(|shape| shape.to_string() == text).ok_or(NoShape)
    }
}

const ETHERNET: usize = 14;
const IPV6: usize = 40;
/// Bytes that each fragment carries: a multiple of eight, as all but the last must.
const PART: usize = 64;
/// Where the second one begins, in units of eight bytes.
const OFFSET: u16 = (PART / 8) as u16;
/// That of tunnels' usual links.
const MTU: u16 = 1400;
/// Bytes of the transport header that an error quotes (RFC 792).
const QUOTED: usize = 8;

/// A frame, and one that is to come before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frames {
    /// Without which this one would wait.
    pub earlier: Option<Vec<u8>>,
    /// The one that is asked about.
    pub frame: Vec<u8>,
}

impl Probe {
    /// The frame of this shape; `None` if the two addresses are not of one family.
    #[must_use]
    pub fn frames(&self, shape: Shape) -> Option<Frames> {
        let earlier = match shape {
            Shape::LaterFragment => Some(self.fragment(true)?),
            Shape::Whole | Shape::FirstFragment | Shape::Error => None,
        };
        let frame = match shape {
            Shape::Whole => self.frame(),
            Shape::FirstFragment => self.fragment(true),
            Shape::LaterFragment => self.fragment(false),
            Shape::Error => self.error(),
        };
        Some(Frames {
            earlier,
            frame: frame?,
        })
    }

    /// The first fragment or the last of two.
    fn fragment(&self, is_first: bool) -> Option<Vec<u8>> {
        let whole = self.frame()?;
        let (link, packet) = whole.split_at_checked(ETHERNET)?;
        let mut frame = link.to_vec();
        let transport = if self.source.is_ipv4() {
            let (mut header, transport) = Ipv4Header::from_slice(packet).ok()?;
            header.total_len = (header.header_len() + PART) as u16;
            header.identification = 1;
            header.dont_fragment = false;
            header.more_fragments = is_first;
            let offset = if is_first { 0 } else { OFFSET };
            header.fragment_offset = IpFragOffset::try_new(offset).ok()?;
            header.write(&mut frame).ok()?;
            transport
        } else {
            let (mut header, transport) = Ipv6Header::from_slice(packet).ok()?;
            let part = fragment_header(header.next_header, is_first);
            header.next_header = IpNumber::IPV6_FRAGMENTATION_HEADER;
            header.payload_length = (part.len() + PART) as u16;
            header.write(&mut frame).ok()?;
            frame.extend(part);
            transport
        };
        let payload = frame.len();
        if is_first {
            frame.extend(&transport[..transport.len().min(PART)]);
        }
        frame.resize(payload + PART, 0);
        Some(frame)
    }

    /// What a router on the way to the client says of a reply. The client's own address stands for the router's.
    fn error(&self) -> Option<Vec<u8>> {
        let reply = Self {
            source: self.destination,
            destination: self.source,
            ..*self
        };
        let whole = reply.frame()?;
        let ip = if self.source.is_ipv4() {
            Ipv4Header::MIN_LEN
        } else {
            IPV6
        };
        let quoted = whole.get(ETHERNET..ETHERNET + ip + QUOTED)?;
        let builder = PacketBuilder::ethernet2(FROM, TO);
        let mut frame = Vec::new();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let kind = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: MTU };
                let builder = builder.ipv4(from.octets(), to.octets(), TTL);
                let builder = builder.icmpv4(Icmpv4Type::DestinationUnreachable(kind));
                builder.write(&mut frame, quoted).ok()?;
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let builder = builder.ipv6(from.octets(), to.octets(), TTL);
                let builder = builder.icmpv6(Icmpv6Type::PacketTooBig { mtu: MTU.into() });
                builder.write(&mut frame, quoted).ok()?;
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        }
        Some(frame)
    }
}

/// RFC 8200, section 4.5.
fn fragment_header(next: IpNumber, is_first: bool) -> [u8; 8] {
    let [a, b] = if is_first { 1 } else { OFFSET << 3 }.to_be_bytes();
    [next.0, 0, a, b, 0, 0, 0, 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{frame::TcpFlags, model::Protocol};

    fn probes() -> impl Iterator<Item = Probe> {
        let ends = [
            ("198.51.100.7:40000", "192.0.2.10:53"),
            ("[2001:db8::7]:40000", "[2001:db8::10]:53"),
        ];
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        ends.into_iter().flat_map(move |(source, destination)| {
            protocols.map(|protocol| Probe {
                protocol,
                source: source.parse().unwrap(),
                destination: destination.parse().unwrap(),
                flags: TcpFlags::SYN,
            })
        })
    }

    #[test]
    fn shapes_have_names() {
        for shape in Shape::ALL {
            let name = shape.to_string();
            assert_eq!(name.parse(), Ok(shape));
            assert_eq!(serde_json::to_string(&shape).unwrap(), format!("\"{name}\""));
        }
        assert_eq!("round".parse::<Shape>(), Err(NoShape));
    }

    #[test]
    fn fragments_are_those_of_one_packet() {
        for probe in probes() {
            let Frames { earlier, frame } = probe.frames(Shape::LaterFragment).unwrap();
            let first = earlier.unwrap();
            assert_eq!(first, probe.frames(Shape::FirstFragment).unwrap().frame);
            // By hand: etherparse reads the flag of an IPv6 fragment from another bit.
            let parts = [first, frame].map(|frame| {
                let packet = &frame[ETHERNET..];
                if probe.source.is_ipv4() {
                    let (header, payload) = Ipv4Header::from_slice(packet).unwrap();
                    assert_eq!(header.header_checksum, header.calc_header_checksum());
                    assert_eq!(payload.len(), PART);
                    (header.more_fragments, header.fragment_offset.value())
                } else {
                    let header = &packet[IPV6..];
                    assert_eq!(header.len(), 8 + PART);
                    let word = u16::from_be_bytes([header[2], header[3]]);
                    (word & 1 == 1, word >> 3)
                }
            });
            assert_eq!(parts, [(true, 0), (false, OFFSET)]);
        }
    }

    #[test]
    fn an_error_quotes_a_reply() {
        for probe in probes() {
            let frame = probe.frames(Shape::Error).unwrap().frame;
            let message = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
            let quoted = match message.transport.unwrap() {
                etherparse::TransportSlice::Icmpv4(icmp) => icmp.payload().to_vec(),
                etherparse::TransportSlice::Icmpv6(icmp) => icmp.payload().to_vec(),
                other => panic!("{other:?}"),
            };
            let ports = &quoted[quoted.len() - QUOTED..][..4];
            assert_eq!(ports, [0, 53, 0x9C, 0x40], "from the VIP's port to the client's");
        }
    }
}
