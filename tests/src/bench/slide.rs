//! Those beside whom Tandem is measured, and Tandem, as bars.

use super::{
    machine::Machine,
    picture::{Bar, Picture},
    stats::Summary,
};

/// What Tandem's rows begin with.
const OWN: &str = "Tandem";

/// A picture of all of them.
#[must_use]
pub fn of_subjects(title: &str, unit: &str, machine: &Machine, rows: &[(&str, Summary)]) -> Picture {
    let bar = |(name, summary): &(&str, Summary)| Bar::of(name, summary, 2).own(name.starts_with(OWN));
    Picture::new(title)
        .panel(unit, rows.iter().map(bar).collect())
        .note(machine.note())
        .warning(rows.iter().map(|(_, summary)| summary.is_noisy()))
}
