//! Which packets are sent.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use anyhow::Result;

use super::template::{Family, Template};

/// Where clients are: RFC 2544's network for benchmarks, and a part of IPv6's for documentation.
const CLIENTS: [u8; 2] = [198, 18];
const CLIENTS6: u16 = 0xC;

/// What packets are, above the network header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// UDP datagrams.
    #[default]
    Datagrams,
    /// The first segments of TCP connections, without a valid checksum: no kernel takes them for real.
    Syns,
}

impl Kind {
    /// What they are called in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Datagrams => "datagrams",
            Self::Syns => "SYNs",
        }
    }

    /// The protocol that they are of.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Datagrams => "udp",
            Self::Syns => "tcp",
        }
    }

    /// Bytes of the shortest frame, without the check sequence.
    #[must_use]
    pub const fn shortest(self, family: Family) -> usize {
        match self {
            Self::Datagrams => family.shortest(),
            // The header is 12 bytes longer.
            Self::Syns => family.shortest() + 12,
        }
    }
}

/// By its protocol.
impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Datagrams, Self::Syns]
            .into_iter()
            .find(|kind| kind.protocol() == text)
            .ok_or_else(|| "expected `udp` or `tcp`".to_owned())
    }
}

/// The mean length of frames of a mix, in bytes.
#[must_use]
pub fn mean_length(mix: &[(Template, u32)]) -> f64 {
    let count: u32 = mix.iter().map(|(_, parts)| parts).sum();
    let bytes = mix
        .iter()
        .map(|(template, parts)| template.first_packet().len() as f64 * f64::from(*parts));
    bytes.sum::<f64>() / f64::from(count.max(1))
}

/// Lengths, without the check sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// All of so many bytes.
    Of(usize),
    /// Seven of 64 bytes (84 with IPv6), four of 576 and one of 1500: what is called the Internet mix.
    Mix,
}

impl Frames {
    /// Datagrams to this address and port, and of each length how many come in a round. With IPv6 the shortest have 84 bytes.
    ///
    /// # Errors
    /// For lengths that no frame has.
    pub fn templates(self, to: SocketAddr) -> Result<Vec<(Template, u32)>> {
        self.packets(Kind::Datagrams, to)
    }

    /// The same of packets of this kind.
    ///
    /// # Errors
    /// For lengths that no frame has.
    pub fn packets(self, kind: Kind, to: SocketAddr) -> Result<Vec<(Template, u32)>> {
        let of = |length, parts| -> Result<_> {
            let (vip, port) = (to.ip(), to.port());
            let template = match (vip, kind) {
                (IpAddr::V4(vip), Kind::Datagrams) => {
                    Template::datagrams(CLIENTS, vip.octets(), port, length)?
                }
                (IpAddr::V6(vip), Kind::Datagrams) => {
                    Template::datagrams6(CLIENTS6, vip.octets(), port, length)?
                }
                (IpAddr::V4(vip), Kind::Syns) => Template::syns(CLIENTS, vip.octets(), port, length)?,
                (IpAddr::V6(vip), Kind::Syns) => Template::syns6(CLIENTS6, vip.octets(), port, length)?,
            };
            Ok((template, parts))
        };
        match self {
            Self::Of(length) => Ok(vec![of(length, 1)?]),
            Self::Mix => {
                let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
                Ok(vec![of(kind.shortest(family), 7)?, of(576, 4)?, of(1500, 1)?])
            }
        }
    }

    /// Bytes of the longest.
    #[must_use]
    pub fn longest(self) -> usize {
        match self {
            Self::Of(length) => length,
            Self::Mix => 1500,
        }
    }

    /// For a sentence.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Of(length) => format!("{length} bytes"),
            Self::Mix => "Internet mix (64, 576 and 1500 bytes, 7:4:1)".to_owned(),
        }
    }
}

impl FromStr for Frames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "imix" => Ok(Self::Mix),
            length => length
                .parse()
                .map(Self::Of)
                .map_err(|_| "expected a number of bytes, or `imix`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_begin_with_frames_of_the_length_that_was_asked_for() {
        for to in ["192.0.2.10:80", "[2001:db8::10]:80"] {
            let to: SocketAddr = to.parse().unwrap();
            let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
            for length in [Kind::Syns.shortest(family), 1514, 9014] {
                let (template, _) = Frames::Of(length).packets(Kind::Syns, to).unwrap().remove(0);
                let packet = template.packet(77_777);
                template.key(77_777).unwrap();
                let parsed = etherparse::PacketHeaders::from_ethernet_slice(&packet).unwrap();
                let Some(etherparse::TransportHeader::Tcp(tcp)) = parsed.transport else {
                    panic!("no segment: {parsed:?}");
                };
                assert_eq!((packet.len(), tcp.syn, tcp.ack), (length, true, false));
            }
            let shorter = Frames::Of(Kind::Syns.shortest(family) - 1);
            assert!(shorter.packets(Kind::Syns, to).is_err());
        }
    }

    #[test]
    fn a_mix_has_the_mean_of_its_parts() {
        let parts = Frames::Mix.templates(([192, 0, 2, 10], 53).into()).unwrap();
        assert!((mean_length(&parts) - (7.0 * 64.0 + 4.0 * 576.0 + 1500.0) / 12.0).abs() < 1e-9);
        assert_eq!("imix".parse(), Ok(Frames::Mix));
        assert_eq!("512".parse(), Ok(Frames::Of(512)));
        assert!("many".parse::<Frames>().is_err());
    }

    #[test]
    fn a_protocol_says_what_packets_are() {
        assert_eq!("udp".parse(), Ok(Kind::Datagrams));
        assert_eq!("tcp".parse(), Ok(Kind::Syns));
        assert!("sctp".parse::<Kind>().is_err());
    }
}
