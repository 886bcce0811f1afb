//! A stream of bytes, line by line.

use std::ops::ControlFlow;

/// Most bytes of a line of a dump.
const MAX_LINE: usize = 64 << 10;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
}

impl Lines {
    /// Calls `each` for every line that `piece` ends.
    pub(super) fn take(
        &mut self,
        mut piece: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<ControlFlow<()>, String>,
    ) -> Result<ControlFlow<()>, String> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let outcome = if self.rest.is_empty() {
                each(&piece[..end])?
            } else {
                self.rest.extend_from_slice(&piece[..end]);
                each(&std::mem::take(&mut self.rest))?
            };
            if outcome.is_break() {
                return Ok(outcome);
            }
            piece = &piece[end + 1..];
        }
        self.rest.extend_from_slice(piece);
        if self.rest.len() > MAX_LINE {
            return Err(format!("a line of more than {} KiB", MAX_LINE >> 10));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Confirms that the last line was whole.
    pub(super) fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err("the last line has no end".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            let outcome = lines.take(piece, |line| {
                found.push(String::from_utf8(line.to_vec()).unwrap());
                Ok(ControlFlow::Continue(()))
            });
            assert_eq!(outcome, Ok(ControlFlow::Continue(())));
        }
        (found, lines.end().is_ok())
    }

    #[test]
    fn a_line_may_come_in_pieces_but_not_grow_without_bound() {
        assert_eq!(
            cut(&[b"a\nb", b"", b"c\n"]),
            (vec!["a".into(), "bc".into()], true)
        );
        assert_eq!(cut(&[b"a\nb"]), (vec!["a".into()], false));
        let mut lines = Lines::default();
        let endless = [b'x'; MAX_LINE + 1];
        assert!(lines.take(&endless, |_| Ok(ControlFlow::Continue(()))).is_err());
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_where_the_pieces_end(text in "[a\n]{0,40}", size in 1..9_usize) {
            let pieces: Vec<_> = text.as_bytes().chunks(size).collect();
            prop_assert_eq!(cut(&pieces), cut(&[text.as_bytes()]));
        }
    }
}
