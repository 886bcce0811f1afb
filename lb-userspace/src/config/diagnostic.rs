//! What is wrong with a configuration, shown where it is wrong: the place, the line, a caret under the
//! culprit, and what was expected there.

use std::{
    fmt::{self, Write as _},
    ops::Range,
};

/// More than this many diagnostics are counted, not shown.
const MAX_SHOWN: usize = 50;

/// Longest piece of a source line that is shown, in characters.
const MAX_LINE: usize = 150;

/// Longest piece of the operator's text that is quoted in a sentence, in characters.
const MAX_QUOTE: usize = 60;

/// Where a value is that was not read from any text.
pub(super) const NOWHERE: Range<usize> = 0..0;

/// The text that diagnostics point into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// What it is called in front of line and column.
    pub(super) name: String,
    /// The text: that of the file, and behind it those of the files that belong to it.
    pub(super) text: String,
    /// Where the text of each of these begins, and what it is called.
    parts: Vec<(usize, String)>,
    /// Whether line and column mean anything to the reader: in a file they do, in a list of arguments they do
    /// not.
    pub(super) numbered: bool,
}

impl Source {
    /// The text of a file.
    pub(super) fn file(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            parts: Vec::new(),
            numbered: true,
        }
    }

    /// Text that has no lines that anybody would know.
    pub(super) fn unnumbered(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            numbered: false,
            ..Self::file(name, text)
        }
    }

    /// Adds the text of another file behind what is there.
    pub(super) fn append(&mut self, other: Self) {
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.parts.push((self.text.len(), other.name));
        self.text.push_str(&other.text);
    }

    /// The file that the byte at `offset` is of: where its text begins, and its name.
    fn file_of(&self, offset: usize) -> (usize, &str) {
        let last = self.parts.iter().rev().find(|(start, _)| *start <= offset);
        last.map_or((0, &self.name), |(start, name)| (*start, name))
    }

    /// The part of `value`, which was read from `span`, that its byte range `part` covers. All of `span` if
    /// the text is not there word for word (a string with escapes).
    pub(super) fn part(&self, span: &Range<usize>, value: &str, part: Range<usize>) -> Range<usize> {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        // Between quotes of the same length, or none.
        let offset = raw.len().saturating_sub(value.len()) / 2;
        if raw.get(offset..offset + value.len()) == Some(value) {
            let start = span.start + offset;
            start + part.start..start + part.end
        } else {
            span.clone()
        }
    }

    /// The number of the line that holds the byte at `offset`, counted from 1.
    fn line(&self, offset: usize) -> usize {
        let (start, _) = self.file_of(offset);
        1 + self
            .before(offset)
            .get(start..)
            .unwrap_or_default()
            .matches('\n')
            .count()
    }

    /// Where `span` is, in a word.
    fn place(&self, span: &Range<usize>) -> String {
        if self.numbered && self.parts.is_empty() {
            format!("line {}", self.line(span.start))
        } else if self.numbered {
            let (_, name) = self.file_of(span.start);
            format!("{}:{}", printable(name), self.line(span.start))
        } else {
            quote(self.text.get(span.clone()).unwrap_or_default())
        }
    }

    fn before(&self, offset: usize) -> &str {
        self.text.get(..offset).unwrap_or(&self.text)
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Error,
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diagnostic {
    pub(super) severity: Severity,
    message: String,
    span: Option<Range<usize>>,
    label: String,
    notes: Vec<String>,
    /// Another place of the source that has to do with it, and what is there.
    related: Option<(Range<usize>, &'static str)>,
}

impl Diagnostic {
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span: None,
            label: String::new(),
            notes: Vec::new(),
            related: None,
        }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Underlines the bytes `span` of the source and writes `label` beside the line.
    ///
    /// The span `0..0`, of a value that was not read from the source, stands for no place.
    pub(super) fn at(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        if span == NOWHERE {
            return self.note(label);
        }
        self.span = Some(span);
        self.label = label.into();
        self
    }

    /// Adds a line of advice, or of where else to look.
    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds where else to look: `what` is at `span`.
    pub(super) fn related(mut self, span: Range<usize>, what: &'static str) -> Self {
        self.related = Some((span, what));
        self
    }

    fn write(&self, source: &Source, f: &mut impl fmt::Write) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", printable(&self.message))?;
        let gutter = match &self.span {
            None => {
                writeln!(f, " --> {}", printable(&source.name))?;
                " ".to_owned()
            }
            Some(span) => self.write_excerpt(source, span, f)?,
        };
        for note in &self.notes {
            writeln!(f, "{gutter} = {}", printable(note))?;
        }
        match &self.related {
            None => Ok(()),
            Some((span, what)) => writeln!(f, "{gutter} = {what}: {}", source.place(span)),
        }
    }

    /// Shows the line with the carets; returns what its number takes in blanks.
    fn write_excerpt(
        &self,
        source: &Source,
        span: &Range<usize>,
        f: &mut impl fmt::Write,
    ) -> Result<String, fmt::Error> {
        let excerpt = Excerpt::of(source, span);
        let number = if source.numbered {
            excerpt.line.to_string()
        } else {
            " ".to_owned()
        };
        let gutter = " ".repeat(number.len());
        write!(f, "{gutter}--> {}", printable(source.file_of(span.start).1))?;
        if source.numbered {
            write!(f, ":{}:{}", excerpt.line, excerpt.column)?;
        }
        writeln!(f, "\n{gutter} |\n{number} | {}", excerpt.text)?;
        write!(f, "{gutter} | {}{}", excerpt.indent, "^".repeat(excerpt.carets))?;
        if !self.label.is_empty() {
            write!(f, " {}", printable(&self.label))?;
        }
        writeln!(f)?;
        Ok(gutter)
    }
}

/// The line (or what is shown of a long one) that a span begins in.
struct Excerpt {
    /// Counted from 1.
    line: usize,
    /// Of the span's first character, counted from 1.
    column: usize,
    text: String,
    /// What goes in front of the first caret.
    indent: String,
    carets: usize,
}

impl Excerpt {
    fn of(source: &Source, span: &Range<usize>) -> Self {
        let before = source.before(span.start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = source.text[line_start..].lines().next().unwrap_or_default();
        let column = before[line_start..].chars().count();
        let covered = source.text.get(before.len()..span.end).unwrap_or_default();
        let covered = covered.lines().next().unwrap_or_default().chars().count();

        let length = line.chars().count();
        let skipped = if length <= MAX_LINE {
            0
        } else {
            column.saturating_sub(MAX_LINE / 3)
        };
        let shown = printable(&line.chars().skip(skipped).take(MAX_LINE).collect::<String>());
        let front = if skipped > 0 { "…" } else { "" };
        let back = if length > skipped + MAX_LINE { "…" } else { "" };
        let indent = front.chars().chain(shown.chars().take(column - skipped));
        Self {
            line: source.line(before.len()),
            column: column + 1,
            indent: indent.map(|c| if c == '\t' { '\t' } else { ' ' }).collect(),
            carets: covered.min(MAX_LINE.saturating_sub(column - skipped)).max(1),
            text: format!("{front}{shown}{back}"),
        }
    }
}

/// Everything that was found wrong with one configuration; its `Display` shows it as a compiler would, each
/// with place, line and caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    source: Source,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// In the order of the source; what concerns all of it comes first.
    pub(super) fn new(source: Source, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
        Self { source, diagnostics }
    }

    /// Whether there is nothing to report.
    pub const fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many things are wrong.
    pub const fn len(&self) -> usize {
        self.diagnostics.len()
    }

    /// What was examined: a path, or "command line".
    pub fn source_name(&self) -> &str {
        &self.source.name
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().take(MAX_SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            diagnostic.write(&self.source, f)?;
        }
        match self.diagnostics.len().checked_sub(MAX_SHOWN) {
            None | Some(0) => Ok(()),
            Some(more) => writeln!(f, "\n… and {more} more"),
        }
    }
}

/// The operator's own words in a sentence: in backticks, cut short if long.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    quoted.extend(text.chars().take(MAX_QUOTE));
    let rest = if text.chars().nth(MAX_QUOTE).is_some() {
        "…`"
    } else {
        "`"
    };
    quoted.push_str(rest);
    quoted
}

/// Text from a file as a terminal may see it: nothing in it moves the cursor or changes colours.
fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if c.is_control() && c != '\t' {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        };
        // A String takes every character.
        let _ = clean.write_char(c);
    }
    clean
}
