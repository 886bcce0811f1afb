//! Frames for people: what a client would send, and what stands in one.

mod shape;

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use etherparse::{
    IpHeaders, IpNumber, Ipv4Header, Ipv6Header, LaxNetSlice, LaxSlicedPacket, LinkSlice, PacketBuilder,
    TransportSlice,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::shape::{Frames, Shape};
use super::{model::Protocol, neighbour::Mac};

/// Flags of a TCP segment: as text, their names with `+` in between, such as `syn+ack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFlags(u8);

/// In the order of their bits (RFC 9293, section 3.1).
const FLAGS: [&str; 6] = ["fin", "syn", "rst", "psh", "ack", "urg"];

impl TcpFlags {
    /// The first segment of a connection.
    pub const SYN: Self = Self(1 << 1);

    fn has(self, name: &str) -> bool {
        let bit = FLAGS.iter().position(|flag| *flag == name);
        bit.is_some_and(|bit| self.0 & 1 << bit != 0)
    }
}

/// The text names no flags of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected flags of TCP such as `syn` or `fin+ack`: fin, syn, rst, psh, ack, urg")]
pub struct NoFlags;

impl FromStr for TcpFlags {
    type Err = NoFlags;

    fn from_str(text: &str) -> Result<Self, NoFlags> {
        text.split(['+', ',', ' ']).try_fold(Self(0), |flags, name| {
            let bit = FLAGS.iter().position(|flag| *flag == name).ok_or(NoFlags)?;
            Ok(Self(flags.0 | 1 << bit))
        })
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = FLAGS.into_iter().filter(|name| self.has(name)).collect();
        f.write_str(&names.join("+"))
    }
}

impl Serialize for TcpFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for TcpFlags {
    fn schema_name() -> Cow<'static, str> {
        "TcpFlags".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = FLAGS.join("|");
        json_schema!({ "type": "string", "pattern": format!("^({one})(\\+({one}))*$") })
    }
}

impl<'de> Deserialize<'de> for TcpFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// A packet as a client would send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Of the client.
    pub source: SocketAddr,
    /// Of the VIP.
    pub destination: SocketAddr,
    /// Of a TCP segment.
    pub flags: TcpFlags,
}

/// Addresses of the frame of a [`Probe`]: local ones, of nobody.
const FROM: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
const TO: [u8; 6] = [0x02, 0, 0, 0, 0, 2];
const TTL: u8 = 64;
const WINDOW: u16 = 64_240;

impl Probe {
    /// The frame; `None` if the two addresses are not of one family.
    #[must_use]
    pub fn frame(&self) -> Option<Vec<u8>> {
        let ip = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => IpHeaders::Ipv4(
                Ipv4Header {
                    source: source.octets(),
                    destination: destination.octets(),
                    time_to_live: TTL,
                    dont_fragment: true,
                    ..Ipv4Header::default()
                },
                Default::default(),
            ),
            (IpAddr::V6(source), IpAddr::V6(destination)) => IpHeaders::Ipv6(
                Ipv6Header {
                    source: source.octets(),
                    destination: destination.octets(),
                    hop_limit: TTL,
                    ..Ipv6Header::default()
                },
                Default::default(),
            ),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let builder = PacketBuilder::ethernet2(FROM, TO).ip(ip);
        let (from, to) = (self.source.port(), self.destination.port());
        let mut frame = Vec::new();
        let written = match self.protocol {
            Protocol::Udp => builder.udp(from, to).write(&mut frame, b"tandem"),
            Protocol::Sctp => builder.write(&mut frame, IpNumber::SCTP, &init(from, to)),
            Protocol::Tcp => {
                let mut segment = builder.tcp(from, to, 1, WINDOW);
                for (name, set) in [
                    ("fin", etherparse::PacketBuilderStep::fin as fn(_) -> _),
                    ("syn", etherparse::PacketBuilderStep::syn),
                    ("rst", etherparse::PacketBuilderStep::rst),
                    ("psh", etherparse::PacketBuilderStep::psh),
                ] {
                    if self.flags.has(name) {
                        segment = set(segment);
                    }
                }
                if self.flags.has("ack") {
                    segment = segment.ack(1);
                }
                if self.flags.has("urg") {
                    segment = segment.urg(1);
                }
                segment.write(&mut frame, &[])
            }
        };
        written.is_ok().then_some(frame)
    }
}

/// The first packet of an association (RFC 9260, section 3.3.2).
fn init(from: u16, to: u16) -> Vec<u8> {
    const CHUNK: [u8; 20] = [1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
    let mut packet = Vec::new();
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    // The tag, and room for the checksum.
    packet.extend([0; 8]);
    packet.extend(CHUNK);
    let checksum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&checksum);
    packet
}

/// RFC 9260, appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                crc >> 1 ^ POLYNOMIAL
            }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.source, self.destination);
        match self.protocol {
            Protocol::Tcp => write!(f, "tcp ({}) from {from} to {to}", self.flags),
            Protocol::Udp => write!(f, "udp from {from} to {to}"),
            Protocol::Sctp => write!(f, "sctp from {from} to {to}"),
        }
    }
}

/// What stands in the headers of a frame, as far as it goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Headers {
    /// MAC address that it comes from.
    pub source_mac: String,
    /// MAC address that it goes to.
    pub destination_mac: String,
    /// IP address that it comes from; `None` if it is no IP packet.
    pub source: Option<IpAddr>,
    /// IP address that it goes to.
    pub destination: Option<IpAddr>,
    /// IANA number of what the IP packet carries.
    pub protocol: Option<u8>,
    /// Port that it comes from, of TCP, UDP and SCTP.
    pub source_port: Option<u16>,
    /// Port that it goes to, of TCP, UDP and SCTP.
    pub destination_port: Option<u16>,
    /// Flags, of TCP.
    pub flags: Option<TcpFlags>,
    /// Bytes of the frame.
    pub bytes: usize,
}

impl Headers {
    /// Reads them; of a frame that breaks off, those that are whole.
    #[must_use]
    pub fn of(frame: &[u8], bytes: usize) -> Self {
        let mut headers = Self {
            bytes,
            ..Self::default()
        };
        let Ok(packet) = LaxSlicedPacket::from_ethernet(frame) else {
            return headers;
        };
        if let Some(LinkSlice::Ethernet2(link)) = &packet.link {
            headers.source_mac = Mac(link.source()).to_string();
            headers.destination_mac = Mac(link.destination()).to_string();
        }
        match &packet.net {
            Some(LaxNetSlice::Ipv4(ip)) => {
                headers.source = Some(ip.header().source_addr().into());
                headers.destination = Some(ip.header().destination_addr().into());
                headers.protocol = Some(ip.header().protocol().0);
            }
            Some(LaxNetSlice::Ipv6(ip)) => {
                headers.source = Some(ip.header().source_addr().into());
                headers.destination = Some(ip.header().destination_addr().into());
                headers.protocol = Some(ip.payload().ip_number.0);
            }
            Some(LaxNetSlice::Arp(_)) | None => {}
        }
        match &packet.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                headers.source_port = Some(tcp.source_port());
                headers.destination_port = Some(tcp.destination_port());
                headers.flags = tcp.slice().get(13).map(|flags| TcpFlags(flags & 0x3F));
            }
            Some(TransportSlice::Udp(udp)) => {
                headers.source_port = Some(udp.source_port());
                headers.destination_port = Some(udp.destination_port());
            }
            Some(TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)) => {}
            None if headers.protocol == Some(IpNumber::SCTP.0) => {
                let payload = packet.net.as_ref().and_then(LaxNetSlice::ip_payload_ref);
                if let Some([a, b, c, d]) = payload.and_then(|ip| ip.payload.first_chunk()) {
                    headers.source_port = Some(u16::from_be_bytes([*a, *b]));
                    headers.destination_port = Some(u16::from_be_bytes([*c, *d]));
                }
            }
            None => {}
        }
        headers
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |address: IpAddr, port: Option<u16>| match port {
            Some(port) => SocketAddr::new(address, port).to_string(),
            None => address.to_string(),
        };
        let Some((source, destination)) = self.source.zip(self.destination) else {
            return write!(f, "{} to {}, no IP", self.source_mac, self.destination_mac);
        };
        match self.protocol {
            Some(1) => f.write_str("icmp "),
            Some(4 | 41) => f.write_str("ipip "),
            Some(6) => f.write_str("tcp "),
            Some(17) => f.write_str("udp "),
            Some(47) => f.write_str("gre "),
            Some(58) => f.write_str("icmpv6 "),
            Some(132) => f.write_str("sctp "),
            Some(other) => write!(f, "protocol {other} "),
            None => Ok(()),
        }?;
        if let Some(flags) = self.flags {
            write!(f, "({flags}) ")?;
        }
        let (from, to) = (
            end(source, self.source_port),
            end(destination, self.destination_port),
        );
        write!(f, "from {from} to {to}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(protocol: Protocol, flags: &str, source: &str, destination: &str) -> Probe {
        Probe {
            protocol,
            flags: flags.parse().unwrap(),
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    #[test]
    fn what_is_made_is_read() {
        for (probe, text) in [
            (
                probe(Protocol::Tcp, "syn", "198.51.100.7:40000", "192.0.2.10:80"),
                "tcp (syn) from 198.51.100.7:40000 to 192.0.2.10:80",
            ),
            (
                probe(
                    Protocol::Tcp,
                    "ack+fin",
                    "[2001:db8::7]:40000",
                    "[2001:db8::10]:80",
                ),
                "tcp (fin+ack) from [2001:db8::7]:40000 to [2001:db8::10]:80",
            ),
            (
                probe(Protocol::Udp, "syn", "198.51.100.7:40000", "192.0.2.10:53"),
                "udp from 198.51.100.7:40000 to 192.0.2.10:53",
            ),
            (
                probe(Protocol::Sctp, "syn", "198.51.100.7:40000", "192.0.2.10:38412"),
                "sctp from 198.51.100.7:40000 to 192.0.2.10:38412",
            ),
        ] {
            let frame = probe.frame().unwrap();
            assert_eq!(probe.to_string(), text);
            assert_eq!(Headers::of(&frame, frame.len()).to_string(), text);
        }
        let mixed = probe(Protocol::Tcp, "syn", "198.51.100.7:40000", "[2001:db8::10]:80");
        assert_eq!(mixed.frame(), None);
    }

    #[test]
    fn the_checksum_of_sctp() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    }

    #[test]
    fn flags_have_names() {
        for (text, shown) in [("syn", "syn"), ("ack,syn", "syn+ack"), ("rst", "rst")] {
            assert_eq!(text.parse::<TcpFlags>().unwrap().to_string(), shown);
        }
        for wrong in ["", "sin", "syn+", "1"] {
            assert_eq!(wrong.parse::<TcpFlags>(), Err(NoFlags), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_described(frame in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Headers::of(&frame, frame.len()).to_string();
        }
    }
}
