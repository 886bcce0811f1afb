//! How the backends of a service are checked, as the operator set it.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the backends of a service are checked, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The checks; without any, every backend counts as healthy.
    pub checks: Vec<Check>,
    /// How many of them must succeed.
    pub require: Require,
    /// What a backend counts as before its first outcome.
    pub start: Start,
    /// Backends that must serve, or else the service has lost its quorum.
    pub quorum: u32,
    /// So many more must serve until it has its quorum again.
    pub hysteresis: u32,
    /// What is done while there is no quorum.
    pub policy: Policy,
    /// What moves weights.
    pub weights: Weights,
    /// Percent of the backends that may be ejected at once because they leave connections unanswered; zero: that is not
    /// looked at.
    pub eject: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            checks: Vec::new(),
            require: Require::All,
            start: Start::Down,
            quorum: 1,
            hysteresis: 0,
            policy: Policy::Fail,
            weights: Weights::Agent,
            eject: 0,
        }
    }
}

/// What moves the weights of backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// What they say themselves, if they have an agent.
    Agent,
    /// That, and how fast they answer their checks.
    Latency,
}

/// How many checks must succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// Every one.
    All,
    /// One.
    Any,
    /// So many.
    AtLeast(u32),
}

/// What counts before the first outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// It does not serve.
    Down,
    /// It serves.
    Up,
}

/// What is done while too few backends are healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Those that are healthy serve; if there is none, new connections are dropped.
    Fail,
    /// Checks are not believed: all serve that an operator did not take out.
    All,
    /// The backups serve, and nobody else; if no backup is healthy, as with `fail`.
    Sorry,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Check {
    /// What is asked, and which answer is good.
    pub probe: Probe,
    /// At which port; `None`: that of the service's first frontend.
    pub port: Option<u16>,
    /// At which address.
    pub target: Target,
    /// When.
    pub timing: Timing,
    /// How outcomes are judged.
    pub judge: Judge,
}

/// Where a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// To the backend's own address.
    Backend,
    /// To the VIP, in a frame for that backend or through its tunnel: the way of clients.
    Vip,
}

/// When a probe is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timing {
    /// From the beginning of one to the beginning of the next, at most.
    pub interval: Duration,
    /// The same while the verdict may be about to change.
    pub fast_interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
}

/// How outcomes become a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Judge {
    /// Successes in a row after which it is up.
    pub rise: u32,
    /// Failures in a row after which it is down.
    pub fall: u32,
    /// Time in which the memory of a fall fades by half: what falls again and again is not believed at once. Zero: never
    /// mind.
    pub damping: Duration,
}

/// What is asked, and which answer is good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Probe {
    /// It accepts a connection.
    Tcp,
    /// It answers HTTP.
    Http(Http),
    /// It completes a TLS handshake.
    Tls(Tls),
    /// It answers an echo request.
    Icmp,
    /// It answers a datagram, or at least nobody says that the port is closed.
    Udp(Udp),
    /// It answers a DNS query.
    Dns(Dns),
    /// It greets as a mail server does.
    Smtp(Smtp),
    /// Its gRPC health service says SERVING.
    Grpc(Grpc),
    /// A program says so.
    Script(Script),
    /// It says itself how it is.
    Agent(Agent),
}

impl Probe {
    /// The word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http(Http { tls: None, .. }) => "http",
            Self::Http(Http { tls: Some(_), .. }) => "https",
            Self::Tls(_) => "tls",
            Self::Icmp => "icmp",
            Self::Udp(_) => "udp",
            Self::Dns(_) => "dns",
            Self::Smtp(_) => "smtp",
            Self::Grpc(_) => "grpc",
            Self::Script(_) => "script",
            Self::Agent(_) => "agent",
        }
    }
}

/// An HTTP request, and which answer is good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Http {
    /// HTTPS, and whom to trust.
    pub tls: Option<Tls>,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Host` header; `None`: the address.
    pub host: Option<String>,
    /// Other headers.
    pub headers: Vec<(String, String)>,
    /// Ranges of good status codes, ends included.
    pub statuses: Vec<(u16, u16)>,
    /// What the body must be.
    pub body: Option<BodyMatch>,
}

/// What a body must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BodyMatch {
    /// It contains this text.
    Contains(String),
    /// This regular expression matches somewhere.
    Regex(String),
    /// Its SHA-256 is this.
    Sha256([u8; 32]),
}

/// A TLS client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tls {
    /// The server's name, for SNI and in its certificate; `None`: the address.
    pub name: Option<String>,
    /// Whom to trust.
    pub trust: Trust,
    /// Warn when the certificate ends within so many days.
    pub warn_days: u32,
}

/// Whom a TLS client trusts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Trust {
    /// Whoever the system trusts.
    System,
    /// The certificates in this file (PEM).
    File(PathBuf),
    /// The one certificate whose SHA-256 (of its DER form) is this.
    Pin([u8; 32]),
    /// Anybody: only that there is TLS is checked, and that the certificate has not ended.
    Anybody,
}

/// A datagram, and which answer is good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Udp {
    /// What is sent.
    pub payload: Vec<u8>,
    /// What the answer must begin with; `None`: no answer is asked for, only that the port is not closed.
    pub reply: Option<Vec<u8>>,
}

/// A DNS query, and which answer is good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dns {
    /// The name.
    pub name: String,
    /// The type of record.
    pub record: RecordType,
    /// The response code (RFC 1035 section 4.1.1), 0 for "no error".
    pub rcode: u8,
    /// What one of the records must be, as text; `None`: anything.
    pub answer: Option<String>,
}

/// Type of a DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "RFC 1035, RFC 3596")]
pub enum RecordType {
    A,
    Aaaa,
    Cname,
    Mx,
    Ns,
    Soa,
    Txt,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Smtp {
    /// The name that is given in EHLO.
    pub helo: String,
}

/// A gRPC health service (grpc.health.v1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grpc {
    /// The service that is asked about; empty: the server as a whole.
    pub service: String,
    /// TLS, and whom to trust.
    pub tls: Option<Tls>,
}

/// A program: exit code 0 is good, 1 is bad, and 2 to 255 are good with a weight of that less 2 (keepalived's MISC_CHECK),
/// if it is dynamic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Script {
    /// The program, by its whole path, and its arguments.
    pub command: Vec<String>,
    /// Whether its exit code gives a weight.
    pub dynamic: bool,
}

/// Something that tells how the backend is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Agent {
    /// How it speaks.
    pub form: AgentForm,
}

/// How an agent speaks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AgentForm {
    /// A line of words over TCP, after HAProxy's agent checks: `75%`, `up`, `down`, `drain`, `maint`, `ready`, `stopped`,
    /// `fail`.
    Line,
    /// JSON over HTTP: `{"weight": 75, "state": "up"}`.
    Http {
        /// Path and query.
        path: String,
    },
}
