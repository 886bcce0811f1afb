//! Which flows are asked for.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
    str::FromStr,
};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::types::{FlowView, StateName};
use crate::core::model::Protocol;

/// Where living flows can be read.
pub trait FlowSource: Send + Sync {
    /// Calls `each` for the living flows that [match](FlowFilter::matches) until it breaks.
    ///
    /// Called on a thread that may block, several at a time. Flows that come or go meanwhile may be seen or not.
    fn visit(&self, filter: &FlowFilter, each: &mut dyn FnMut(FlowView) -> ControlFlow<()>);
}

/// Which flows are asked for: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowFilter {
    /// Name of the service.
    pub service: Option<String>,
    /// Name or address of the backend.
    pub backend: Option<String>,
    /// Address of the client, or a network of them.
    pub client: Option<Clients>,
    /// The virtual IP, perhaps with a port.
    pub vip: Option<Vip>,
    /// Transport protocol.
    pub protocol: Option<Protocol>,
    /// State.
    pub state: Option<StateName>,
    /// At least so many seconds old.
    pub older: Option<u64>,
    /// Less than so many seconds old.
    pub younger: Option<u64>,
    /// Without a packet for at least so many seconds.
    pub idle: Option<u64>,
    /// Most flows that are shown or counted. The server sees to it, not the source.
    pub limit: Option<u64>,
}

impl FlowFilter {
    /// Whether the flow is one of those asked for.
    #[must_use]
    pub fn matches(&self, flow: &FlowView) -> bool {
        let backend = |wanted: &String| {
            flow.backend.as_ref() == Some(wanted)
                || flow.backend_address.is_some() && flow.backend_address == wanted.parse().ok()
        };
        self.service
            .as_ref()
            .is_none_or(|wanted| flow.service.as_ref() == Some(wanted))
            && self.backend.as_ref().is_none_or(backend)
            && self
                .client
                .is_none_or(|wanted| wanted.0.contains(&flow.client.ip()))
            && self.vip.is_none_or(|wanted| wanted.is(flow.vip))
            && self.protocol.is_none_or(|wanted| flow.protocol == wanted)
            && self.state.is_none_or(|wanted| flow.state == wanted)
            && self.older.is_none_or(|seconds| flow.age_seconds >= seconds)
            && self.younger.is_none_or(|seconds| flow.age_seconds < seconds)
            && self.idle.is_none_or(|seconds| flow.idle_seconds >= seconds)
    }

    /// What is asked for, as one would say it in a URL.
    #[must_use]
    pub fn describe(&self) -> String {
        match serde_urlencoded::to_string(self) {
            Ok(text) if !text.is_empty() => text,
            Ok(_) | Err(_) => "all".to_owned(),
        }
    }

    /// Whether all flows match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                limit: self.limit,
                ..Self::default()
            }
    }
}

/// The text does not name what flows can be chosen by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct NotAFilter {
    expected: &'static str,
}

/// Clients: `198.51.100.7`, `198.51.100.0/24`, `2001:db8::/32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clients(pub IpNet);

impl FromStr for Clients {
    type Err = NotAFilter;

    fn from_str(text: &str) -> Result<Self, NotAFilter> {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let clients = address.or_else(|_| text.parse::<IpNet>());
        clients.map(Self).map_err(|_| NotAFilter {
            expected: "an address such as 198.51.100.7, or a network such as 198.51.100.0/24",
        })
    }
}

impl fmt::Display for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            self.0.addr().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

/// A virtual IP, or one of its ports: `192.0.2.10`, `192.0.2.10:80`, `2001:db8::10`, `[2001:db8::10]:80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vip {
    address: IpAddr,
    port: Option<u16>,
}

impl Vip {
    fn is(self, vip: SocketAddr) -> bool {
        vip.ip() == self.address && self.port.is_none_or(|port| vip.port() == port)
    }
}

impl FromStr for Vip {
    type Err = NotAFilter;

    fn from_str(text: &str) -> Result<Self, NotAFilter> {
        if let Ok(address) = text.parse() {
            return Ok(Self { address, port: None });
        }
        let vip: SocketAddr = text.parse().map_err(|_| NotAFilter {
            expected: "an address such as 192.0.2.10 or 2001:db8::10, or one with a port: 192.0.2.10:80, [2001:db8::10]:80",
        })?;
        Ok(Self {
            address: vip.ip(),
            port: Some(vip.port()),
        })
    }
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// They are written as text.
macro_rules! text {
    ($($kind:ty),+) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $kind {
            fn schema_name() -> Cow<'static, str> {
                stringify!($kind).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    )+};
}

text!(Clients, Vip);

#[cfg(test)]
mod tests {
    use lb_common::flow_state::FlowState;

    use super::*;
    use crate::core::model::Protocol;

    fn flow() -> FlowView {
        FlowView {
            protocol: Protocol::Tcp,
            client: "198.51.100.7:40000".parse().unwrap(),
            vip: "192.0.2.10:80".parse().unwrap(),
            service: Some("web".into()),
            backend: Some("web1".into()),
            backend_address: Some("10.0.0.11".parse().unwrap()),
            state: StateName(FlowState::Established),
            age_seconds: 9,
            idle_seconds: 1,
            timeout_seconds: 899,
        }
    }

    fn filter(json: &str) -> FlowFilter {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn everything_that_is_given_must_hold() {
        for (json, expected) in [
            (r#"{}"#, true),
            (r#"{"service": "web"}"#, true),
            (r#"{"service": "we"}"#, false),
            (r#"{"backend": "web1"}"#, true),
            (r#"{"backend": "10.0.0.11"}"#, true),
            (r#"{"backend": "10.0.0.1"}"#, false),
            (r#"{"backend": "web2"}"#, false),
            (r#"{"client": "198.51.100.7"}"#, true),
            (r#"{"client": "192.0.2.10"}"#, false),
            (r#"{"client": "198.51.100.0/24"}"#, true),
            (r#"{"client": "198.51.101.0/24"}"#, false),
            (r#"{"client": "2001:db8::/32"}"#, false),
            (r#"{"vip": "192.0.2.10"}"#, true),
            (r#"{"vip": "198.51.100.7"}"#, false),
            (r#"{"vip": "192.0.2.10:80"}"#, true),
            (r#"{"vip": "192.0.2.10:81"}"#, false),
            (r#"{"protocol": "tcp"}"#, true),
            (r#"{"protocol": "udp"}"#, false),
            (r#"{"older": 9}"#, true),
            (r#"{"older": 10}"#, false),
            (r#"{"younger": 10}"#, true),
            (r#"{"younger": 9}"#, false),
            (r#"{"idle": 1}"#, true),
            (r#"{"idle": 2}"#, false),
            (r#"{"state": "established"}"#, true),
            (r#"{"state": "close"}"#, false),
            (r#"{"service": "web", "state": "close"}"#, false),
            (r#"{"limit": 0}"#, true),
        ] {
            assert_eq!(filter(json).matches(&flow()), expected, "{json}");
        }
    }

    #[test]
    fn a_flow_without_a_backend_belongs_to_none() {
        let flow = FlowView {
            service: None,
            backend: None,
            backend_address: None,
            ..flow()
        };
        assert!(filter("{}").matches(&flow));
        assert!(!filter(r#"{"backend": "web1"}"#).matches(&flow));
        assert!(!filter(r#"{"service": "web"}"#).matches(&flow));
    }

    #[test]
    fn texts_come_back_as_they_were() {
        for text in ["198.51.100.7", "198.51.100.0/24", "2001:db8::/32", "2001:db8::1"] {
            assert_eq!(text.parse::<Clients>().unwrap().to_string(), text);
        }
        for text in ["192.0.2.10", "192.0.2.10:80", "2001:db8::10", "[2001:db8::10]:80"] {
            assert_eq!(text.parse::<Vip>().unwrap().to_string(), text);
        }
        for wrong in ["", "web", "198.51.100.0/33", "192.0.2.10:99999"] {
            assert!(
                wrong.parse::<Clients>().is_err() && wrong.parse::<Vip>().is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_limit_chooses_nothing() {
        assert!(filter(r#"{"limit": 3}"#).is_empty());
        assert!(!filter(r#"{"idle": 0}"#).is_empty());
    }
}
