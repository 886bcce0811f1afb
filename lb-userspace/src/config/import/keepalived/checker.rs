//! Checks of real servers: `HTTP_GET`, `TCP_CHECK` and their like.

use std::time::Duration;

use http::{HeaderValue, uri::PathAndQuery};
use toml::{Table, Value};

use super::{Notes, line::words, needless, seconds, statement::Statement};
use crate::{
    config::{Time, import::report::Outcome},
    core::health::RecordType,
    probe,
};

/// Checks that something can be made of.
const KINDS: [&str; 8] = [
    "HTTP_GET",
    "SSL_GET",
    "TCP_CHECK",
    "SMTP_CHECK",
    "DNS_CHECK",
    "MISC_CHECK",
    "UDP_CHECK",
    "PING_CHECK",
];

/// Whether this is a check that something can be made of.
pub(super) fn is_one(keyword: &str) -> bool {
    KINDS.contains(&keyword)
}

/// How often, how patiently and how stubbornly; what is not said in a check is said in the real server, or in the virtual one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    retries: Option<u32>,
    pause: Option<Duration>,
}

/// What keepalived takes where a file does not say.
const USUAL_INTERVAL: Duration = Duration::from_secs(60);
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);
const USUAL_PAUSE: Duration = Duration::from_secs(1);
/// What a check of ours may have.
const INTERVALS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(3600)];
const LONGEST_TIMEOUT: Duration = Duration::from_secs(300);
const MOST_RETRIES: u32 = 99;
const LONGEST_PATTERN: usize = 4096;

impl Pace {
    /// Takes what is said in a block; who asks goes through its statements again.
    pub(super) fn within(mut self, block: &Statement) -> Self {
        for statement in block.inner() {
            self.take(statement);
        }
        self
    }

    /// Takes a statement; `None` if it is about something else.
    pub(super) fn take(&mut self, statement: &Statement) -> Option<Outcome> {
        let text = statement.argument();
        let time = |into: &mut Option<Duration>, becomes: &str| match seconds(text) {
            Some(time) => {
                *into = Some(time);
                Outcome::translated(becomes)
            }
            None => Outcome::missing("not a time in seconds"),
        };
        Some(match statement.keyword() {
            "delay_loop" => time(&mut self.interval, "`interval` of checks"),
            "connect_timeout" | "misc_timeout" => time(&mut self.timeout, "`timeout` of checks"),
            "delay_before_retry" => time(&mut self.pause, "`fast_interval` of checks"),
            "retry" | "nb_get_retry" => match text.parse::<u32>() {
                Ok(retries) => {
                    self.retries = Some(retries.min(MOST_RETRIES));
                    Outcome::translated("`fall` of checks, which counts the first failure too")
                }
                Err(_) => Outcome::missing("not a number"),
            },
            "warmup" => Outcome::needless("checks begin at times of their own"),
            _ => return None,
        })
    }

    fn write(self, table: &mut Table) {
        let [shortest, longest] = INTERVALS;
        let interval = self.interval.unwrap_or(USUAL_INTERVAL).clamp(shortest, longest);
        let retries = self.retries.unwrap_or(1);
        let most = interval.min(LONGEST_TIMEOUT);
        let timeout = self.timeout.unwrap_or(USUAL_TIMEOUT).clamp(shortest, most);
        let mut set = |key: &str, time: Duration| table.insert(key.to_owned(), Time(time).to_string().into());
        set("interval", interval);
        set("timeout", timeout);
        if retries > 0 {
            // Ours is counted from the beginning of one probe to that of the next.
            let pause = (self.pause.unwrap_or(USUAL_PAUSE) + timeout).clamp(shortest, interval);
            if pause < interval {
                set("fast_interval", pause);
            }
        }
        table.insert("rise".to_owned(), 1.into());
        table.insert("fall".to_owned(), i64::from(retries + 1).into());
    }
}

/// The server that is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked<'a> {
    /// As the file has it.
    pub(super) address: &'a str,
    /// Where it is asked, unless the check says otherwise; 0 for the service's own port.
    pub(super) port: u16,
    /// Whether the service is at all ports.
    pub(super) all_ports: bool,
    /// Whether what clients send arrives there with the VIP in it.
    pub(super) by_vip: bool,
    /// The name that web servers are asked for, unless the check says otherwise.
    pub(super) host: Option<&'a str>,
}

/// Makes a check of a block, or several of them, and says what became of each statement in it.
pub(super) fn translate(block: &Statement, server: Checked<'_>, pace: Pace, notes: &mut Notes) -> Vec<Table> {
    let mut checker = Checker::new(block, server, pace.within(block));
    let mut own = Notes::default();
    for statement in block.inner() {
        checker.take(statement, &mut own);
    }
    match checker.finish() {
        Ok(checks) => {
            notes.enter(block, Outcome::translated("`check`"));
            notes.report.0.append(&mut own.report.0);
            notes.comments.append(own.comments);
            checks
        }
        Err(outcome) => {
            notes.nothing(block, outcome);
            Vec::new()
        }
    }
}

struct Checker<'a> {
    kind: &'a str,
    server: Checked<'a>,
    pace: Pace,
    port: Option<u16>,
    /// Keys of the kind alone.
    keys: Table,
    /// Why nothing was made of its program.
    refusal: Option<Outcome>,
    /// Of HTTP: what is asked for.
    urls: Vec<Table>,
    host: Option<&'a str>,
}

impl<'a> Checker<'a> {
    fn new(block: &'a Statement, server: Checked<'a>, pace: Pace) -> Self {
        Self {
            kind: block.keyword(),
            server,
            pace,
            port: None,
            keys: Table::new(),
            refusal: None,
            urls: Vec::new(),
            host: server.host,
        }
    }

    fn take(&mut self, statement: &'a Statement, notes: &mut Notes) {
        let argument = statement.argument();
        let outcome = match (self.kind, statement.keyword()) {
            (_, "connect_port") => match argument.parse() {
                Ok(port @ 1..) => {
                    self.port = Some(port);
                    Outcome::translated("`port`")
                }
                _ => Outcome::missing("no port"),
            },
            ("HTTP_GET" | "SSL_GET", "url") => return self.url(statement, notes),
            ("HTTP_GET" | "SSL_GET", "virtualhost") => {
                self.host = Some(argument);
                Outcome::translated("`host`")
            }
            ("SSL_GET", "enable_sni") => Outcome::needless("the name is always sent"),
            ("HTTP_GET" | "SSL_GET", "http_protocol" | "fast_recovery") => {
                Outcome::needless("HTTP/1.1 is spoken, and one success is enough")
            }
            ("SMTP_CHECK", "helo_name") if is_word(argument) => self.set("helo", argument),
            ("SMTP_CHECK", "host") => return self.smtp_host(statement, notes),
            ("DNS_CHECK", "name") if !argument.is_empty() => self.set("query", argument),
            ("DNS_CHECK", "type") => match record(argument) {
                Some(_) => self.set("record", argument),
                None => Outcome::missing("this type of record cannot be asked for; it is A"),
            },
            ("MISC_CHECK", "misc_path") => self.program(argument),
            ("MISC_CHECK", "misc_dynamic") => {
                self.keys.insert("dynamic".to_owned(), true.into());
                Outcome::translated("`dynamic`")
            }
            ("UDP_CHECK", "payload") if is_hex(&statement.arguments().concat()) => {
                self.set("send_hex", &statement.arguments().concat())
            }
            ("UDP_CHECK", "require_reply") => self.set("expect", ""),
            ("TCP_CHECK" | "UDP_CHECK", "min_reply_length" | "max_reply_length") => {
                Outcome::missing("an answer may have any length")
            }
            ("MISC_CHECK", "user") => Outcome::missing("programs run as the user that the daemon runs as"),
            (_, "alpha") => Outcome::needless("a backend counts as down until its first check has succeeded"),
            (_, "log_all_failures") => {
                Outcome::needless("changes are told, and `tandem backend` says what the last check found")
            }
            _ => match self.pace.take(statement) {
                Some(outcome) => outcome,
                None => return notes.whole(statement, needless::CHECK),
            },
        };
        notes.enter(statement, outcome);
    }

    fn set(&mut self, key: &str, value: &str) -> Outcome {
        self.keys.insert(key.to_owned(), value.into());
        Outcome::translated(format!("`{key}`"))
    }

    /// `url { path /healthz status_code 200 }`
    fn url(&mut self, block: &'a Statement, notes: &mut Notes) {
        notes.enter(block, Outcome::translated("`check`"));
        let mut url = Table::new();
        for statement in block.inner() {
            let argument = statement.argument();
            let mut set = |key: &str, value: Value| {
                url.insert(key.to_owned(), value);
                Outcome::translated(format!("`{key}`"))
            };
            let outcome = match statement.keyword() {
                "path" if argument.starts_with('/') && argument.parse::<PathAndQuery>().is_ok() => {
                    set("path", argument.into())
                }
                "status_code" => match ranges(statement.arguments()) {
                    Some(ranges) => set("status", ranges.into()),
                    None => Outcome::missing("not a range of status codes"),
                },
                "regex" if argument.len() <= LONGEST_PATTERN && probe::regex(argument).is_ok() => {
                    set("regex", argument.into())
                }
                "virtualhost" if HeaderValue::from_str(argument).is_ok() => set("host", argument.into()),
                "digest" => Outcome::missing(
                    "an MD5 of the body is not compared: `sha256`, `contains` or `regex` of the check can be",
                ),
                _ => {
                    notes.whole(statement, needless::CHECK);
                    continue;
                }
            };
            notes.enter(statement, outcome);
        }
        self.urls.push(url);
    }

    fn smtp_host(&mut self, block: &'a Statement, notes: &mut Notes) {
        notes.enter(block, Outcome::translated("`check`"));
        for statement in block.inner() {
            self.take(statement, notes);
        }
    }

    fn program(&mut self, text: &str) -> Outcome {
        match self.command(text) {
            Ok(command) => {
                self.keys.insert("command".to_owned(), command.into());
                Outcome::translated(
                    "`command`, which also has TANDEM_ADDRESS and TANDEM_PORT in its environment",
                )
            }
            Err(outcome) => {
                self.refusal = Some(outcome.clone());
                outcome
            }
        }
    }

    fn command(&self, text: &str) -> Result<Vec<String>, Outcome> {
        let command = words(text).unwrap_or_default();
        let good = command
            .first()
            .is_some_and(|program| program.starts_with('/') && program.len() > 1);
        if !good || command.iter().any(|word| word.contains('\0')) {
            return Err(Outcome::missing(
                "a check is a program by its whole path, and its arguments; there is no shell",
            ));
        }
        if command.iter().any(|word| word.contains(self.server.address)) {
            return Err(Outcome::missing(
                "the program is told whom to look at, and a service's backends are checked alike: have it take TANDEM_ADDRESS and \
                 TANDEM_PORT of its environment, and write it into `check` as `command`",
            ));
        }
        Ok(command)
    }

    fn finish(mut self) -> Result<Vec<Table>, Outcome> {
        let kind = match self.kind {
            "HTTP_GET" => "http",
            "SSL_GET" => "https",
            "SMTP_CHECK" => "smtp",
            "DNS_CHECK" => "dns",
            "MISC_CHECK" => "script",
            "UDP_CHECK" => "udp",
            "PING_CHECK" => "icmp",
            _ => "tcp",
        };
        if kind == "script" && !self.keys.contains_key("command") {
            return Err(self
                .refusal
                .unwrap_or_else(|| Outcome::missing("it names no program")));
        }
        let asks_a_port = !matches!(kind, "icmp" | "script");
        if asks_a_port && self.port.is_none() && self.server.port == 0 && self.server.all_ports {
            return Err(Outcome::missing(
                "a service at all ports has none that a check could ask: say `connect_port`",
            ));
        }
        if kind == "dns" {
            self.keys.entry("query").or_insert_with(|| ".".into());
            self.keys.entry("record").or_insert_with(|| "SOA".into());
        }
        if kind == "https" {
            // keepalived does not look at certificates.
            self.keys.insert("verify".to_owned(), false.into());
        }
        if self.urls.is_empty() {
            self.urls.push(Table::new());
        }
        let host = self.host.filter(|host| {
            matches!(kind, "http" | "https") && !host.is_empty() && HeaderValue::from_str(host).is_ok()
        });
        let checks = self.urls.into_iter().map(|url| {
            let mut check = Table::new();
            check.insert("type".to_owned(), kind.into());
            if let Some(port) = self.port.or((self.server.port > 0).then_some(self.server.port))
                && asks_a_port
            {
                check.insert("port".to_owned(), i64::from(port).into());
            }
            if self.server.by_vip && asks_a_port {
                check.insert("target".to_owned(), "backend".into());
            }
            if let Some(host) = host {
                check.insert("host".to_owned(), host.into());
            }
            check.extend(self.keys.clone());
            check.extend(url);
            self.pace.write(&mut check);
            check
        });
        Ok(checks.collect())
    }
}

/// Some ranges of status codes.
fn ranges(words: &[String]) -> Option<Vec<Value>> {
    let ranges: Vec<Value> = words.iter().map(|word| status(word)).collect::<Option<_>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

/// `200`, `200-299`
fn status(text: &str) -> Option<Value> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.parse::<u16>().ok()?, to.parse::<u16>().ok()?);
    let good = (100..=999).contains(&from) && (from..=999).contains(&to);
    good.then(|| text.into())
}

fn record(text: &str) -> Option<RecordType> {
    Value::from(text).try_into().ok()
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic())
}

/// Whole bytes, as many as a datagram of a check may have.
fn is_hex(text: &str) -> bool {
    const MOST: usize = 2 * 1200;
    (1..=MOST).contains(&text.len())
        && text.len().is_multiple_of(2)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
