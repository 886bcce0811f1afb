//! From the verdicts of a backend's checks to its health.

use super::{Require, Share, Start, Verdict};
use crate::core::backend::{Agent, FULL, Health, Says};

/// What one check of a backend has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What it has come to.
    pub verdict: Verdict,
    /// What the backend wants, as of the latest success.
    pub says: Says,
    /// How much of its weight, as of the latest success.
    pub weight: Share,
}

impl Finding {
    /// Before the first outcome.
    pub const NONE: Self = Self {
        verdict: Verdict::Unknown,
        says: Says::Up,
        weight: Share::WHOLE,
    };
}

/// The health of a backend of this weight with these findings, and what it says of itself: of several that say something, the strictest
/// word and the smallest weight count.
#[must_use]
pub fn compose(weight: u32, findings: &[Finding], require: Require, start: Start) -> (Health, Agent) {
    if findings.is_empty() {
        return (Health::Unchecked, Agent::SILENT);
    }
    let good = |finding: &&Finding| match finding.verdict {
        Verdict::Up => true,
        Verdict::Down => false,
        Verdict::Unknown => start == Start::Up,
    };
    let needed = match require {
        Require::All => findings.len(),
        Require::Any => 1,
        Require::AtLeast(number) => number as usize,
    };
    let health = if findings.iter().filter(good).count() >= needed {
        Health::Up
    } else {
        Health::Down
    };
    let severity = |says: &Says| match says {
        Says::Up => 0,
        Says::Drain => 1,
        Says::Down => 2,
    };
    let says = findings.iter().map(|finding| finding.says).max_by_key(severity);
    let weight = findings.iter().map(|finding| finding.weight.of(weight)).min();
    let agent = Agent {
        says: says.unwrap_or(Says::Up),
        weight: weight.unwrap_or(FULL),
    };
    (health, agent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::backend::Factor;

    #[test]
    fn all_any_and_at_least() {
        use Verdict::{Down as D, Unknown as N, Up as U};
        for (verdicts, require, start, up) in [
            (&[U, U, U][..], Require::All, Start::Down, true),
            (&[U, D, U], Require::All, Start::Down, false),
            (&[U, N, U], Require::All, Start::Down, false),
            (&[U, N, U], Require::All, Start::Up, true),
            (&[D, D, U], Require::Any, Start::Down, true),
            (&[D, D, D], Require::Any, Start::Up, false),
            (&[D, N, D], Require::Any, Start::Up, true),
            (&[U, U, D], Require::AtLeast(2), Start::Down, true),
            (&[U, D, D], Require::AtLeast(2), Start::Down, false),
            (&[U, N, D], Require::AtLeast(2), Start::Up, true),
        ] {
            let findings: Vec<_> = verdicts
                .iter()
                .map(|&verdict| Finding {
                    verdict,
                    ..Finding::NONE
                })
                .collect();
            let expected = if up { Health::Up } else { Health::Down };
            assert_eq!(
                compose(100, &findings, require, start).0,
                expected,
                "{verdicts:?} {require:?} {start:?}"
            );
        }
        assert_eq!(
            compose(100, &[], Require::All, Start::Down),
            (Health::Unchecked, Agent::SILENT)
        );
    }

    #[test]
    fn the_strictest_word_and_the_smallest_weight_count() {
        let finding = |says, permille| Finding {
            verdict: Verdict::Up,
            says,
            weight: Share::Part(Factor::permille(permille)),
        };
        let found = [finding(Says::Up, 300), finding(Says::Drain, 1000), Finding::NONE];
        let (_, agent) = compose(100, &found, Require::All, Start::Up);
        assert_eq!((agent.says, agent.weight), (Says::Drain, Factor::permille(300)));
        let script = Finding {
            verdict: Verdict::Up,
            weight: Share::Weight(50),
            ..Finding::NONE
        };
        for (weight, permille) in [(100, 500), (200, 250), (50, 1000), (10, 5000), (0, 1000)] {
            let (_, agent) = compose(weight, &[script], Require::All, Start::Up);
            assert_eq!(agent.weight, Factor::permille(permille), "{weight}");
        }
    }
}
