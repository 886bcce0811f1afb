//! `check` and `health` of a service.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use crate::config::Spanned;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, value::MapAccessDeserializer, value::SeqAccessDeserializer},
};

use super::{Time, unplaced};
use crate::core::health::{self, AgentForm, BodyMatch, Judge, Probe, RecordType, Timing, Trust};

/// Kind of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Kind {
    Tcp,
    Http,
    Https,
    Tls,
    Icmp,
    Udp,
    Dns,
    Smtp,
    Grpc,
    Script,
    Agent,
}

/// `check = { … }`; which keys belong to which kind is seen later.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Check {
    #[serde(rename = "type")]
    pub(in crate::config) kind: Spanned<Kind>,
    pub(in crate::config) port: Option<Spanned<i64>>,
    pub(in crate::config) target: Option<Spanned<health::Target>>,
    pub(in crate::config) interval: Option<Spanned<Time>>,
    pub(in crate::config) fast_interval: Option<Spanned<Time>>,
    pub(in crate::config) timeout: Option<Spanned<Time>>,
    pub(in crate::config) rise: Option<Spanned<i64>>,
    pub(in crate::config) fall: Option<Spanned<i64>>,
    pub(in crate::config) damping: Option<Spanned<Time>>,
    pub(in crate::config) method: Option<Spanned<String>>,
    pub(in crate::config) path: Option<Spanned<String>>,
    pub(in crate::config) host: Option<Spanned<String>>,
    pub(in crate::config) headers: Option<Spanned<BTreeMap<String, String>>>,
    pub(in crate::config) status: Option<Spanned<Vec<Spanned<String>>>>,
    pub(in crate::config) contains: Option<Spanned<String>>,
    pub(in crate::config) regex: Option<Spanned<String>>,
    pub(in crate::config) sha256: Option<Spanned<String>>,
    pub(in crate::config) tls: Option<Spanned<bool>>,
    pub(in crate::config) server_name: Option<Spanned<String>>,
    pub(in crate::config) ca_file: Option<Spanned<String>>,
    pub(in crate::config) pin: Option<Spanned<String>>,
    pub(in crate::config) verify: Option<Spanned<bool>>,
    pub(in crate::config) warn_days: Option<Spanned<i64>>,
    pub(in crate::config) send: Option<Spanned<String>>,
    pub(in crate::config) send_hex: Option<Spanned<String>>,
    pub(in crate::config) expect: Option<Spanned<String>>,
    pub(in crate::config) expect_hex: Option<Spanned<String>>,
    pub(in crate::config) query: Option<Spanned<String>>,
    pub(in crate::config) record: Option<Spanned<RecordType>>,
    pub(in crate::config) rcode: Option<Spanned<i64>>,
    pub(in crate::config) answer: Option<Spanned<String>>,
    pub(in crate::config) helo: Option<Spanned<String>>,
    pub(in crate::config) service: Option<Spanned<String>>,
    pub(in crate::config) command: Option<Spanned<Vec<String>>>,
    pub(in crate::config) dynamic: Option<Spanned<bool>>,
}

/// One check, or an array of them.
#[derive(Debug, Default)]
pub(in crate::config) struct Checks(pub(in crate::config) Vec<Check>);

impl<'de> Deserialize<'de> for Checks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Checks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a check such as { type = \"tcp\" }, or an array of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Checks, A::Error> {
                let check = Check::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Checks(vec![check]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Checks, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Checks)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Checks {
    fn schema_name() -> Cow<'static, str> {
        "Checks".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let one = schemas.subschema_for::<Check>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl Serialize for Checks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// `health = { … }`
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Health {
    pub(in crate::config) require: Option<Spanned<Require>>,
    pub(in crate::config) start: Option<health::Start>,
    pub(in crate::config) quorum: Option<Spanned<i64>>,
    pub(in crate::config) hysteresis: Option<Spanned<i64>>,
    pub(in crate::config) policy: Option<health::Policy>,
    pub(in crate::config) weights: Option<health::Weights>,
    pub(in crate::config) eject_percent: Option<Spanned<i64>>,
}

/// `"all"`, `"any"`, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Require {
    All,
    Any,
    AtLeast(i64),
}

impl<'de> Deserialize<'de> for Require {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Require;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\", \"any\", or a number of checks")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Require, E> {
                Ok(Require::AtLeast(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Require, E> {
                match text {
                    "all" => Ok(Require::All),
                    "any" => Ok(Require::Any),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Require {
    fn schema_name() -> Cow<'static, str> {
        "Require".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "enum": ["all", "any"] }, { "type": "integer", "minimum": 1 }] })
    }
}

impl Serialize for Require {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Any => serializer.serialize_str("any"),
            Self::AtLeast(number) => serializer.serialize_i64(*number),
        }
    }
}

impl From<&health::Health> for Health {
    fn from(health: &health::Health) -> Self {
        Self {
            require: Some(unplaced(match health.require {
                health::Require::All => Require::All,
                health::Require::Any => Require::Any,
                health::Require::AtLeast(number) => Require::AtLeast(number.into()),
            })),
            start: Some(health.start),
            quorum: Some(unplaced(health.quorum.into())),
            hysteresis: Some(unplaced(health.hysteresis.into())),
            policy: Some(health.policy),
            weights: Some(health.weights),
            eject_percent: Some(unplaced(health.eject.into())),
        }
    }
}

impl Check {
    /// A check of this kind with no key set.
    fn bare(kind: Kind) -> Self {
        Self {
            kind: unplaced(kind),
            port: None,
            target: None,
            interval: None,
            fast_interval: None,
            timeout: None,
            rise: None,
            fall: None,
            damping: None,
            method: None,
            path: None,
            host: None,
            headers: None,
            status: None,
            contains: None,
            regex: None,
            sha256: None,
            tls: None,
            server_name: None,
            ca_file: None,
            pin: None,
            verify: None,
            warn_days: None,
            send: None,
            send_hex: None,
            expect: None,
            expect_hex: None,
            query: None,
            record: None,
            rcode: None,
            answer: None,
            helo: None,
            service: None,
            command: None,
            dynamic: None,
        }
    }

    fn set_tls(&mut self, tls: &health::Tls) {
        self.server_name = tls.name.clone().map(unplaced);
        self.warn_days = Some(unplaced(tls.warn_days.into()));
        match &tls.trust {
            Trust::System => {}
            Trust::File(path) => self.ca_file = Some(unplaced(path.to_string_lossy().into_owned())),
            Trust::Pin(digest) => self.pin = Some(unplaced(hex(digest))),
            Trust::Anybody => self.verify = Some(unplaced(false)),
        }
    }

    fn set_http(&mut self, http: &health::Http) {
        self.method = Some(unplaced(http.method.clone()));
        self.path = Some(unplaced(http.path.clone()));
        self.host = http.host.clone().map(unplaced);
        if !http.headers.is_empty() {
            self.headers = Some(unplaced(http.headers.iter().cloned().collect()));
        }
        let ranges = http
            .statuses
            .iter()
            .map(|(from, to)| unplaced(format!("{from}-{to}")));
        self.status = Some(unplaced(ranges.collect()));
        match &http.body {
            None => {}
            Some(BodyMatch::Contains(text)) => self.contains = Some(unplaced(text.clone())),
            Some(BodyMatch::Regex(text)) => self.regex = Some(unplaced(text.clone())),
            Some(BodyMatch::Sha256(digest)) => self.sha256 = Some(unplaced(hex(digest))),
        }
        if let Some(tls) = &http.tls {
            self.set_tls(tls);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<&health::Check> for Check {
    fn from(check: &health::Check) -> Self {
        let kind = match &check.probe {
            Probe::Tcp => Kind::Tcp,
            Probe::Http(http) if http.tls.is_some() => Kind::Https,
            Probe::Http(_) => Kind::Http,
            Probe::Tls(_) => Kind::Tls,
            Probe::Icmp => Kind::Icmp,
            Probe::Udp(_) => Kind::Udp,
            Probe::Dns(_) => Kind::Dns,
            Probe::Smtp(_) => Kind::Smtp,
            Probe::Grpc(_) => Kind::Grpc,
            Probe::Script(_) => Kind::Script,
            Probe::Agent(_) => Kind::Agent,
        };
        let Timing {
            interval,
            fast_interval,
            timeout,
        } = check.timing;
        let Judge { rise, fall, damping } = check.judge;
        let time = |time| Some(unplaced(Time(time)));
        let mut bare = Self {
            port: check.port.map(|port| unplaced(port.into())),
            target: Some(unplaced(check.target)),
            interval: time(interval),
            fast_interval: time(fast_interval),
            timeout: time(timeout),
            rise: Some(unplaced(rise.into())),
            fall: Some(unplaced(fall.into())),
            damping: time(damping),
            ..Self::bare(kind)
        };
        match &check.probe {
            Probe::Tcp | Probe::Icmp => {}
            Probe::Http(http) => bare.set_http(http),
            Probe::Tls(tls) => bare.set_tls(tls),
            Probe::Udp(udp) => {
                bare.send_hex = Some(unplaced(hex(&udp.payload)));
                bare.expect_hex = udp.reply.as_ref().map(|reply| unplaced(hex(reply)));
            }
            Probe::Dns(dns) => {
                bare.query = Some(unplaced(dns.name.clone()));
                bare.record = Some(unplaced(dns.record));
                bare.rcode = Some(unplaced(dns.rcode.into()));
                bare.answer = dns.answer.clone().map(unplaced);
            }
            Probe::Smtp(smtp) => bare.helo = Some(unplaced(smtp.helo.clone())),
            Probe::Grpc(grpc) => {
                bare.service = Some(unplaced(grpc.service.clone()));
                bare.tls = Some(unplaced(grpc.tls.is_some()));
                if let Some(tls) = &grpc.tls {
                    bare.set_tls(tls);
                }
            }
            Probe::Script(script) => {
                bare.command = Some(unplaced(script.command.clone()));
                bare.dynamic = Some(unplaced(script.dynamic));
            }
            Probe::Agent(agent) => match &agent.form {
                AgentForm::Line => {}
                AgentForm::Http { path } => bare.path = Some(unplaced(path.clone())),
            },
        }
        bare
    }
}
