//! Counting what test harnesses report.

use std::fmt;
use std::ops::AddAssign;

/// How the tests of one or of several harnesses ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// From libtest's closing line, `test result: ok. 12 passed; 0 failed; 0 ignored; …`.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |what: &str| {
            counts
                .split("; ")
                .find_map(|part| part.strip_suffix(what)?.trim_end().parse().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            ignored: count("ignored")?,
        })
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} ignored",
            self.passed, self.failed, self.ignored
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn closing_lines_are_counted_and_others_are_not() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.1s";
        assert_eq!(
            Tally::of_line(line),
            Some(Tally {
                passed: 12,
                failed: 3,
                ignored: 1
            })
        );
        for line in [
            "",
            "running 3 tests",
            "test result: ok",
            "test a::b ... ok",
            "test result: ok. x passed",
        ] {
            assert_eq!(Tally::of_line(line), None, "{line}");
        }
    }

    #[test]
    fn tallies_add_up() {
        let mut sum = Tally {
            passed: 1,
            failed: 2,
            ignored: 3,
        };
        sum += Tally {
            passed: 10,
            failed: 20,
            ignored: 30,
        };
        assert_eq!(sum.to_string(), "11 passed, 22 failed, 33 ignored");
    }
}
