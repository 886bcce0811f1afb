//! One line of a keepalived configuration: comments, braces, words.

/// The line without its comment and without blanks around it. A `!` or `#` in double quotes or after a backslash begins
/// none.
pub(super) fn without_comment(line: &str) -> String {
    let mut kept = String::new();
    let mut quoted = false;
    let mut chars = line.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next_if(|next| quoted || !matches!(next, '#' | '!')) {
                Some(next) => kept.extend([c, next]),
                None => match chars.next() {
                    Some(mark) => kept.push(mark),
                    None => kept.push(c),
                },
            },
            '"' => {
                quoted = !quoted;
                kept.push(c);
            }
            '#' | '!' if !quoted => {
                // A comment does not end a definition that goes on in the next line.
                if line.trim_end().ends_with('\\') {
                    kept.push('\\');
                }
                break;
            }
            _ => kept.push(c),
        }
    }
    kept.trim_end().to_owned()
}

/// The pieces of a line: `{` and `}` stand alone, unless in quotes or as part of `${…}`.
pub(super) fn pieces(line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let end = match brace(rest) {
            Some(0) => 1,
            Some(at) => at,
            None => rest.len(),
        };
        let (piece, after) = rest.split_at(end);
        pieces.push(piece.trim_end());
        rest = after.trim_start();
    }
    pieces
}

/// Where the first brace is.
fn brace(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut unknown_parameter = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' if before == '$' => unknown_parameter = true,
            '}' if unknown_parameter => unknown_parameter = false,
            '{' | '}' if !quoted => return Some(at),
            _ => {}
        }
        before = c;
    }
    None
}

/// Splits at blanks; what is in double or single quotes stays together, and a backslash in quotes is taken as in a shell.
///
/// # Errors
/// A quotation does not end.
pub(super) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(first) = chars.next() else {
            return Ok(words);
        };
        let mut word = String::new();
        if let quote @ ('"' | '\'') = first {
            loop {
                match chars.next() {
                    Some(c) if c == quote => break,
                    Some('\\') => word.push(escaped(&mut chars).ok_or("a quotation that does not end")?),
                    Some(c) => word.push(c),
                    None => return Err("a quotation that does not end"),
                }
            }
        } else {
            word.push(first);
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                word.push(c);
            }
        }
        words.push(word);
    }
}

fn escaped(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>, first: Option<char>, radix, most| {
        let mut value = first.and_then(|c| c.to_digit(radix)).unwrap_or(0);
        for _ in 0..most {
            let Some(c) = chars.next_if(|c| c.is_digit(radix)) else {
                break;
            };
            value = value * radix + c.to_digit(radix).unwrap_or(0);
        }
        char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    Some(match chars.next()? {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'E' => '\u{1b}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' => number(chars, None, 16, 2),
        c @ '0'..='7' => number(chars, Some(c), 8, 2),
        c => c,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments() {
        for (line, want) in [
            ("  a b  # c", "a b"),
            ("! all of it", ""),
            ("a \"# b\" ! c", "a \"# b\""),
            (r"a \# b # c", "a # b"),
            (r##"regex "a\"#b" # c"##, r##"regex "a\"#b""##),
            (r"a { \", r"a { \"),
            (r"a { # why \", r"a { \"),
            ("a\\", "a\\"),
        ] {
            assert_eq!(without_comment(line), want, "{line}");
        }
    }

    #[test]
    fn braces_stand_alone() {
        for (line, want) in [
            ("group {", &["group", "{"][..]),
            ("{ a b }", &["{", "a b", "}"]),
            ("a{b}c", &["a", "{", "b", "}", "c"]),
            ("a \"{\" {", &["a \"{\"", "{"]),
            ("10.0.${N}.1 {", &["10.0.${N}.1", "{"]),
            ("", &[]),
        ] {
            assert_eq!(pieces(line), want, "{line}");
        }
    }

    #[test]
    fn words_and_quotations() {
        let ok = |text: &str| words(text).expect("words");
        assert_eq!(ok("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(ok("notify \"/bin/x y\" 'z  w'"), ["notify", "/bin/x y", "z  w"]);
        assert_eq!(ok(r#"a "b\"c\x41\101\n""#), ["a", "b\"cAA\n"]);
        assert_eq!(ok("path \"\""), ["path", ""]);
        assert!(words("a \"b").is_err());
    }
}
