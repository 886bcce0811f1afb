//! What of a kept result can be compared: lists of samples by name, and what was measured but once.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Something that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Samples {
    pub(super) name: String,
    pub(super) samples: Vec<f64>,
    pub(super) less_is_better: bool,
}

/// Results that a result is made of, as that of the quick set is, and their names.
pub(super) fn within(result: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let fields = result.as_object().into_iter().flatten();
    fields.filter(|(_, value)| value["rows"].is_array())
}

/// All of a result, and of those within it, behind their names.
pub(super) fn of(result: &Value) -> Result<Vec<Samples>> {
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
        all.extend(once(result, ""));
    }
    for (name, result) in within(result) {
        all.extend(of_result(result)?.into_iter().map(|samples| Samples {
            name: format!("{name}: {}", samples.name),
            ..samples
        }));
    }
    Ok(all)
}

fn of_rows(result: &Value) -> Result<Vec<Samples>> {
    let mut all = Vec::new();
    for row in result["rows"].as_array().context("there is a list of rows")? {
        let name = row["name"].as_str().context("a row has no name")?;
        all.push(of_row(row, name)?);
        all.extend(once(row, &format!("{name}: ")));
    }
    Ok(all)
}

/// Samples are nanoseconds, perhaps with a word on how still the machine was, or plain rates.
fn of_row(row: &Value, name: &str) -> Result<Samples> {
    let list = row["samples"]
        .as_array()
        .with_context(|| format!("the row {name} has no samples"))?;
    let timed = list.iter().any(Value::is_object);
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
}

/// The rate without loss, and how long packets take: there is one value of each.
fn once(of: &Value, before: &str) -> Vec<Samples> {
    let value = |name: String, value: Option<f64>, less_is_better| {
        Some(Samples {
            name: format!("{before}{name}"),
            samples: vec![value?],
            less_is_better,
        })
    };
    let rate = value("without loss".to_owned(), of["mpps_without_loss"].as_f64(), false);
    let delays = of["delays"].as_array().into_iter().flatten();
    let delays = delays.filter_map(|delay| {
        let load = delay["load"].as_f64()? * 100.0;
        value(
            format!("µs at {load:.0} % of that"),
            delay["median_us"].as_f64(),
            true,
        )
    });
    rate.into_iter().chain(delays).collect()
}
