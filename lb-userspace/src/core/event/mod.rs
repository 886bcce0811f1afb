//! Events: what changed, about whom, why, and when.
//!
//! [`What`] is typed, one family a file; each family has a table of its [`Kind`]s, which documents and configurations
//! name. Whoever adds a family writes its file, and adds it to [`What`] and to [`kinds`]; everything behind that (log,
//! command line, hooks, mail, webhooks) works on the flat [`Record`] that every event can be turned into.
//!
//! [`Log`] keeps the latest events, [`Filter`] chooses among them, [`Pace`] says how fast they may be passed on.

mod backend;
mod director;
mod filter;
mod ha;
mod log;
mod order;
mod pace;
mod reach;
mod settings;
mod sync;
mod timestamp;

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    backend::{Backend, Service},
    director::Director,
    filter::{Filter, Pattern, PatternError},
    log::{Batch, Log},
    order::Order,
    pace::{Backoff, Pace},
    reach::Reach,
    settings::{Hook, Mail, Receiver, Settings, Smtp, SmtpSecurity, Url, UrlError, Webhook},
    timestamp::{Timestamp, TimestampError},
};

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Part of ordinary life.
    Info,
    /// Something that an operator asked for, or that mended itself.
    Notice,
    /// Something works less well than it should.
    Warning,
    /// Clients notice, or soon will.
    Critical,
}

impl Severity {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Notice, Self::Warning, Self::Critical];

    /// The word for it, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text is not the name of a severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no severity: expected info, notice, warning or critical")]
pub struct UnknownSeverity(String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    fn from_str(text: &str) -> Result<Self, UnknownSeverity> {
        let found = Self::ALL.into_iter().find(|severity| severity.name() == text);
        found.ok_or_else(|| UnknownSeverity(text.to_owned()))
    }
}

/// A kind of event: what scripts and filters know it by.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Family, a dot, and what happened; never changes.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it means, for the documentation.
    pub meaning: &'static str,
}

/// Whom an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// Name of the service, if it is about one or about a backend of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Name of the backend, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Whatever else it is about: an interface, a VIP, a path, a peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
}

impl Subject {
    /// A backend of a service.
    #[must_use]
    pub fn backend(service: &str, backend: &str) -> Self {
        Self {
            service: Some(service.to_owned()),
            backend: Some(backend.to_owned()),
            object: None,
        }
    }

    /// A service.
    #[must_use]
    pub fn service(service: &str) -> Self {
        Self {
            service: Some(service.to_owned()),
            ..Self::default()
        }
    }

    /// Something that has a name, but is no part of a service.
    #[must_use]
    pub fn object(name: impl Into<String>) -> Self {
        Self {
            object: Some(name.into()),
            ..Self::default()
        }
    }
}

/// `web/web1`, `web`, `eth0`; nothing for the director itself.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.service, &self.backend, &self.object];
        let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        f.pad(&parts.join("/"))
    }
}

/// What a family of events has to say of each.
pub trait Describe {
    /// Its kind.
    fn kind(&self) -> &'static Kind;
    /// Whom it is about.
    fn subject(&self) -> Subject;
    /// The state before and after, where it is a change of state.
    fn change(&self) -> Option<(String, String)> {
        None
    }
    /// Why, as a sentence without a full stop; empty where there is nothing to add.
    fn reason(&self) -> String;
    /// All of it in one line for people, without the time and the subject.
    fn text(&self) -> String;
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// To the director: its daemon, its configuration, its interfaces.
    Director(Director),
    /// To the way to a backend.
    Reach(Reach),
    /// To an order of an operator's.
    Order(Order),
    /// To the health of a backend.
    Backend(Backend),
    /// To the health of a service.
    Service(Service),
    /// To its part in the pair.
    Ha(super::ha::Event),
    /// To the synchronisation of connections.
    Sync(super::sync::Event),
}

impl What {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &'static Kind {
        self.family().kind()
    }

    fn family(&self) -> &dyn Describe {
        match self {
            Self::Director(event) => event,
            Self::Reach(event) => event,
            Self::Order(event) => event,
            Self::Backend(event) => event,
            Self::Service(event) => event,
            Self::Ha(event) => event,
            Self::Sync(event) => event,
        }
    }
}

impl From<Director> for What {
    fn from(event: Director) -> Self {
        Self::Director(event)
    }
}

impl From<Reach> for What {
    fn from(event: Reach) -> Self {
        Self::Reach(event)
    }
}

impl From<Order> for What {
    fn from(event: Order) -> Self {
        Self::Order(event)
    }
}

impl From<super::ha::Event> for What {
    fn from(event: super::ha::Event) -> Self {
        Self::Ha(event)
    }
}

impl From<super::sync::Event> for What {
    fn from(event: super::sync::Event) -> Self {
        Self::Sync(event)
    }
}

impl From<Backend> for What {
    fn from(event: Backend) -> Self {
        Self::Backend(event)
    }
}

impl From<Service> for What {
    fn from(event: Service) -> Self {
        Self::Service(event)
    }
}

/// Every kind there is, by family.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    let families = [
        director::KINDS,
        reach::KINDS,
        backend::KINDS,
        backend::SERVICE_KINDS,
        order::KINDS,
        ha::KINDS,
        sync::KINDS,
    ];
    families.into_iter().flatten()
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counts up from 1 from the start of the daemon.
    pub number: u64,
    /// When, by the wall clock.
    pub time: Timestamp,
    /// What.
    pub what: What,
}

/// An event as scripts get it: in the API, in a webhook's body, on a hook's standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Counts up from 1 from the start of the daemon.
    pub number: u64,
    /// When, as RFC 3339 writes it, in UTC.
    pub time: Timestamp,
    /// Name of the [`Kind`].
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// Whom it is about: `service`, `backend`, `object`, as far as they apply.
    #[serde(flatten)]
    pub subject: Subject,
    /// The state before, where it is a change of state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The state after, where it is a change of state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why; may be empty.
    pub reason: String,
    /// All of it in one line for people, without the time and the subject.
    pub text: String,
}

impl From<&Event> for Record {
    fn from(event: &Event) -> Self {
        let family = event.what.family();
        let (from, to) = family.change().unzip();
        Self {
            number: event.number,
            time: event.time,
            kind: family.kind().name.to_owned(),
            severity: family.kind().severity,
            subject: family.subject(),
            from,
            to,
            reason: family.reason(),
            text: family.text(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn kinds_have_names_of_their_own_that_filters_can_take_apart() {
        let mut names = BTreeSet::new();
        for kind in kinds() {
            assert!(names.insert(kind.name), "{} is there twice", kind.name);
            let (family, rest) = kind.name.split_once('.').expect("family.what");
            let good = |word: &str| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            };
            assert!(good(family) && good(rest), "{}", kind.name);
            assert!(
                !kind.meaning.is_empty() && kind.meaning.ends_with('.'),
                "{}",
                kind.name
            );
        }
    }

    #[test]
    fn severities_are_read_as_they_are_written() {
        for severity in Severity::ALL {
            assert_eq!(severity.name().parse(), Ok(severity));
        }
        assert!("loud".parse::<Severity>().is_err());
        assert!(Severity::ALL.is_sorted());
    }

    #[test]
    fn subjects_are_written_from_the_large_to_the_small() {
        assert_eq!(Subject::backend("web", "web1").to_string(), "web/web1");
        assert_eq!(Subject::service("web").to_string(), "web");
        assert_eq!(Subject::object("eth0").to_string(), "eth0");
        assert_eq!(Subject::default().to_string(), "");
    }
}
