//! Two results of the same benchmark beside each other: what has changed, and how sure that is.

mod chance;
mod samples;

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use self::{
    chance::chance,
    samples::{Samples, within},
};
use super::FORMAT;
use crate::bench::stats::Summary;

/// A difference that chance would make more often than this is none.
const CHANCE: f64 = 0.01;
/// Fewer samples than this on either side say nothing.
const FEWEST: usize = 5;

/// What is to be said of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was measured once on either side, so nobody knows.
    OneValue,
    /// It was measured a few times.
    TooFewSamples,
    /// Chance makes such a difference often.
    NoDifference,
    /// A difference, for the better.
    Better,
    /// A difference, for the worse.
    Worse,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneValue => "one value",
            Self::TooFewSamples => "too few samples",
            Self::NoDifference => "no difference",
            Self::Better => "better",
            Self::Worse => "WORSE",
        })
    }
}

/// What one row of two results says.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// What that comes to.
    pub verdict: Verdict,
}

impl Change {
    fn of(old: &Samples, new: &Samples) -> Option<Self> {
        let fewest = old.samples.len().min(new.samples.len());
        let chance = (fewest >= FEWEST).then(|| chance(&old.samples, &new.samples));
        let before = Summary::of(&old.samples)?.median;
        let after = Summary::of(&new.samples)?.median;
        Some(Self {
            name: old.name.clone(),
            before,
            after,
            chance,
            less_is_better: old.less_is_better,
            verdict: match chance {
                None if fewest == 1 => Verdict::OneValue,
                None => Verdict::TooFewSamples,
                Some(chance) if chance > CHANCE => Verdict::NoDifference,
                Some(_) if (after < before) == old.less_is_better => Verdict::Better,
                Some(_) => Verdict::Worse,
            },
        })
    }
}

/// Two results beside each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Rows that are in both.
    pub changes: Vec<Change>,
    /// What does not let them be compared without a thought.
    pub doubts: Vec<String>,
}

impl Comparison {
    /// Compares two results in files, as they are [kept](super::files).
    ///
    /// # Errors
    /// When they are no such results, or cannot be compared.
    pub fn of_files(before: &Path, after: &Path) -> Result<Self> {
        let read = |path: &Path| -> Result<Value> {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let result =
                serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))?;
            samples::of(&result).with_context(|| path.display().to_string())?;
            Ok(result)
        };
        Self::of(&read(before)?, &read(after)?)
    }

    /// Compares two results.
    ///
    /// # Errors
    /// When they are no such results, or cannot be compared.
    pub fn of(before: &Value, after: &Value) -> Result<Self> {
        ensure_alike(before, after)?;
        let (first, second) = (samples::of(before)?, samples::of(after)?);
        let changes: Vec<_> = first
            .iter()
            .filter_map(|old| Change::of(old, second.iter().find(|new| new.name == old.name)?))
            .collect();
        ensure!(
            !changes.is_empty(),
            "these results have no row in common: are they of the same benchmark, with the same cases?"
        );
        Ok(Self {
            changes,
            doubts: doubts(before, after),
        })
    }

    fn count(&self, verdict: Verdict) -> usize {
        let changes = self.changes.iter();
        changes.filter(|change| change.verdict == verdict).count()
    }
}

/// Whether both are of the same benchmark and in a form that is known. Those of older versions do not say, and are taken for it.
fn ensure_alike(before: &Value, after: &Value) -> Result<()> {
    let said = |what| Some((before[what].as_str()?, after[what].as_str()?));
    if let Some((before, after)) = said("benchmark")
        && before != after
    {
        bail!(
            "one is a result of `{before}`, the other of `{after}`: only results of the same benchmark can be compared"
        );
    }
    for result in [before, after] {
        if let Some(format) = result["format"].as_u64() {
            ensure!(
                format == u64::from(FORMAT),
                "a result is in format {format}, and this version compares results in format {FORMAT}: measure again, or compare with \
                 the version that measured (it is in the file: `tandem` of `machine`)"
            );
        }
    }
    Ok(())
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
                change.verdict
            )?;
        }
        let judged = self.changes.iter().filter(|change| change.chance.is_some());
        let judged = judged.count();
        writeln!(
            f,
            "{} better, {} worse, {} without a difference; chance alone would make {:.1} of {judged} look like one",
            self.count(Verdict::Better),
            self.count(Verdict::Worse),
            self.count(Verdict::NoDifference),
            judged as f64 * CHANCE
        )?;
        for doubt in &self.doubts {
            writeln!(f, "{doubt}")?;
        }
        Ok(())
    }
}

/// What is not the same about two results, and about those within them.
fn doubts(before: &Value, after: &Value) -> Vec<String> {
    let mut doubts = Vec::new();
    for what in ["machine", "settings", "tx", "rx"] {
        let different = differing(&before[what], &after[what]);
        if !different.is_empty() {
            doubts.push(format!("other {what}: {}", different.join(", ")));
        }
    }
    for (when, result) in [("before", before), ("after", after)] {
        let rows = result["rows"].as_array().into_iter().flatten();
        let noisy: Vec<_> = rows
            .filter(|row| row["noisy"] == true)
            .filter_map(|row| row["name"].as_str())
            .collect();
        if !noisy.is_empty() {
            doubts.push(format!("NOISY {when}: {}", noisy.join("; ")));
        }
    }
    if before["benchmark"] == "live" {
        doubts.push(
            "these are packets that came anyway: other traffic costs otherwise, with the same program"
                .to_owned(),
        );
    }
    for (name, before) in within(before) {
        let inner = self::doubts(before, &after[name]).into_iter();
        doubts.extend(inner.map(|doubt| format!("{name}: {doubt}")));
    }
    doubts
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(rows: &Value, cpu: &str) -> Value {
        json!({ "machine": { "cpu": cpu }, "settings": { "flows": 1 }, "rows": rows })
    }

    fn before_and_after() -> (Value, Value) {
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
        (before, after)
    }

    #[test]
    fn each_row_is_judged_by_what_is_better_for_it() {
        let (before, after) = before_and_after();
        let comparison = Comparison::of(&before, &after).unwrap();
        let verdicts: Vec<_> = comparison
            .changes
            .iter()
            .map(|change| (change.name.as_str(), change.verdict))
            .collect();
        assert_eq!(
            verdicts,
            [
                ("time", Verdict::Worse),
                ("rate", Verdict::Better),
                ("same", Verdict::NoDifference),
                ("few", Verdict::TooFewSamples)
            ]
        );
        assert_eq!(comparison.doubts, ["other machine: cpu \"old\" and \"new\""]);
        let text = comparison.to_string();
        let counts =
            "1 better, 1 worse, 1 without a difference; chance alone would make 0.0 of 3 look like one";
        assert!(text.contains("WORSE\n") && text.contains(counts), "{text}");
        assert!(Comparison::of(&before, &json!({})).is_err());
    }

    #[test]
    fn results_within_results_are_compared_by_their_names() {
        let (before, after) = before_and_after();
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
        assert_eq!(find("fast: time").verdict, Verdict::Worse);
        assert_eq!(find("slow: time").verdict, Verdict::NoDifference);
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
        assert_eq!(time.unwrap().verdict, Verdict::Worse);
    }

    #[test]
    fn what_was_measured_once_is_shown_and_not_judged() {
        let of = |rate, delay| {
            json!({
                "rows": [{ "name": "came back", "samples": [1.0], "noisy": true }],
                "mpps_without_loss": rate,
                "delays": [{ "load": 0.5, "median_us": delay }],
                "tx": { "driver": "veth" },
            })
        };
        let comparison = Comparison::of(&of(1.0, 20.0), &of(2.0, 10.0)).unwrap();
        let seen: Vec<_> = comparison
            .changes
            .iter()
            .map(|change| (change.name.as_str(), change.before, change.verdict))
            .collect();
        assert_eq!(
            seen,
            [
                ("came back", 1.0, Verdict::OneValue),
                ("without loss", 1.0, Verdict::OneValue),
                ("µs at 50 % of that", 20.0, Verdict::OneValue),
            ]
        );
        assert_eq!(
            comparison.doubts,
            ["NOISY before: came back", "NOISY after: came back"]
        );
    }

    #[test]
    fn what_is_of_another_kind_or_form_is_not_compared() {
        let kept = |benchmark: &str, format: u32| {
            let mut result = before_and_after().0;
            result["benchmark"] = benchmark.into();
            result["format"] = format.into();
            result
        };
        let refusal = |before: &Value, after: &Value| Comparison::of(before, after).unwrap_err().to_string();
        let live = kept("live", FORMAT);
        let kinds = refusal(&kept("fastpath", FORMAT), &live);
        assert!(kinds.contains("`fastpath`, the other of `live`"), "{kinds}");
        let forms = refusal(&live, &kept("live", FORMAT + 1));
        assert!(forms.contains("a result is in format 2"), "{forms}");
        let comparison = Comparison::of(&live, &live).unwrap();
        assert!(comparison.doubts[0].contains("came anyway"), "{comparison}");
        // One of before there were names.
        Comparison::of(&live, &before_and_after().0).unwrap();
    }
}
