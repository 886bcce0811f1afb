//! The text formats: OpenMetrics 1.0, and the one of Prometheus before it (0.0.4).

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use super::{Kind, Metric, Snapshot, metrics};

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The format of Prometheus, version 0.0.4.
    Plain,
}

impl Format {
    /// What a client asks for with its `Accept` header.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            Some(_) | None => Self::Plain,
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A number, as it is written.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// Whole.
    Whole(u64),
    /// With a fraction.
    Real(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Number {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<bool> for Number {
    fn from(truth: bool) -> Self {
        Self::Whole(truth.into())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

/// Where the samples of one metric go.
#[derive(Debug)]
pub struct Samples<'a> {
    metric: &'a Metric,
    text: &'a mut String,
    /// Labels that were there already: a scrape that has some twice is refused as a whole.
    seen: BTreeSet<String>,
}

impl Samples<'_> {
    /// A sample: the values of the metric's labels in their order, and the number. One whose labels were there already is
    /// left out.
    pub fn add(&mut self, labels: &[&str], number: impl Into<Number>) {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        let mut written = String::new();
        for (name, value) in self.metric.labels.iter().zip(labels) {
            let separator = if written.is_empty() { '{' } else { ',' };
            let _ = write!(written, "{separator}{name}=\"{}\"", Escaped(value));
        }
        if !written.is_empty() {
            written.push('}');
        }
        if self.seen.contains(&written) {
            return;
        }
        let _ = writeln!(self.text, "{}{written} {}", self.metric.name, number.into());
        self.seen.insert(written);
    }
}

/// A label's value as it is written.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

/// All metrics, as a scrape is answered.
#[must_use]
pub fn write(snapshot: &Snapshot, format: Format) -> String {
    let mut text = String::new();
    for metric in metrics() {
        let family = match format {
            Format::OpenMetrics => metric.family(),
            Format::Plain => metric.name,
        };
        let _ = writeln!(text, "# HELP {family} {}", metric.help);
        let _ = writeln!(text, "# TYPE {family} {}", metric.kind.name());
        (metric.read)(
            snapshot,
            &mut Samples {
                metric,
                text: &mut text,
                seen: BTreeSet::new(),
            },
        );
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

impl Metric {
    /// Its name without what its kind adds, as OpenMetrics has it.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge => self.name,
        }
    }
}
