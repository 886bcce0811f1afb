//! Aligned columns.

use std::{
    borrow::Cow,
    io::{self, Write},
};

const GAP: &str = "  ";

/// To which side a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    /// For numbers.
    Right,
}

/// A column: its title, and its alignment.
pub(super) type Column = (Cow<'static, str>, Align);

/// A column of words.
pub(super) fn words(title: impl Into<Cow<'static, str>>) -> Column {
    (title.into(), Align::Left)
}

/// A column of numbers.
pub(super) fn numbers(title: impl Into<Cow<'static, str>>) -> Column {
    (title.into(), Align::Right)
}

/// A table that may be written in several parts; a later part may be wider than an earlier one.
pub(super) struct Table {
    aligns: Vec<Align>,
    widths: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table whose first row are the titles.
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        let (titles, aligns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let mut table = Self {
            widths: vec![0; aligns.len()],
            aligns,
            rows: Vec::new(),
        };
        table.row(titles.into_iter().map(Cow::into_owned).collect());
        table
    }

    /// Adds a row; one that is too short is filled with nothing.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = cell.chars().count().max(*width);
        }
        self.rows.push(cells);
    }

    /// Rows that were added and are not written yet.
    pub(super) fn pending(&self) -> usize {
        self.rows.len()
    }

    /// Writes the rows that were added since the last time.
    pub(super) fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        for row in self.rows.drain(..) {
            let mut line = String::new();
            for ((cell, &width), align) in row.iter().zip(&self.widths).zip(&self.aligns) {
                let padded = match align {
                    Align::Left => format!("{cell:<width$}{GAP}"),
                    Align::Right => format!("{cell:>width$}{GAP}"),
                };
                line.push_str(&padded);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([words("NAME"), numbers("N"), words("LAST")]);
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        table.row(row(&["a", "1000", "x"]));
        table.row(row(&["", "", "continued"]));
        table.row(row(&["ä", "7"]));
        let mut out = Vec::new();
        assert_eq!(table.pending(), 4);
        table.flush(&mut out).unwrap();
        assert_eq!(table.pending(), 0);
        table.row(row(&["longer", "8", "y"]));
        table.flush(&mut out).unwrap();
        let expected = "\
NAME     N  LAST
a     1000  x
            continued
ä        7
longer     8  y
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
