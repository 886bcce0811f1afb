//! Which packets are sent.

use std::{net::SocketAddr, str::FromStr};

use anyhow::Result;

use super::template::{Family, Template};

/// Where clients are: RFC 2544's network for benchmarks, and a part of IPv6's for documentation.
const CLIENTS: [u8; 2] = [198, 18];
const CLIENTS6: u16 = 0xC;

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
        let of = |length, parts| -> Result<_> {
            let template = match to {
                SocketAddr::V4(to) => Template::datagrams(CLIENTS, to.ip().octets(), to.port(), length)?,
                SocketAddr::V6(to) => Template::datagrams6(CLIENTS6, to.ip().octets(), to.port(), length)?,
            };
            Ok((template, parts))
        };
        match self {
            Self::Of(length) => Ok(vec![of(length, 1)?]),
            Self::Mix => {
                let shortest = if to.is_ipv4() { Family::V4 } else { Family::V6 }.shortest();
                Ok(vec![of(shortest, 7)?, of(576, 4)?, of(1500, 1)?])
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

    /// The mean length in bytes.
    #[must_use]
    pub fn mean(self) -> f64 {
        match self {
            Self::Of(length) => length as f64,
            Self::Mix => (64.0 * 7.0 + 576.0 * 4.0 + 1500.0) / 12.0,
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
    fn a_mix_has_the_mean_of_its_parts() {
        let parts = Frames::Mix.templates(([192, 0, 2, 10], 53).into()).unwrap();
        let count: u32 = parts.iter().map(|(_, parts)| parts).sum();
        let bytes: usize = parts
            .iter()
            .map(|(template, parts)| template.first_packet().len() * *parts as usize)
            .sum();
        assert!((bytes as f64 / f64::from(count) - Frames::Mix.mean()).abs() < 1e-9);
        assert_eq!("imix".parse(), Ok(Frames::Mix));
        assert_eq!("512".parse(), Ok(Frames::Of(512)));
        assert!("many".parse::<Frames>().is_err());
    }
}
