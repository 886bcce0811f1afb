//! What `tandem bench` keeps, draws and compares, and what it says of what it cannot.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use lb_tests::tandem::binary;
use serde_json::{Value, json};

use crate::canned::{Directory, Said};

/// Has something measured that prints JSON, with files of this name, and looks into them; what was printed.
pub(crate) fn expect_results(
    directory: &Path,
    name: &str,
    measure: impl FnOnce(&[&str]) -> Result<Said>,
) -> Result<Value> {
    let files = ["json", "csv", "svg", "png"].map(|kind| directory.join(name).with_extension(kind));
    let [json, csv, svg, png] = files.each_ref().map(|path| path.display().to_string());
    let said = measure(&["--output", &json, "--csv", &csv, "--svg", &svg, "--png", &png])?;
    ensure!(said.code == Some(0) && said.err.is_empty(), "{said:?}");
    let report = said.json()?;
    let [json, csv, svg, png] = files.map(fs::read);
    assert_eq!(serde_json::from_slice::<Value>(&json?)?, report);
    assert!(
        report["benchmark"].is_string() && report["machine"]["kernel"].is_string(),
        "{report}"
    );
    let (csv, svg) = (String::from_utf8(csv?)?, String::from_utf8(svg?)?);
    ensure!(csv.starts_with("table,row,quantity,sample,value\n"), "{csv}");
    for row in report["rows"].as_array().context("rows")? {
        let name = row["name"].as_str().context("a name")?;
        ensure!(csv.contains(name) && svg.contains(name), "{name}: {csv}{svg}");
    }
    ensure!(png?.starts_with(b"\x89PNG\r\n\x1a\n"), "no PNG of {svg}");
    Ok(report)
}

/// Two of them beside each other.
pub(crate) fn compare(directory: &Path, before: &str, after: &str, more: &[&str]) -> Result<Said> {
    let path = |name: &str| directory.join(name).with_extension("json");
    let mut command = Command::new(binary("tandem")?);
    command
        .args(["bench", "compare"])
        .args([path(before), path(after)]);
    Said::by(command.args(more))
}

/// A result of this benchmark, with one row.
fn result(benchmark: &str, format: u32, samples: &[f64]) -> Value {
    let mut machine = json!({ "cpu": "a CPU", "kernel": "6.18" });
    machine["pinned_to"] = json!(1);
    json!({
        "benchmark": benchmark,
        "format": format,
        "machine": machine,
        "settings": {},
        "rows": [{ "name": "came back", "samples": samples, "noisy": false }],
    })
}

#[test]
fn a_change_is_judged_and_what_cannot_be_compared_is_not() -> Result<()> {
    let results = Directory::new()?;
    let slow = [1.0, 1.1, 1.2, 1.3, 1.4];
    let fast = slow.map(|rate| rate + 1.0);
    for (name, text) in [
        ("slow", result("throughput", 1, &slow).to_string()),
        ("fast", result("throughput", 1, &fast).to_string()),
        ("live", result("live", 1, &slow).to_string()),
        ("newer", result("throughput", 2, &slow).to_string()),
        ("page", json!({ "services": [] }).to_string()),
        ("garbage", "\u{1f}\u{8b}{".to_owned()),
    ] {
        fs::write(results.path().join(name).with_extension("json"), text)?;
    }
    let of = |before, after| compare(results.path(), before, after, &[]);
    let better = of("slow", "fast")?.expect()?;
    ensure!(
        better.contains("0.79 %  better") && better.contains("1 better, 0 worse, 0 without a difference"),
        "{better}"
    );
    let worse = compare(results.path(), "fast", "slow", &["-j"])?.json()?;
    assert_eq!(worse["changes"][0]["verdict"], "worse", "{worse}");
    let same = of("slow", "slow")?.expect()?;
    ensure!(same.contains("no difference"), "{same}");
    for (before, after, words) in [
        (
            "slow",
            "live",
            "one is a result of `throughput`, the other of `live`",
        ),
        (
            "slow",
            "newer",
            "in format 2, and this version compares results in format 1",
        ),
        ("page", "slow", "page.json: this is no result of a benchmark"),
        ("slow", "garbage", "garbage.json is no JSON"),
        ("none", "slow", "cannot read"),
    ] {
        let said = of(before, after)?;
        ensure!(
            said.code == Some(1) && said.out.is_empty() && said.err.contains(words),
            "{words}: {said:?}"
        );
    }
    Ok(())
}

/// Nobody measures for minutes for what cannot be kept.
#[test]
fn what_could_not_be_kept_is_said_before_anything_is_measured() -> Result<()> {
    let directory = Directory::new()?;
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (kept, nowhere) = (path("kept"), path("none/kept"));
    fs::write(&kept, "of before")?;
    for (arguments, search, words) in [
        (&["--csv", nowhere.as_str()][..], "/usr/bin", "cannot write"),
        (
            &["--output", kept.as_str(), "--svg", kept.as_str()],
            "/usr/bin",
            "is named twice",
        ),
        (
            &["--output", kept.as_str(), "--png", path("new").as_str()],
            "/nowhere",
            "apt install librsvg2-bin",
        ),
    ] {
        for verb in [
            &["fastpath", "--flows", "50000"][..],
            &["throughput", "--tx", "lo"],
        ] {
            let mut command = Command::new(binary("tandem")?);
            command
                .env("PATH", search)
                .arg("bench")
                .args(verb)
                .args(arguments);
            let said = Said::by(&mut command)?;
            ensure!(
                said.code == Some(1) && said.out.is_empty() && said.err.contains(words),
                "{words}: {said:?}"
            );
        }
        assert_eq!(fs::read_to_string(&kept)?, "of before");
        ensure!(!fs::exists(path("new"))?, "there is a file of no result");
    }
    // What was not measured leaves no file either.
    let mut command = Command::new(binary("tandem")?);
    command.args([
        "bench",
        "fastpath",
        "--filter",
        "nonsense",
        "--output",
        &path("new"),
    ]);
    let said = Said::by(&mut command)?;
    ensure!(said.code == Some(1) && !fs::exists(path("new"))?, "{said:?}");
    Ok(())
}
