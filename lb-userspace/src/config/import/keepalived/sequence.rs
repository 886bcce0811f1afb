//! `~SEQ`, `~LST` and `{a,b}`: one line that stands for many.

/// A line that is read several times.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repetition {
    /// Which are set anew in each round.
    pub(super) parameters: Vec<String>,
    /// A value for each parameter, a round each.
    pub(super) rounds: Vec<Vec<String>>,
    /// The line.
    pub(super) rest: String,
}

/// Most rounds of one sequence.
const MOST_ROUNDS: usize = 1 << 20;

/// `~SEQ(VAR, [START,] [STEP,] END) LINE`, `~SEQx(…)` in hexadecimal, `~LST(VAR, VALUE…) LINE`, or
/// `~LST({VAR,VAR}, {VALUE,VALUE}…) LINE`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(line: &str) -> Result<Repetition, String> {
    let wrong = || format!("this is no sequence: {line}");
    let (name, rest) = line.split_once('(').ok_or_else(wrong)?;
    let (arguments, rest) = rest.split_once(')').ok_or_else(wrong)?;
    let (arguments, rest) = (arguments.trim(), rest.trim_start().to_owned());
    let (parameters, rounds) = match name.trim() {
        "~SEQ" => numbers(arguments, |number| number.to_string()),
        "~SEQx" => numbers(arguments, |number| format!("{number:x}")),
        "~LST" => list(arguments),
        _ => None,
    }
    .ok_or_else(wrong)?;
    Ok(Repetition {
        parameters,
        rounds,
        rest,
    })
}

type Rounds = Option<(Vec<String>, Vec<Vec<String>>)>;

fn numbers(arguments: &str, write: fn(i64) -> String) -> Rounds {
    let mut arguments = arguments.split(',').map(str::trim);
    let name = arguments.next()?.to_owned();
    let numbers: Vec<i64> = arguments.map(number).collect::<Option<_>>()?;
    let toward = |from: i64, to: i64| if from > to { -1 } else { 1 };
    let (start, step, end) = match *numbers {
        [end] => (end.signum(), end.signum(), end),
        [start, end] => (start, toward(start, end), end),
        [start, step, end] => (start, step, end),
        _ => return None,
    };
    if step == 0 {
        return None;
    }
    let mut rounds = Vec::new();
    let mut next = start;
    while if step > 0 { next <= end } else { next >= end } {
        rounds.push(vec![write(next)]);
        if rounds.len() > MOST_ROUNDS {
            return None;
        }
        next = next.checked_add(step)?;
    }
    Some((vec![name], rounds))
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn list(arguments: &str) -> Rounds {
    let mut groups = groups(arguments)?.into_iter();
    let parameters = groups.next()?;
    let rounds: Vec<_> = groups.collect();
    let complete = rounds.iter().all(|values| values.len() == parameters.len());
    (complete && !rounds.is_empty()).then_some((parameters, rounds))
}

/// `a, b` is two groups of one, `{a,b}, {c,d}` two of two.
fn groups(text: &str) -> Option<Vec<Vec<String>>> {
    let values = |text: &str| text.split(',').map(|value| value.trim().to_owned()).collect();
    let mut groups = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (group, after) = match rest.strip_prefix('{') {
            Some(inner) => {
                let (inner, after) = inner.split_once('}')?;
                (values(inner), after)
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (values(&rest[..end]), &rest[end..])
            }
        };
        groups.push(group);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Some(groups)
}

/// The names that a pattern with braces stands for, as csh has them: `{a,b{c,d}}` is `a`, `bc`, `bd`.
pub(super) fn braces(pattern: &str) -> Vec<String> {
    let Some((open, close)) = outermost(pattern) else {
        return vec![pattern.to_owned()];
    };
    let (before, after) = (&pattern[..open], &pattern[close + 1..]);
    alternatives(&pattern[open + 1..close])
        .into_iter()
        .flat_map(|alternative| braces(&format!("{before}{alternative}{after}")))
        .collect()
}

fn outermost(pattern: &str) -> Option<(usize, usize)> {
    let open = pattern.find('{')?;
    let mut depth = 0_usize;
    for (at, c) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some((open, at)),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn alternatives(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(line: &str) -> Vec<String> {
        let read = read(line).expect("a sequence");
        read.rounds.iter().map(|values| values.join(" ")).collect()
    }

    #[test]
    fn sequences() {
        assert_eq!(values("~SEQ(A, 0, 3) x"), ["0", "1", "2", "3"]);
        assert_eq!(values("~SEQ(A, 2) x"), ["1", "2"]);
        assert_eq!(values("~SEQ(A,-2) x"), ["-1", "-2"]);
        assert_eq!(values("~SEQ(A, 3, 1) x"), ["3", "2", "1"]);
        assert_eq!(values("~SEQ(A, 168, 2, 172) x"), ["168", "170", "172"]);
        assert_eq!(values("~SEQx(A, 0x90, 0x10, 0xc0) x"), ["90", "a0", "b0", "c0"]);
        assert_eq!(read("~SEQ(A, 1) ~SEQ(B, 2) x").expect("one").rest, "~SEQ(B, 2) x");
        for wrong in [
            "~SEQ",
            "~SEQ(A)",
            "~SEQ(A, x)",
            "~SEQ(A, 1, 0, 3)",
            "~SEQ(A, 9000000000)",
            "~SEX(A, 1)",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists() {
        assert_eq!(values("~LST(A, 1, b ,3) x"), ["1", "b", "3"]);
        assert_eq!(values("~LST({A, B}, {10,1},{20,4}) x"), ["10 1", "20 4"]);
        for wrong in ["~LST(A)", "~LST({A,B}, {1})", "~LST({A, 1)"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn braces_are_those_of_csh() {
        assert_eq!(braces("a{b,c}d"), ["abd", "acd"]);
        assert_eq!(
            braces("{foo/{,cat,dog},bar}"),
            ["foo/", "foo/cat", "foo/dog", "bar"]
        );
        assert_eq!(braces("{a,b}{c,d}"), ["ac", "ad", "bc", "bd"]);
        assert_eq!(braces("plain*"), ["plain*"]);
        assert_eq!(braces("a{b"), ["a{b"]);
    }
}
