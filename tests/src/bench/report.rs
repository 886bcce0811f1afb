//! What came out.

use super::{measure::Outcome, stats::Summary};

/// Prints.
pub fn print(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let Some(s) = Summary::of(&outcome.samples) else {
            continue;
        };
        let floor = outcome
            .case
            .floor
            .and_then(|name| outcomes.iter().find(|o| o.case.name == name));
        let above = floor.and_then(|floor| {
            let d: Vec<f64> = outcome
                .samples
                .iter()
                .zip(&floor.samples)
                .map(|(a, b)| a - b)
                .collect();
            Summary::of(&d)
        });
        println!(
            "{:28} {:8.1} {:8.1} .. {:8.1} {} {:?}",
            outcome.case.name,
            s.median,
            s.min,
            s.max,
            above.map_or(String::new(), |a| format!("{:8.1}", a.median)),
            outcome.case.target
        );
    }
}
