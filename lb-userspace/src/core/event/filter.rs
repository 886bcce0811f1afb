//! Which events somebody wants to hear of.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Record, Severity, kinds};

/// A kind (`backend.down`), or all of a family (`backend.*`), or all there are (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// No kind of event is called like that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no kind of event is called `{0}`: docs/events.md lists them; `FAMILY.*` stands for all of a family, `*` for all"
)]
pub struct PatternError(String);

impl Pattern {
    /// Whether the kind of this name is meant.
    #[must_use]
    pub fn matches(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => kind.starts_with(prefix),
            None => kind == self.0,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let pattern = Self(text.to_owned());
        let form = match text.strip_suffix('*') {
            Some(prefix) => prefix.is_empty() || prefix.ends_with('.'),
            None => true,
        };
        if form && kinds().any(|kind| pattern.matches(kind.name)) {
            Ok(pattern)
        } else {
            Err(PatternError(text.chars().take(60).collect()))
        }
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Which events are meant: those for which everything that is given holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Filter {
    /// Any of these; where empty, all.
    pub kinds: Vec<Pattern>,
    /// At least as severe.
    pub severity: Option<Severity>,
    /// About this service, or a backend of it.
    pub service: Option<String>,
    /// About the backend of this name.
    pub backend: Option<String>,
}

impl Filter {
    /// Whether the event is meant.
    #[must_use]
    pub fn matches(&self, event: &Record) -> bool {
        (self.kinds.is_empty() || self.kinds.iter().any(|pattern| pattern.matches(&event.kind)))
            && self.severity.is_none_or(|least| event.severity >= least)
            && (self.service.is_none() || self.service == event.subject.service)
            && (self.backend.is_none() || self.backend == event.subject.backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::{Subject, Timestamp};

    fn event(kind: &str, severity: Severity) -> Record {
        Record {
            number: 1,
            time: Timestamp(0),
            kind: kind.to_owned(),
            severity,
            subject: Subject::backend("web", "web1"),
            from: None,
            to: None,
            reason: String::new(),
            text: String::new(),
        }
    }

    #[test]
    fn patterns_name_what_there_is() {
        for good in ["*", "director.*", "director.started"] {
            assert!(good.parse::<Pattern>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "director",
            "direct*",
            "director.",
            "nothing.*",
            "**",
            "*.started",
            "director.star*",
        ] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn everything_that_is_given_must_hold() {
        let filter = |kinds: &[&str], severity, service: Option<&str>, backend: Option<&str>| Filter {
            kinds: kinds.iter().map(|kind| kind.parse().unwrap()).collect(),
            severity,
            service: service.map(str::to_owned),
            backend: backend.map(str::to_owned),
        };
        let event = event("director.started", Severity::Notice);
        for (filter, expected) in [
            (Filter::default(), true),
            (filter(&["address.*", "director.*"], None, None, None), true),
            (filter(&["address.*"], None, None, None), false),
            (filter(&["*"], Some(Severity::Notice), None, None), true),
            (filter(&[], Some(Severity::Warning), None, None), false),
            (filter(&[], None, Some("web"), Some("web1")), true),
            (filter(&[], None, Some("web"), Some("web2")), false),
            (filter(&[], None, Some("dns"), None), false),
        ] {
            assert_eq!(filter.matches(&event), expected, "{filter:?}");
        }
    }
}
