//! From text to tables and keys: what `toml` and `serde` have to say against it, in our words.

use super::{
    diagnostic::{Diagnostic, quote},
    file::File,
};

/// Reads TOML, up to the first error in the syntax, of a wrong key, or of a wrong type.
pub(super) fn read(text: &str) -> Result<File, Box<Diagnostic>> {
    toml::from_str(text).map_err(|error| Box::new(explain(&error)))
}

fn explain(error: &toml::de::Error) -> Diagnostic {
    let message = error.message();
    let (problem, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let (problem, label) = if let Some(key) = problem.strip_prefix("unknown field ") {
        (format!("unknown key {}", shorten(key)), suggest(key, expected))
    } else if let Some(value) = problem.strip_prefix("unknown variant ") {
        (
            format!("unknown value {}", shorten(value)),
            suggest(value, expected),
        )
    } else if let Some(key) = problem.strip_prefix("missing field ") {
        (
            format!("the key {key} is missing"),
            format!("expected {key} in this table"),
        )
    } else if problem == "duplicate key" {
        (
            problem.to_owned(),
            "expected a key only once in a table".to_owned(),
        )
    } else if (problem, expected) == ("invalid type: map", "a sequence") {
        let label = "expected double brackets, [[…]]: there may be several of these";
        ("a single table".to_owned(), label.to_owned())
    } else if expected.is_empty() {
        (problem.to_owned(), String::new())
    } else {
        (
            problem.trim_end_matches(" as i128").to_owned(),
            format!("expected {}", type_name(expected)),
        )
    };
    let diagnostic = Diagnostic::error(problem);
    match error.span() {
        Some(span) => diagnostic.at(span, label),
        None if label.is_empty() => diagnostic,
        None => diagnostic.note(label),
    }
}

/// Serde's name for a type in the words of TOML.
fn type_name(expected: &str) -> &str {
    match expected {
        "i64" => "a whole number",
        "a sequence" => "an array: [ … ]",
        "literal string" => "a string in quotes",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

fn shorten(quoted: &str) -> String {
    quote(quoted.trim_matches('`'))
}

/// The known word nearest to `word`, or else all of them. Serde names them in backticks: "one of `a`, `b`".
fn suggest(word: &str, expected: &str) -> String {
    let word = word.trim_matches('`');
    let nearest = expected
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|known| (distance(word, known), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min();
    match nearest {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None if expected.is_empty() => "there is no such key".to_owned(),
        None => format!("expected {expected}"),
    }
}

/// How many letters must be put in, left out, changed or swapped with their neighbour to make `a` of `b`
/// (optimal string alignment). A word too long to be a slip of the pen is as far away as can be.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 2 * b.len() + 3 {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in [
            ("", "", 0),
            ("backend", "backend", 0),
            ("backends", "backend", 1),
            ("bakcend", "backend", 1),
            ("listne", "listen", 1),
            ("wight", "weight", 1),
            ("adress", "address", 1),
            ("", "abc", 3),
            ("weight", "listen", 6),
        ] {
            assert_eq!(distance(a, b), want, "{a:?} {b:?}");
            assert_eq!(distance(b, a), want, "{b:?} {a:?}");
        }
    }

    #[test]
    fn suggestions() {
        let known = "one of `name`, `listen`, `scheduler`, `backend`";
        for (word, want) in [
            ("`backends`", "did you mean `backend`?"),
            ("`sheduler`", "did you mean `scheduler`?"),
            ("`nmae`", "did you mean `name`?"),
            (
                "`check`",
                "expected one of `name`, `listen`, `scheduler`, `backend`",
            ),
        ] {
            assert_eq!(suggest(word, known), want);
        }
        assert_eq!(suggest("`wrr`", "`maglev`"), "expected `maglev`");
    }
}
