//! What came out, for a slide.

use super::{
    in_words,
    report::{Report, Row},
};
use crate::bench::{
    picture::{Bar, Picture},
    stats::Summary,
};

impl Report {
    /// A bar for each case as long as what it costs above its floor, with the range of its samples above the floor's median; and one
    /// for each floor.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let (cases, floors): (Vec<_>, Vec<_>) = self.rows.iter().partition(|row| row.above_floor.is_some());
        let cases = cases.into_iter().filter_map(above);
        let floors = floors
            .into_iter()
            .map(|row| Bar::of(&row.name, &row.nanoseconds, 1));
        let settings = &self.settings;
        let of = settings.living.as_ref().map_or_else(
            || {
                format!(
                    "{} flows in each table, which is half full",
                    in_words(settings.flows)
                )
            },
            |living| format!("a copy of the director at {}", living.directory),
        );
        let (rounds, turn) = (settings.rounds, settings.turn_milliseconds);
        Picture::new("What a packet costs in the XDP program")
            .panel("nanoseconds above the floor", cases.collect())
            .more(
                "floors, which do next to nothing: nanoseconds in all",
                floors.collect(),
            )
            .note(format!(
                "{of}; {rounds} rounds of {turn} ms, lines from least to most"
            ))
            .note(self.machine.note())
            .warning(self.rows.iter().map(|row| row.noisy))
    }
}

/// `None` for a floor.
fn above(row: &Row) -> Option<Bar> {
    let above = row.above_floor?;
    let floor = row.nanoseconds.median - above;
    let of = |nanoseconds: f64| (nanoseconds - floor).max(0.0);
    let Summary {
        min,
        lower,
        median,
        upper,
        max,
    } = row.nanoseconds;
    let summary = Summary {
        min: of(min),
        lower: of(lower),
        median: of(median),
        upper: of(upper),
        max: of(max),
    };
    Some(Bar::of(&row.name, &summary, 1).own(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{fastpath::report::Settings, machine::Machine};

    #[test]
    fn cases_are_drawn_from_their_floor_on() {
        let row = |name: &str, floor: Option<&str>, nanoseconds: &[f64], above_floor| Row {
            name: name.to_owned(),
            nanoseconds: Summary::of(nanoseconds).unwrap(),
            still: nanoseconds.len(),
            mpps: 1.0,
            floor: floor.map(str::to_owned),
            above_floor,
            target: None,
            reached: None,
            evicting: 0.0,
            small: None,
            noisy: false,
            samples: Vec::new(),
        };
        let report = Report {
            machine: Machine::describe(0).unwrap(),
            settings: Settings {
                flows: 1_000_000,
                services: 512,
                rounds: 3,
                turn_milliseconds: 40.0,
                living: None,
            },
            rows: vec![
                row("floor", None, &[10.0; 3], None),
                row("case", Some("floor"), &[9.0, 30.0, 56.0], Some(20.0)),
            ],
            memory: None,
        };
        let svg = report.picture().svg();
        // The longest sample lies 46 ns above the floor, and one lies below it.
        assert!(svg.contains(">20.0<") && svg.contains("width=\"200.0\""), "{svg}");
        assert!(svg.contains("M220.0") && svg.contains("H680.0"), "{svg}");
        assert!(
            svg.contains(">10.0<") && svg.contains("1 M flows in each table"),
            "{svg}"
        );
    }
}
