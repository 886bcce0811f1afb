//! Two results of the same benchmark beside each other: what has changed, and how sure that is.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::stats::Summary;

/// A difference that chance would make more often than this is none.
const CHANCE: f64 = 0.01;
/// Fewer samples than this on either side say nothing.
const FEWEST: usize = 5;

/// What one row of two results says.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The row's name.
    pub name: String,
    /// Median before.
    pub before: f64,
    /// Median after.
    pub after: f64,
    /// How often chance alone would make two rows differ so; `None` where there are too few samples.
    pub chance: Option<f64>,
    /// Whether less is better.
    pub less_is_better: bool,
}

impl Change {
    fn of(name: &str, before: &[f64], after: &[f64], less_is_better: bool) -> Option<Self> {
        let enough = before.len() >= FEWEST && after.len() >= FEWEST;
        Some(Self {
            name: name.to_owned(),
            before: Summary::of(before)?.median,
            after: Summary::of(after)?.median,
            chance: enough.then(|| chance(before, after)),
            less_is_better,
        })
    }

    fn verdict(&self) -> &'static str {
        match self.chance {
            None => "too few samples",
            Some(chance) if chance > CHANCE => "no difference",
            Some(_) if (self.after < self.before) == self.less_is_better => "better",
            Some(_) => "WORSE",
        }
    }
}

/// Two results beside each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Rows that are in both.
    pub changes: Vec<Change>,
    /// What does not let them be compared without a thought.
    pub doubts: Vec<String>,
}

impl Comparison {
    /// Compares two results, as `--json` writes them.
    ///
    /// # Errors
    /// When they are no such results, or of different benchmarks.
    pub fn of(before: &Value, after: &Value) -> Result<Self> {
        let (first, second) = (samples(before)?, samples(after)?);
        let changes: Vec<_> = first
            .iter()
            .filter_map(|old| {
                let new = second.iter().find(|new| new.name == old.name)?;
                Change::of(&old.name, &old.samples, &new.samples, old.less_is_better)
            })
            .collect();
        ensure!(
            !changes.is_empty(),
            "these results have no row in common: are they of the same benchmark?"
        );
        Ok(Self {
            changes,
            doubts: doubts(before, after),
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:46} {:>10} {:>10} {:>8} {:>8}",
            "median", "before", "after", "change", "chance"
        )?;
        for change in &self.changes {
            let chance = change.chance.map_or_else(String::new, |chance| {
                if chance < 0.0001 {
                    "<0.01 %".to_owned()
                } else {
                    format!("{:.2} %", chance * 100.0)
                }
            });
            writeln!(
                f,
                "{:46} {:>10.2} {:>10.2} {:>+7.1}% {chance:>8}  {}",
                change.name,
                change.before,
                change.after,
                (change.after / change.before - 1.0) * 100.0,
                change.verdict()
            )?;
        }
        for doubt in &self.doubts {
            writeln!(f, "{doubt}")?;
        }
        Ok(())
    }
}

struct Samples {
    name: String,
    samples: Vec<f64>,
    less_is_better: bool,
}

/// What is not the same about two results, and about those within them.
fn doubts(before: &Value, after: &Value) -> Vec<String> {
    let mut doubts = Vec::new();
    for what in ["machine", "settings"] {
        let different = differing(&before[what], &after[what]);
        if !different.is_empty() {
            doubts.push(format!("other {what}: {}", different.join(", ")));
        }
    }
    for (name, before) in within(before) {
        let inner = self::doubts(before, &after[name]).into_iter();
        doubts.extend(inner.map(|doubt| format!("{name}: {doubt}")));
    }
    doubts
}

/// Results that a result is made of, as that of the quick set is, and their names.
fn within(result: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let fields = result.as_object().into_iter().flatten();
    fields.filter(|(_, value)| value["rows"].is_array())
}

/// All rows of a result, and of those within it, behind their names.
fn samples(result: &Value) -> Result<Vec<Samples>> {
    let all = of_result(result)?;
    ensure!(
        !all.is_empty(),
        "this is no result of a benchmark that compares rows: it has no list `rows`"
    );
    Ok(all)
}

fn of_result(result: &Value) -> Result<Vec<Samples>> {
    let mut all = Vec::new();
    if result["rows"].is_array() {
        all = of_rows(result)?;
    }
    for (name, result) in within(result) {
        all.extend(of_result(result)?.into_iter().map(|samples| Samples {
            name: format!("{name}: {}", samples.name),
            ..samples
        }));
    }
    Ok(all)
}

/// Samples are nanoseconds with a word on how still the machine was, or plain rates.
fn of_rows(result: &Value) -> Result<Vec<Samples>> {
    let rows = result["rows"].as_array().context("there is a list of rows")?;
    rows.iter()
        .map(|row| {
            let name = row["name"].as_str().context("a row has no name")?;
            let list = row["samples"]
                .as_array()
                .with_context(|| format!("the row {name} has no samples"))?;
            let timed = list.iter().any(|sample| sample.is_object());
            let still: Vec<f64> = list
                .iter()
                .filter(|sample| sample["still"] == true)
                .filter_map(|sample| sample["nanoseconds"].as_f64())
                .collect();
            let all = list
                .iter()
                .filter_map(|sample| sample.as_f64().or_else(|| sample["nanoseconds"].as_f64()));
            let samples = if still.len() * 3 >= list.len() && timed {
                still
            } else {
                all.collect()
            };
            Ok(Samples {
                name: name.to_owned(),
                samples,
                less_is_better: timed,
            })
        })
        .collect()
}

fn differing(before: &Value, after: &Value) -> Vec<String> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else {
        return Vec::new();
    };
    before
        .iter()
        .filter(|(key, value)| after.get(*key) != Some(value))
        .map(|(key, value)| format!("{key} {value} and {}", after.get(key).unwrap_or(&Value::Null)))
        .collect()
}

/// The two-sided probability of the Mann-Whitney U test, with the normal distribution in place of the exact one and a
/// correction for ties: how often samples of one and the same quantity would lie at least so far apart.
fn chance(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = a
        .iter()
        .map(|&value| (value, true))
        .chain(b.iter().map(|&value| (value, false)))
        .collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (n, m) = (a.len() as f64, b.len() as f64);
    let total = n + m;
    let (mut ranks, mut ties, mut start) = (0.0, 0.0, 0);
    while start < all.len() {
        let end = start
            + all[start..]
                .iter()
                .take_while(|other| other.0 == all[start].0)
                .count();
        let rank = (start + 1 + end) as f64 / 2.0;
        ranks += rank * all[start..end].iter().filter(|(_, is_a)| *is_a).count() as f64;
        let equal = (end - start) as f64;
        ties += equal * equal * equal - equal;
        start = end;
    }
    let u = ranks - n * (n + 1.0) / 2.0;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    (2.0 * upper_tail(z)).min(1.0)
}

/// The probability that a standard normal variable exceeds `z`, to 7 digits (Abramowitz and Stegun, 26.2.17).
fn upper_tail(z: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] = [
        0.319_381_530,
        -0.356_563_782,
        1.781_477_937,
        -1.821_255_978,
        1.330_274_429,
    ];
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let sum = COEFFICIENTS
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    density * sum
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tail_is_that_of_the_tables() {
        for (z, tail) in [(0.0, 0.5), (1.0, 0.158_655), (1.959_964, 0.025), (3.0, 0.001_35)] {
            assert!((upper_tail(z) - tail).abs() < 1e-5, "{z}: {}", upper_tail(z));
        }
    }

    #[test]
    fn what_does_not_overlap_is_no_chance_and_what_does_is() {
        let low: Vec<f64> = (0..10).map(f64::from).collect();
        let high: Vec<f64> = (100..110).map(f64::from).collect();
        // The exact test says 2 / C(20, 10).
        assert!(chance(&low, &high) < 0.001);
        assert!(chance(&low, &low) > 0.9);
        assert_eq!(chance(&[1.0; 6], &[1.0; 6]), 1.0);
    }

    fn result(rows: &Value, cpu: &str) -> Value {
        json!({ "machine": { "cpu": cpu }, "settings": { "flows": 1 }, "rows": rows })
    }

    #[test]
    fn each_row_is_judged_by_what_is_better_for_it() {
        let nanoseconds = |from: i32| -> Vec<Value> {
            (from..from + 12)
                .map(|ns| json!({ "nanoseconds": ns, "still": true }))
                .collect()
        };
        let rates = |from: i32| (from..from + 12).collect::<Vec<_>>();
        let before = result(
            &json!([
                { "name": "time", "samples": nanoseconds(10) },
                { "name": "rate", "samples": rates(10) },
                { "name": "same", "samples": rates(10) },
                { "name": "few", "samples": [1, 2] },
                { "name": "gone", "samples": [1] },
            ]),
            "old",
        );
        let after = result(
            &json!([
                { "name": "time", "samples": nanoseconds(50) },
                { "name": "rate", "samples": rates(50) },
                { "name": "same", "samples": rates(10) },
                { "name": "few", "samples": [8, 9] },
            ]),
            "new",
        );
        let comparison = Comparison::of(&before, &after).unwrap();
        let verdicts: Vec<_> = comparison
            .changes
            .iter()
            .map(|change| (change.name.as_str(), change.verdict()))
            .collect();
        assert_eq!(
            verdicts,
            [
                ("time", "WORSE"),
                ("rate", "better"),
                ("same", "no difference"),
                ("few", "too few samples")
            ]
        );
        assert_eq!(comparison.doubts, ["other machine: cpu \"old\" and \"new\""]);
        assert!(Comparison::of(&before, &json!({})).is_err());
        // A result that is made of others.
        let comparison = Comparison::of(
            &json!({ "fast": before, "slow": before }),
            &json!({ "fast": after, "slow": before }),
        );
        let comparison = comparison.unwrap();
        let find = |name: &str| {
            comparison
                .changes
                .iter()
                .find(|change| change.name == name)
                .unwrap()
        };
        assert_eq!(find("fast: time").verdict(), "WORSE");
        assert_eq!(find("slow: time").verdict(), "no difference");
        assert_eq!(
            comparison.doubts,
            ["fast: other machine: cpu \"old\" and \"new\""]
        );
        assert!(Comparison::of(&before, &result(&json!([]), "old")).is_err());
        // A result within one of those.
        let nested = |inner: &Value| {
            let mut outer = before.clone();
            outer["by_flows"] = inner.clone();
            json!({ "fast": outer })
        };
        let comparison = Comparison::of(&nested(&before), &nested(&after)).unwrap();
        let time = comparison
            .changes
            .iter()
            .find(|change| change.name == "fast: by_flows: time");
        assert_eq!(time.unwrap().verdict(), "WORSE");
    }
}
