//! How backends are checked.

use std::{
    ops::{Range, RangeInclusive},
    time::Duration,
};

use crate::config::Spanned;
use http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};

use super::Validator;
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        file::{self, CheckKind as Kind, Require as FileRequire},
    },
    core::health::{
        Agent, AgentForm, BodyMatch, Check, Dns, Grpc, Health, Http, Judge, Probe, RecordType, Require,
        Script, Smtp, Start, Target, Timing, Tls, Trust, Udp,
    },
    core::model::Forward,
};

/// Most checks of a service.
pub(in crate::config) const MOST_CHECKS: usize = 16;
/// Most bytes of a datagram that is sent or expected.
const MOST_PAYLOAD: usize = 1200;
/// Longest text that a body must contain, or regular expression.
const MOST_PATTERN: usize = 4096;
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_secs(3600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);
const DAMPING: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
const IN_A_ROW: RangeInclusive<u32> = 1..=100;
const PERCENT: RangeInclusive<u32> = 0..=100;
const DAYS: RangeInclusive<u32> = 0..=3650;
const BACKENDS: RangeInclusive<u32> = 0..=65_536;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_RISE: u32 = 2;
const DEFAULT_FALL: u32 = 3;
const DEFAULT_DAMPING: Duration = Duration::from_secs(60);
const DEFAULT_WARN_DAYS: u32 = 14;

/// Keys that every kind of check has.
const COMMON: &[&str] = &[
    "port",
    "target",
    "interval",
    "fast_interval",
    "timeout",
    "rise",
    "fall",
    "damping",
];
const HTTP: &[&str] = &[
    "method", "path", "host", "headers", "status", "contains", "regex", "sha256",
];
const TLS: &[&str] = &["server_name", "ca_file", "pin", "verify", "warn_days"];

/// What a service's checks can reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// How its packets are forwarded.
    pub(super) forward: Forward,
    /// Whether it listens at one VIP and one port at least.
    pub(super) has_frontend: bool,
}

impl Validator<'_> {
    /// The checks of a service, and what follows from them.
    pub(super) fn health(&mut self, table: &file::Service, reach: Reach) -> Health {
        let default = Health::default();
        let given = table.check.as_ref().map_or(&[][..], |checks| &checks.0);
        if let Some(check) = given.get(MOST_CHECKS) {
            self.report(
                Diagnostic::error(format!(
                    "service {} has too many checks",
                    quote(table.name.get_ref())
                ))
                .at(check.kind.span(), format!("expected {MOST_CHECKS} at most")),
            );
        }
        let checks: Vec<Check> = given
            .iter()
            .filter_map(|check| self.check(check, reach))
            .collect();
        let Some(health) = &table.health else {
            return Health { checks, ..default };
        };
        Health {
            require: self.require(health, given.len()),
            start: health.start.unwrap_or(Start::Down),
            quorum: self.number("quorum", health.quorum.as_ref(), default.quorum, &BACKENDS),
            hysteresis: self.number(
                "hysteresis",
                health.hysteresis.as_ref(),
                default.hysteresis,
                &BACKENDS,
            ),
            policy: health.policy.unwrap_or(default.policy),
            weights: health.weights.unwrap_or(default.weights),
            eject: self.number(
                "eject_percent",
                health.eject_percent.as_ref(),
                default.eject,
                &PERCENT,
            ),
            checks,
        }
    }

    fn require(&mut self, health: &file::Health, checks: usize) -> Require {
        let Some(given) = &health.require else {
            return Require::All;
        };
        match *given.get_ref() {
            FileRequire::All => Require::All,
            FileRequire::Any => Require::Any,
            FileRequire::AtLeast(number) => match u32::try_from(number) {
                Ok(number) if (1..=checks).contains(&(number as usize)) => Require::AtLeast(number),
                Ok(_) | Err(_) => {
                    let error = Diagnostic::error("`require` is out of range");
                    self.report(error.at(
                        given.span(),
                        format!("expected 1 to {checks}, the number of checks"),
                    ));
                    Require::All
                }
            },
        }
    }

    fn check(&mut self, table: &file::Check, reach: Reach) -> Option<Check> {
        let kind = *table.kind.get_ref();
        let allowed: Vec<&str> = [COMMON, keys(kind)].concat();
        let tls: &[&str] = match kind {
            Kind::Https | Kind::Tls => TLS,
            Kind::Grpc if table.tls.as_ref().is_some_and(|tls| *tls.get_ref()) => TLS,
            _ => &[],
        };
        for (key, span) in given(table) {
            if !allowed.contains(&key) && !tls.contains(&key) {
                let expected = [&allowed[COMMON.len()..], tls].concat();
                let expected = if expected.is_empty() {
                    "it has none of its own".to_owned()
                } else {
                    format!(
                        "its own keys are {}",
                        expected
                            .iter()
                            .map(|key| format!("`{key}`"))
                            .collect::<Vec<_>>()
                            .join(", ")
                    )
                };
                self.report(
                    Diagnostic::error(format!("`{key}` is not for this type of check")).at(span, expected),
                );
            }
        }
        let timing = self.timing(table);
        let judge = Judge {
            rise: self.number("rise", table.rise.as_ref(), DEFAULT_RISE, &IN_A_ROW),
            fall: self.number("fall", table.fall.as_ref(), DEFAULT_FALL, &IN_A_ROW),
            damping: self.time("damping", table.damping.as_ref(), DEFAULT_DAMPING, &DAMPING),
        };
        let port = table
            .port
            .as_ref()
            .map(|port| self.number("port", Some(port), 1, &(1..=65_535)) as u16);
        let asks_a_port = !matches!(kind, Kind::Icmp | Kind::Script);
        if asks_a_port && port.is_none() && !reach.has_frontend {
            self.report(
                Diagnostic::error("this check has no port to ask")
                    .at(table.kind.span(), "expected a `port` beside it")
                    .note(
                        "the service listens at no single address and port: say at which its backends are asked, as in `port = 80`",
                    ),
            );
        }
        Some(Check {
            probe: self.probe(kind, table)?,
            port,
            target: self.target(kind, table, reach),
            timing,
            judge,
        })
    }

    /// Where it goes: by default the way of clients, if the kind of check and the way of forwarding allow it.
    fn target(&mut self, kind: Kind, table: &file::Check, reach: Reach) -> Target {
        let possible = match kind {
            Kind::Icmp | Kind::Script | Kind::Agent => false,
            Kind::Tcp
            | Kind::Http
            | Kind::Https
            | Kind::Tls
            | Kind::Udp
            | Kind::Dns
            | Kind::Smtp
            | Kind::Grpc => match reach.forward {
                Forward::Dr | Forward::Tunnel(_) => reach.has_frontend,
                Forward::Nat | Forward::FullNat => false,
            },
        };
        match &table.target {
            None if possible => Target::Vip,
            None => Target::Backend,
            Some(target) => {
                if *target.get_ref() == Target::Vip && !possible {
                    self.report(
                        Diagnostic::error("this check cannot go to the VIP")
                            .at(target.span(), "expected \"backend\"")
                            .note(
                                "checks that connect can, where `forward` is \"dr\" or \"tunnel\" and the service \
                                 listens at a single address and port",
                            ),
                    );
                }
                *target.get_ref()
            }
        }
    }

    fn timing(&mut self, table: &file::Check) -> Timing {
        let interval = self.time("interval", table.interval.as_ref(), DEFAULT_INTERVAL, &INTERVAL);
        let timeout = DEFAULT_TIMEOUT.min(interval);
        let timeout = self.time("timeout", table.timeout.as_ref(), timeout, &TIMEOUT);
        let fast_interval = self.time("fast_interval", table.fast_interval.as_ref(), interval, &INTERVAL);
        for (key, value, given) in [
            ("timeout", timeout, &table.timeout),
            ("fast_interval", fast_interval, &table.fast_interval),
        ] {
            if value > interval
                && let Some(given) = given
            {
                self.report(
                    Diagnostic::error(format!("`{key}` is longer than the interval"))
                        .at(given.span(), "expected the interval at most"),
                );
            }
        }
        Timing {
            interval,
            fast_interval,
            timeout,
        }
    }

    fn probe(&mut self, kind: Kind, table: &file::Check) -> Option<Probe> {
        Some(match kind {
            Kind::Tcp => Probe::Tcp,
            Kind::Icmp => Probe::Icmp,
            Kind::Http => Probe::Http(self.http(table, None)?),
            Kind::Https => {
                let tls = self.tls(table);
                let http = self.http(table, None);
                Probe::Http(Http {
                    tls: Some(tls?),
                    ..http?
                })
            }
            Kind::Tls => Probe::Tls(self.tls(table)?),
            Kind::Udp => Probe::Udp(Udp {
                payload: self
                    .bytes(table.send.as_ref(), table.send_hex.as_ref())?
                    .unwrap_or_default(),
                reply: self.bytes(table.expect.as_ref(), table.expect_hex.as_ref())?,
            }),
            Kind::Dns => Probe::Dns(Dns {
                name: self.needed(table, "query", table.query.as_ref())?,
                record: table
                    .record
                    .as_ref()
                    .map_or(RecordType::A, |record| *record.get_ref()),
                rcode: self.number("rcode", table.rcode.as_ref(), 0, &(0..=15)) as u8,
                answer: table.answer.as_ref().map(|answer| answer.get_ref().clone()),
            }),
            Kind::Smtp => Probe::Smtp(Smtp {
                helo: self.word(table.helo.as_ref(), "localhost")?,
            }),
            Kind::Grpc => {
                let tls = table.tls.as_ref().is_some_and(|tls| *tls.get_ref());
                Probe::Grpc(Grpc {
                    service: table
                        .service
                        .as_ref()
                        .map_or_else(String::new, |name| name.get_ref().clone()),
                    tls: if tls { Some(self.tls(table)?) } else { None },
                })
            }
            Kind::Script => {
                let Some(command) = &table.command else {
                    self.missing(table, "command");
                    return None;
                };
                Probe::Script(Script {
                    command: self.command(command)?,
                    dynamic: table.dynamic.as_ref().is_some_and(|dynamic| *dynamic.get_ref()),
                })
            }
            Kind::Agent => Probe::Agent(Agent {
                form: match &table.path {
                    None => AgentForm::Line,
                    Some(path) => AgentForm::Http {
                        path: self.url_path(path)?,
                    },
                },
            }),
        })
    }

    fn http(&mut self, table: &file::Check, tls: Option<Tls>) -> Option<Http> {
        // All of it is looked at, so that all errors are found.
        let method = self.method(table);
        let path = match &table.path {
            None => Some("/".to_owned()),
            Some(path) => self.url_path(path),
        };
        let host = self.host(table);
        let headers = self.headers(table);
        let statuses = self.statuses(table);
        let body = self.body(table);
        Some(Http {
            tls,
            method: method?,
            path: path?,
            host: host?,
            headers: headers?,
            statuses: statuses?,
            body: body?,
        })
    }

    fn method(&mut self, table: &file::Check) -> Option<String> {
        match &table.method {
            None => Some("GET".to_owned()),
            Some(method) if Method::from_bytes(method.get_ref().as_bytes()).is_ok() => {
                Some(method.get_ref().clone())
            }
            Some(method) => {
                self.wrong(method, "a method", "expected one such as \"GET\" or \"HEAD\"");
                None
            }
        }
    }

    #[expect(clippy::option_option, reason = "an error, nothing, or something")]
    fn host(&mut self, table: &file::Check) -> Option<Option<String>> {
        match &table.host {
            Some(host) if HeaderValue::from_str(host.get_ref()).is_err() => {
                self.wrong(host, "a host", "expected a name such as \"www.example.net\"");
                None
            }
            host => Some(host.as_ref().map(|host| host.get_ref().clone())),
        }
    }

    fn headers(&mut self, table: &file::Check) -> Option<Vec<(String, String)>> {
        let Some(headers) = &table.headers else {
            return Some(Vec::new());
        };
        for (name, value) in headers.get_ref() {
            if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err() {
                self.report(
                    Diagnostic::error(format!(
                        "{} cannot be a header",
                        quote(&format!("{name}: {value}"))
                    ))
                    .at(headers.span(), "expected names and values as HTTP has them"),
                );
                return None;
            }
        }
        Some(headers.get_ref().clone().into_iter().collect())
    }

    fn statuses(&mut self, table: &file::Check) -> Option<Vec<(u16, u16)>> {
        let Some(given) = &table.status else {
            return Some(vec![(200, 299)]);
        };
        let mut ranges = Vec::new();
        for range in given.get_ref() {
            let text = range.get_ref();
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            match (from.parse(), to.parse()) {
                (Ok(from @ 100..=999), Ok(to @ 100..=999)) if from <= to => ranges.push((from, to)),
                _ => {
                    self.wrong(
                        range,
                        "a range of status codes",
                        "expected one such as \"200\" or \"200-299\"",
                    );
                    return None;
                }
            }
        }
        if ranges.is_empty() {
            let error = Diagnostic::error("no status code would be good");
            self.report(error.at(given.span(), "expected at least one, such as \"200-299\""));
            return None;
        }
        Some(ranges)
    }

    #[expect(clippy::option_option, reason = "an error, nothing, or something")]
    fn body(&mut self, table: &file::Check) -> Option<Option<BodyMatch>> {
        let all = [&table.contains, &table.regex, &table.sha256];
        if let [first, second, ..] = all.into_iter().flatten().collect::<Vec<_>>()[..] {
            self.report(
                Diagnostic::error("there are two rules for the body")
                    .at(second.span(), "expected one of `contains`, `regex` and `sha256`")
                    .related(first.span(), "the first one"),
            );
            return None;
        }
        if let Some(text) = table.contains.as_ref().or(table.regex.as_ref())
            && text.get_ref().len() > MOST_PATTERN
        {
            let error = Diagnostic::error("the text is too long");
            self.report(error.at(text.span(), format!("expected {MOST_PATTERN} bytes at most")));
            return None;
        }
        if let Some(text) = &table.contains {
            return Some(Some(BodyMatch::Contains(text.get_ref().clone())));
        }
        if let Some(regex) = &table.regex {
            if let Err(error) = crate::probe::regex(regex.get_ref()) {
                let said = error.to_string();
                let said = said.lines().last().unwrap_or_default().to_owned();
                self.report(Diagnostic::error("this is no regular expression").at(regex.span(), said));
                return None;
            }
            return Some(Some(BodyMatch::Regex(regex.get_ref().clone())));
        }
        match &table.sha256 {
            None => Some(None),
            Some(digest) => Some(Some(BodyMatch::Sha256(self.digest(digest)?))),
        }
    }

    fn tls(&mut self, table: &file::Check) -> Option<Tls> {
        let anybody = table.verify.as_ref().filter(|verify| !verify.get_ref());
        let trust = match (&table.ca_file, &table.pin, anybody) {
            (None, None, None) => Trust::System,
            (Some(file), None, None) => Trust::File(self.path(file)?),
            (None, Some(pin), None) => Trust::Pin(self.digest(pin)?),
            (None, None, Some(_)) => Trust::Anybody,
            (_, _, Some(verify)) => {
                self.contradiction(verify.span());
                return None;
            }
            (Some(_), Some(pin), None) => {
                self.contradiction(pin.span());
                return None;
            }
        };
        Some(Tls {
            name: table.server_name.as_ref().map(|name| name.get_ref().clone()),
            trust,
            warn_days: self.number("warn_days", table.warn_days.as_ref(), DEFAULT_WARN_DAYS, &DAYS),
        })
    }

    fn contradiction(&mut self, span: Range<usize>) {
        self.report(
            Diagnostic::error("whom to trust is said twice")
                .at(span, "expected one of `ca_file`, `pin` and `verify = false`"),
        );
    }

    fn digest(&mut self, given: &Spanned<String>) -> Option<[u8; 32]> {
        let digest = unhex(&given.get_ref().replace(':', "")).and_then(|bytes| bytes.try_into().ok());
        if digest.is_none() {
            self.wrong(given, "a SHA-256", "expected 64 hexadecimal digits");
        }
        digest
    }

    /// Bytes as text or in hexadecimal. The outer `None`: there was an error.
    #[expect(clippy::option_option, reason = "an error, nothing, or something")]
    fn bytes(
        &mut self,
        text: Option<&Spanned<String>>,
        hex: Option<&Spanned<String>>,
    ) -> Option<Option<Vec<u8>>> {
        let bytes = match (text, hex) {
            (None, None) => return Some(None),
            (Some(text), None) => Some((text.get_ref().clone().into_bytes(), text.span())),
            (None, Some(hex)) => unhex(hex.get_ref()).map(|bytes| (bytes, hex.span())),
            (Some(_), Some(hex)) => {
                let error = Diagnostic::error("the bytes are given twice");
                self.report(error.at(hex.span(), "expected them as text or in hexadecimal"));
                return None;
            }
        };
        match (bytes, hex) {
            (Some((bytes, _)), _) if bytes.len() <= MOST_PAYLOAD => Some(Some(bytes)),
            (Some((_, span)), _) => {
                let error = Diagnostic::error("this is too long for a datagram");
                self.report(error.at(span, format!("expected {MOST_PAYLOAD} bytes at most")));
                None
            }
            (None, Some(hex)) => {
                self.wrong(
                    hex,
                    "hexadecimal",
                    "expected an even number of the digits 0-9 and a-f",
                );
                None
            }
            (None, None) => None,
        }
    }

    fn url_path(&mut self, given: &Spanned<String>) -> Option<String> {
        let good = given.get_ref().starts_with('/') && given.get_ref().parse::<PathAndQuery>().is_ok();
        if !good {
            self.wrong(given, "a path", "expected one such as \"/healthz\"");
        }
        good.then(|| given.get_ref().clone())
    }

    fn word(&mut self, given: Option<&Spanned<String>>, default: &str) -> Option<String> {
        let Some(given) = given else {
            return Some(default.to_owned());
        };
        let good = !given.get_ref().is_empty() && given.get_ref().chars().all(|c| c.is_ascii_graphic());
        if !good {
            self.wrong(given, "a host name", "expected a word without blanks");
        }
        good.then(|| given.get_ref().clone())
    }

    fn needed(&mut self, table: &file::Check, key: &str, given: Option<&Spanned<String>>) -> Option<String> {
        if given.is_none() {
            self.missing(table, key);
        }
        given.map(|given| given.get_ref().clone())
    }

    fn missing(&mut self, table: &file::Check, key: &str) {
        self.report(
            Diagnostic::error(format!("the key `{key}` is missing"))
                .at(table.kind.span(), format!("a check of this type needs `{key}`")),
        );
    }

    fn wrong(&mut self, given: &Spanned<String>, what: &str, expected: &str) {
        self.report(
            Diagnostic::error(format!("{} is not {what}", quote(given.get_ref()))).at(given.span(), expected),
        );
    }
}

/// Keys of a kind beyond the common ones and those of TLS.
const fn keys(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Tcp | Kind::Icmp | Kind::Tls => &[],
        Kind::Http | Kind::Https => HTTP,
        Kind::Udp => &["send", "send_hex", "expect", "expect_hex"],
        Kind::Dns => &["query", "record", "rcode", "answer"],
        Kind::Smtp => &["helo"],
        Kind::Grpc => &["service", "tls"],
        Kind::Script => &["command", "dynamic"],
        Kind::Agent => &["path"],
    }
}

/// The keys that are given, and where.
fn given(table: &file::Check) -> Vec<(&'static str, Range<usize>)> {
    macro_rules! keys {
        ($($key:ident),*) => {
            [$((stringify!($key), table.$key.as_ref().map(Spanned::span))),*]
        };
    }
    let all = keys!(
        port,
        target,
        interval,
        fast_interval,
        timeout,
        rise,
        fall,
        damping,
        method,
        path,
        host,
        headers,
        status,
        contains,
        regex,
        sha256,
        tls,
        server_name,
        ca_file,
        pin,
        verify,
        warn_days,
        send,
        send_hex,
        expect,
        expect_hex,
        query,
        record,
        rcode,
        answer,
        helo,
        service,
        command,
        dynamic
    );
    all.into_iter()
        .filter_map(|(key, span)| Some((key, span?)))
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect())
}
