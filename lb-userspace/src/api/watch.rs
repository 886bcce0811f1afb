//! Packets as they come and go, with what is decided of each.

use std::{borrow::Cow, convert::Infallible, fmt, net::SocketAddr, str::FromStr};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tokio::sync::mpsc;

use super::{filter::Clients, query::NotAFilter, trace::Action};
use crate::core::{frame::Headers, model::Protocol};

/// Which packets are told of: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchRequest {
    /// Where they come from, as they come in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Place>,
    /// Where they go, as they come in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Place>,
    /// Transport protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// One of so many, by chance; rounded up to a power of two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<u32>,
    /// As they come in, too, and not only as they leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub both: Option<bool>,
    /// Bytes of each that are told, up to 1536; 128 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u32>,
    /// Ends after so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// An address or a network, or an address with a port: `198.51.100.7`, `198.51.100.0/24`, `198.51.100.7:40000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The address, or the network.
    pub network: Clients,
    /// The port, if it matters.
    pub port: Option<u16>,
}

impl Place {
    /// The address with its port, if it is both.
    #[must_use]
    pub fn socket(self) -> Option<SocketAddr> {
        let network = self.network.0;
        let port = self.port?;
        (network.prefix_len() == network.max_prefix_len()).then(|| SocketAddr::new(network.addr(), port))
    }
}

impl FromStr for Place {
    type Err = NotAFilter;

    fn from_str(text: &str) -> Result<Self, NotAFilter> {
        Ok(match text.parse::<SocketAddr>() {
            Ok(socket) => Self {
                network: Clients(socket.ip().into()),
                port: Some(socket.port()),
            },
            Err(_) => Self {
                network: text.parse()?,
                port: None,
            },
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket() {
            Some(socket) => socket.fmt(f),
            None => self.network.fmt(f),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Place {
    fn schema_name() -> Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A packet at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PacketView {
    /// Nanoseconds since 1970 (UTC).
    pub unix_nanoseconds: u64,
    /// Which packet it is: the same as it comes in and as it leaves.
    pub number: u64,
    /// As it comes in, or as it leaves.
    pub moment: Moment,
    /// Interface that it came in by.
    pub interface: String,
    /// What becomes of it; where it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Interface that it is sent out of, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// Why it is not forwarded, by its short name, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What stands in its headers.
    pub headers: Headers,
    /// The bytes that are told, in hexadecimal.
    pub bytes: String,
    /// Packets so far that could not be told of, since the reader was too slow.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Where a packet is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// As it comes in.
    In,
    /// As it leaves the program.
    Out,
}

/// Packets, one a line, until the reader or whoever tells has gone, or there were as many as were asked for.
pub(super) fn lines(packets: mpsc::Receiver<PacketView>, limit: Option<u64>) -> Body {
    let state = (packets, limit.unwrap_or(u64::MAX));
    Body::from_stream(stream::unfold(state, |(mut packets, left)| async move {
        if left == 0 {
            return None;
        }
        let packet = packets.recv().await?;
        let mut line = serde_json::to_vec(&packet).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), (packets, left - 1)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, socket) in [
            ("198.51.100.7", None),
            ("198.51.100.0/24", None),
            ("198.51.100.7:40000", Some("198.51.100.7:40000")),
            ("[2001:db8::7]:80", Some("[2001:db8::7]:80")),
            ("2001:db8::/32", None),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.to_string(), text);
            assert_eq!(place.socket(), socket.map(|socket| socket.parse().unwrap()));
        }
        assert!("somebody".parse::<Place>().is_err());
    }
}
