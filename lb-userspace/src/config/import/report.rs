//! What became of the statements of an old configuration.

use std::{collections::BTreeMap, fmt, rc::Rc};

use serde::{Serialize, Serializer};

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// As it was named.
    #[serde(serialize_with = "as_text")]
    pub file: Rc<str>,
    /// Counted from 1.
    pub line: usize,
}

fn as_text<S: Serializer>(file: &Rc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(file)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It says the same in our words.
    Translated,
    /// Something like it stands there; how it differs is said.
    Approximated,
    /// Nothing was made of it; why is said.
    Ignored,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Translated => "translated",
            Self::Approximated => "approximated",
            Self::Ignored => "ignored",
        })
    }
}

/// A statement, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// The statement, shortened.
    pub statement: String,
    /// What became of it.
    pub fate: Fate,
    /// Whether the operator has to do something about it, or lives without what it did.
    pub attention: bool,
    /// What it became, how that differs, or why it became nothing.
    pub why: String,
}

/// All notes, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Report(pub(super) Vec<Note>);

/// Longest part of a statement that is shown, in characters.
const MOST_SHOWN: usize = 60;

impl Report {
    /// The notes.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.0
    }

    /// How many statements met this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.0.iter().filter(|note| note.fate == fate).count()
    }

    /// How many statements the operator has to look at.
    #[must_use]
    pub fn attention(&self) -> usize {
        self.0.iter().filter(|note| note.attention).count()
    }

    /// Puts the notes into the order of the lines; files come in the order in which they are first noted.
    pub(super) fn sort(&mut self) {
        let mut order = BTreeMap::new();
        for note in &self.0 {
            let next = order.len();
            order.entry(Rc::clone(&note.place.file)).or_insert(next);
        }
        self.0
            .sort_by_key(|note| (order[&note.place.file], note.place.line));
    }

    pub(super) fn enter(&mut self, place: &Place, statement: &str, outcome: Outcome) {
        let mut shown: String = statement.chars().filter(|c| !c.is_control()).collect();
        if shown.chars().count() > MOST_SHOWN {
            shown = shown.chars().take(MOST_SHOWN - 1).chain(['…']).collect();
        }
        self.0.push(Note {
            place: place.clone(),
            statement: shown,
            fate: outcome.fate,
            attention: outcome.attention,
            why: outcome.why,
        });
    }
}

/// What became of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) fate: Fate,
    pub(super) attention: bool,
    pub(super) why: String,
}

impl Outcome {
    /// Became `what`.
    pub(super) fn translated(what: impl Into<String>) -> Self {
        Self {
            fate: Fate::Translated,
            attention: false,
            why: what.into(),
        }
    }

    /// Became something like it; `why` says what, and how it differs.
    pub(super) fn approximated(why: impl Into<String>) -> Self {
        Self {
            fate: Fate::Approximated,
            attention: true,
            why: why.into(),
        }
    }

    /// Nothing is needed here for what it did.
    pub(super) fn needless(why: impl Into<String>) -> Self {
        Self {
            fate: Fate::Ignored,
            attention: false,
            why: why.into(),
        }
    }

    /// What it did is not done here.
    pub(super) fn missing(why: impl Into<String>) -> Self {
        Self {
            fate: Fate::Ignored,
            attention: true,
            why: why.into(),
        }
    }
}

/// What is to be said in the new file about statements of the old one, one comment for all that share a reason.
#[derive(Debug, Default)]
pub(super) struct Comments(Vec<(String, Vec<(Place, String)>)>);

impl Comments {
    /// Adds the statement, if the outcome needs attention.
    pub(super) fn add(&mut self, place: &Place, statement: &str, outcome: &Outcome) {
        if !outcome.attention {
            return;
        }
        let statement = (place.clone(), statement.to_owned());
        match self.0.iter_mut().find(|(why, _)| *why == outcome.why) {
            Some((_, statements)) => statements.push(statement),
            None => self.0.push((outcome.why.clone(), vec![statement])),
        }
    }

    /// Puts the comments of another behind these.
    pub(super) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// A comment each.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(why, statements)| {
            let mut last = None;
            let statements = statements.iter().map(|(place, statement)| {
                let file = if last == Some(&place.file) {
                    ""
                } else {
                    place.file.rsplit('/').next().unwrap_or_default()
                };
                last = Some(&place.file);
                format!("{file}:{} `{statement}`", place.line)
            });
            format!("{}: {why}", statements.collect::<Vec<_>>().join(", "))
        })
    }
}
