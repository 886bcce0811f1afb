//! From files to statements: what keepalived's parser does before it looks at a single keyword.
//!
//! Includes, conditions (`@id`), parameters (`$NAME=…`, in one line or several), sequences (`~SEQ`), lists (`~LST`).
//! See keepalived.conf(5), "Advanced configuration". A parameter is replaced when a line is read, not when it is defined.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    Options,
    line::{pieces, without_comment, words},
    sequence::{self, Repetition},
    statement::{Builder, Statement},
};
use crate::config::{
    MAX_FILE_SIZE,
    import::{ImportError, Place, report::Outcome},
};

/// Most lines that a configuration may expand to. keepalived's manual has an example of 65 024 instances of 13 lines.
const MOST_LINES: usize = 2_000_000;
/// Deepest nesting of includes, and of parameters in parameters.
const DEEPEST: usize = 50;
/// Longest line after replacement, in bytes.
const LONGEST_LINE: usize = 64 << 10;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The statements at the top.
    pub(super) statements: Vec<Statement>,
    /// What there was to say on the way.
    pub(super) notes: Vec<(Place, String, Outcome)>,
}

/// Reads a file and all that it includes.
///
/// # Errors
/// It cannot be read, or is broken beyond understanding. An included file that is missing is only noted.
pub(super) fn read(path: &Path, options: &Options) -> Result<Source, ImportError> {
    expand(path, options, MOST_LINES)
}

/// Reads what expands to no more than `lines_left` lines.
fn expand(path: &Path, options: &Options, lines_left: usize) -> Result<Source, ImportError> {
    let mut reader = Reader {
        options,
        parameters: BTreeMap::new(),
        directory: PathBuf::new(),
        builder: Builder::default(),
        notes: Vec::new(),
        lines_left,
    };
    reader.file(path, 0)?;
    Ok(Source {
        statements: reader.builder.finish()?,
        notes: reader.notes,
    })
}

struct Reader<'a> {
    options: &'a Options,
    /// Each has one line or more.
    parameters: BTreeMap<String, Vec<String>>,
    /// Of the file that is being read.
    directory: PathBuf,
    builder: Builder,
    notes: Vec<(Place, String, Outcome)>,
    lines_left: usize,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Result<(), ImportError> {
        let text = text(path)?;
        let name: Rc<str> = path.display().to_string().into();
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        let before = std::mem::replace(&mut self.directory, directory);
        let mut lines = text.lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            let place = Place {
                file: Rc::clone(&name),
                line: number,
            };
            let line = self.condition(without_comment(line));
            match definition(&line) {
                Some((parameter, value)) => {
                    let mut value = VecDeque::from([value]);
                    // In several lines: each but the last ends with a backslash. A blank line ends it too.
                    while let Some(part) = value.back_mut()
                        && let Some(kept) = part.strip_suffix('\\')
                    {
                        *part = kept.trim_end().to_owned();
                        match lines.next() {
                            Some((line, _)) if !line.trim().is_empty() => {
                                value.push_back(without_comment(line));
                            }
                            _ => break,
                        }
                    }
                    if value.len() > 1 {
                        value.retain(|part| !part.is_empty());
                    }
                    self.parameters.insert(parameter, value.into());
                }
                None => self.line(line, &place, depth)?,
            }
        }
        self.directory = before;
        Ok(())
    }

    /// What is left of a line after its condition: `@main …` is for the configuration called `main`, `@^main …` for all
    /// others.
    fn condition(&self, line: String) -> String {
        let Some(rest) = line.strip_prefix('@') else {
            return line;
        };
        let (negative, rest) = match rest.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        match rest.split_once(char::is_whitespace) {
            Some((name, rest)) if (name == self.options.config_id) != negative => {
                rest.trim_start().to_owned()
            }
            _ => String::new(),
        }
    }

    fn line(&mut self, line: String, place: &Place, depth: usize) -> Result<(), ImportError> {
        let too_deep = |problem: &str| ImportError::Syntax {
            place: place.clone(),
            problem: problem.to_owned(),
        };
        if depth > DEEPEST {
            return Err(too_deep("files or parameters that contain each other"));
        }
        let mut line = line;
        for _ in 0..DEEPEST {
            line = self.condition(line);
            if let Some((parameter, value)) = definition(&line) {
                self.parameters.insert(parameter, vec![value]);
                return Ok(());
            }
            if line.starts_with("~SEQ") || line.starts_with("~LST") {
                return self.repeat(&line, place, depth);
            }
            let Some(replaced) = self.replace(&line, place) else {
                return self.finished(&line, place, depth);
            };
            let mut parts = replaced.into_iter();
            line = parts.next().unwrap_or_default();
            if line.len() > LONGEST_LINE {
                return Err(too_deep(
                    "a line that grows without end when its parameters are replaced",
                ));
            }
            let more: Vec<String> = parts.collect();
            if !more.is_empty() {
                self.line(line, place, depth + 1)?;
                return more
                    .into_iter()
                    .try_for_each(|part| self.line(part, place, depth + 1));
            }
        }
        Err(too_deep("a parameter that contains itself"))
    }

    fn repeat(&mut self, line: &str, place: &Place, depth: usize) -> Result<(), ImportError> {
        let problem = |problem: String| ImportError::Syntax {
            place: place.clone(),
            problem,
        };
        let Repetition {
            parameters,
            rounds,
            rest,
        } = sequence::read(line).map_err(problem)?;
        for values in rounds {
            for (parameter, value) in parameters.iter().zip(values) {
                self.parameters.insert(parameter.clone(), vec![value]);
            }
            self.line(rest.clone(), place, depth + 1)?;
        }
        Ok(())
    }

    /// The line with its first known parameter replaced, perhaps by several lines; `None` if there is none.
    fn replace(&mut self, line: &str, place: &Place) -> Option<Vec<String>> {
        for (at, _) in line.match_indices('$') {
            let (name, argument, end) = match parameter(&line[at..]) {
                Some((name, argument, length)) => (name, argument, at + length),
                None => continue,
            };
            let Some(value) = self.value(name, argument, line, place) else {
                continue;
            };
            let mut parts = value.into_iter();
            let first = format!(
                "{}{}{}",
                &line[..at],
                parts.next().unwrap_or_default(),
                &line[end..]
            );
            return Some(std::iter::once(first).chain(parts).collect());
        }
        None
    }

    fn value(&mut self, name: &str, argument: &str, line: &str, place: &Place) -> Option<Vec<String>> {
        if let Some(value) = self.parameters.get(name) {
            return Some(value.clone());
        }
        let value = match name {
            "_PWD" => {
                let directory = std::path::absolute(&self.directory).unwrap_or_default();
                directory.display().to_string()
            }
            "_INSTANCE" => self.options.config_id.clone(),
            // What would begin a comment if it stood there by itself. Comments are gone by now.
            "_HASH" => "#".to_owned(),
            "_BANG" => "!".to_owned(),
            "_ENV" => std::env::var(argument.trim()).unwrap_or_default(),
            "_RANDOM" => {
                let least = argument.split_whitespace().next().unwrap_or("0").to_owned();
                let why = format!("a random number at each start there; {least} here");
                self.notes
                    .push((place.clone(), line.to_owned(), Outcome::approximated(why)));
                least
            }
            _ => return None,
        };
        Some(vec![value])
    }

    /// A line in which nothing is left to replace.
    fn finished(&mut self, line: &str, place: &Place, depth: usize) -> Result<(), ImportError> {
        if let Some(pattern) = include(line) {
            return self.include(pattern, line, place, depth);
        }
        for piece in pieces(line) {
            let wrong = |problem: &str| ImportError::Syntax {
                place: place.clone(),
                problem: problem.to_owned(),
            };
            let left = self.lines_left.checked_sub(1);
            self.lines_left = left.ok_or_else(|| wrong("the configuration expands to too many lines"))?;
            let words = words(piece).map_err(wrong)?;
            self.builder.take(place, piece, words)?;
        }
        Ok(())
    }

    fn include(&mut self, pattern: &str, line: &str, place: &Place, depth: usize) -> Result<(), ImportError> {
        let mut files = Vec::new();
        for pattern in sequence::braces(pattern) {
            let full = self.directory.join(pattern);
            let found = glob::glob(&full.to_string_lossy())
                .into_iter()
                .flatten()
                .flatten();
            files.extend(found.filter(|path| path.is_file()));
        }
        let outcome = match files.len() {
            0 => Outcome::missing("there is no such file"),
            1 => Outcome::translated("the file's statements, in place"),
            more => Outcome::translated(format!("the statements of {more} files, in place")),
        };
        self.notes.push((place.clone(), line.to_owned(), outcome));
        files.iter().try_for_each(|path| self.file(path, depth + 1))
    }
}

fn text(path: &Path) -> Result<String, ImportError> {
    let unreadable = |source| ImportError::Unreadable {
        path: path.into(),
        source,
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE_SIZE {
        let problem = format!("it has more than {} MiB", MAX_FILE_SIZE >> 20);
        return Err(unreadable(std::io::Error::other(problem)));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    // Only comments and passwords are anything but ASCII.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `$NAME=VALUE`
fn definition(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix('$')?.split_once('=')?;
    let name = name.trim_end();
    is_name(name).then(|| (name.to_owned(), value.trim_start().to_owned()))
}

/// The parameter at the beginning of `text`: its name, what follows the name in braces, and how long all of it is. Without
/// braces it has to be followed by a blank.
fn parameter(text: &str) -> Option<(&str, &str, usize)> {
    let rest = text.strip_prefix('$')?;
    if let Some(inner) = rest.strip_prefix('{') {
        let inner = &inner[..inner.find('}')?];
        let (name, argument) = inner.split_once(' ').unwrap_or((inner, ""));
        return is_name(name).then_some((name, argument, inner.len() + 3));
    }
    let length = rest.find(|c: char| !is_letter(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(length);
    let ends = after.chars().next().is_none_or(char::is_whitespace);
    (ends && is_name(name)).then_some((name, "", length + 1))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_letter)
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The files that a line includes. How strict the variants are (`includer` and so on) makes no difference here: what is
/// missing is noted.
fn include(line: &str) -> Option<&str> {
    let (keyword, pattern) = line.split_once(char::is_whitespace)?;
    matches!(
        keyword,
        "include" | "includer" | "includem" | "includew" | "includeb" | "includea"
    )
    .then(|| pattern.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_words_cannot_fill_the_memory() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("flood.conf");
        let text = "~SEQ(A, 1, 1000000) ~SEQ(B, 1, 1000000) a ${A} ${B}\n";
        fs::write(&path, text).expect("written");
        let options = Options {
            config_id: String::new(),
            interfaces: Vec::new(),
        };
        let error = expand(&path, &options, 1000).expect_err("too much");
        assert!(
            error
                .to_string()
                .ends_with("flood.conf:1: the configuration expands to too many lines"),
            "{error}"
        );
    }
}
