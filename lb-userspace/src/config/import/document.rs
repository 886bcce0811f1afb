//! A TOML file with comments, as a person would write it.

use std::fmt::Write as _;

/// Longest line, in characters.
const WIDTH: usize = 110;

/// A file: comments at its top, then tables.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) comments: Vec<String>,
    pub(super) tables: Vec<Table>,
}

/// A table with its header: `[director]`, `[[service]]`.
#[derive(Debug, Default)]
pub(super) struct Table {
    header: String,
    comments: Vec<String>,
    keys: Vec<(String, String)>,
}

impl Table {
    pub(super) fn new(header: impl Into<String>) -> Self {
        Self {
            header: header.into(),
            ..Self::default()
        }
    }

    /// Adds a sentence above the header.
    pub(super) fn comment(&mut self, comment: impl Into<String>) -> &mut Self {
        self.comments.push(comment.into());
        self
    }

    /// Adds a key.
    pub(super) fn set(&mut self, key: &str, value: impl Into<toml::Value>) -> &mut Self {
        self.keys.push((key.to_owned(), written(key, &value.into())));
        self
    }
}

/// A value in one line; an array that is too long for that has its elements in lines of their own.
fn written(key: &str, value: &toml::Value) -> String {
    match value {
        toml::Value::Table(table) => {
            // What kind of thing it is comes first.
            let (kind, others): (Vec<_>, Vec<_>) = table.iter().partition(|(key, _)| *key == "type");
            let keys: Vec<String> = kind
                .into_iter()
                .chain(others)
                .map(|(key, value)| format!("{key} = {}", written(key, value)))
                .collect();
            format!("{{ {} }}", keys.join(", "))
        }
        toml::Value::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| written("", value)).collect();
            let line = format!("[{}]", values.join(", "));
            if key.len() + 3 + line.chars().count() <= WIDTH {
                return line;
            }
            values
                .iter()
                .fold("[\n".to_owned(), |text, value| text + "    " + value + ",\n")
                + "]"
        }
        plain => plain.to_string(),
    }
}

impl Document {
    pub(super) fn to_toml(&self) -> String {
        let mut text = String::new();
        for comment in &self.comments {
            write_comment(&mut text, comment);
        }
        for table in &self.tables {
            if !text.is_empty() {
                text.push('\n');
            }
            for comment in &table.comments {
                write_comment(&mut text, comment);
            }
            let _ = writeln!(text, "{}", table.header);
            for (key, value) in &table.keys {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    }
}

/// Breaks between words.
fn write_comment(text: &mut String, comment: &str) {
    let mut line = "#".to_owned();
    // What the old file says may be anything, a line feed included.
    for word in comment.split_whitespace() {
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = "#  ".to_owned();
        }
        line.push(' ');
        line.extend(word.chars().filter(|c| !c.is_control()));
    }
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_toml_that_says_the_same() {
        let many: Vec<String> = (0..20).map(|n| format!("192.0.2.{n}:80/tcp")).collect();
        let mut table = Table::new("[[service]]");
        table
            .comment("a \"quoted\" word\nand another line")
            .comment("x ".repeat(100))
            .set("name", "a\"b\\c\n")
            .set("listen", many.clone())
            .set("few", vec![1, 2])
            .set("check", toml::toml! { type = "http" rise = 2 });
        let document = Document {
            comments: vec!["top".into()],
            tables: vec![table],
        };
        let text = document.to_toml();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let read: toml::Table = text.parse().expect("TOML");
        let service = &read["service"][0];
        assert_eq!(service["name"].as_str(), Some("a\"b\\c\n"));
        assert_eq!(service["listen"].as_array().map(Vec::len), Some(many.len()));
        assert_eq!(service["check"]["rise"].as_integer(), Some(2));
    }
}
