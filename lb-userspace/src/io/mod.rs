//! What the daemon needs to speak to the world beyond the kernel: TLS, HTTP, programs it runs, and files it replaces. Every wait,
//! every answer and every program is bounded.

pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod program;
mod stray;
pub(crate) mod tls;

/// Text from outside as a log or a mail header may carry it: one line, bounded, nothing that moves a cursor.
pub(crate) fn one_line(text: &str) -> String {
    const MOST: usize = 300;
    let clean = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = clean.take(MOST).collect();
    if text.trim().chars().nth(MOST).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_line_is_one_line_and_not_a_long_one() {
        assert_eq!(one_line(" a\r\nb\x1b[31m \n"), "a  b [31m");
        assert_eq!(one_line(&"ä".repeat(400)).chars().count(), 301);
    }
}
