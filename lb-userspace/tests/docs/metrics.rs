//! `docs/metrics.md` is made from the table of metrics, and what is shipped for Prometheus and Grafana asks for nothing
//! else.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
};

use lb_userspace::metrics::{SECTIONS, metrics};
use serde_json::Value;

use crate::{read, root};

const PATH: &str = "docs/metrics.md";
const BLESS: &str = "TANDEM_BLESS";
/// What is in front of the tables.
const END_OF_TEXT: &str = "--test docs`. -->\n";

fn tables() -> String {
    let mut tables = String::new();
    for section in SECTIONS {
        let title = section.title;
        let _ = write!(
            tables,
            "\n### {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n"
        );
        for metric in section.metrics {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let like = match metric.like {
                "" => String::new(),
                like => format!(" (Elsewhere: `{like}`.)"),
            };
            let _ = writeln!(
                tables,
                "| `{}` | {} | {} | {}{like} |",
                metric.name,
                metric.kind.name(),
                labels.join(", "),
                metric.help
            );
        }
    }
    tables
}

#[test]
fn every_metric_is_explained() {
    let page = read(PATH);
    let at = page.find(END_OF_TEXT).expect("the mark before the tables") + END_OF_TEXT.len();
    let wanted = format!("{}{}", &page[..at], tables());
    if env::var_os(BLESS).is_some_and(|value| value == "1") {
        fs::write(root().join(PATH), &wanted).expect("the page can be written");
    }
    assert!(
        read(PATH) == wanted,
        "{PATH} is not what the code says: run this test again with {BLESS}=1, and commit what it writes"
    );
}

/// The words of a query that can be names, and with each what stands in braces behind it.
fn selectors(query: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(at) = rest.find("tandem_") {
        rest = &rest[at..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let inside = behind
            .strip_prefix('{')
            .and_then(|behind| behind.split_once('}'))
            .map_or("", |(inside, _)| inside);
        // Values hold no commas here.
        let labels = inside
            .split(',')
            .filter(|matcher| !matcher.is_empty())
            .map(|matcher| {
                let end = matcher.find(|c| !is_word(c)).unwrap_or(matcher.len());
                matcher[..end].to_owned()
            });
        found.push((name.to_owned(), labels.collect()));
        rest = behind;
    }
    found
}

/// Labels that Prometheus itself gives.
const GIVEN: [&str; 2] = ["instance", "job"];

fn check(place: &str, query: &str) -> usize {
    let known: BTreeMap<_, _> = metrics().map(|metric| (metric.name, metric.labels)).collect();
    let found = selectors(query);
    let mut available = BTreeSet::from(GIVEN);
    for (name, labels) in &found {
        let has = known.get(name.as_str());
        let has = has.unwrap_or_else(|| panic!("{place}: there is no {name}: {query}"));
        for label in labels {
            assert!(
                has.contains(&label.as_str()) || GIVEN.contains(&label.as_str()),
                "{place}: {name} has no label {label}: {query}"
            );
        }
        available.extend(*has);
    }
    for grouping in ["by (", "on ("] {
        for (at, _) in query.match_indices(grouping) {
            let labels = query[at + grouping.len()..].split(')').next().unwrap_or_default();
            for label in labels.split(',').map(str::trim) {
                assert!(available.contains(label), "{place}: no label {label}: {query}");
            }
        }
    }
    found.len()
}

#[test]
fn alerts_ask_for_what_there_is() {
    let rules = read("packaging/prometheus/tandem.rules.yml");
    let queries = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("expr: "));
    let found: usize = queries.map(|query| check("tandem.rules.yml", query)).sum();
    assert!(found >= 12, "only {found} metrics found");
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/tandem.json")).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let targets = panel["targets"].as_array().expect("targets");
        queries.extend(targets.iter().map(|target| text(&target["expr"])));
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if variable["type"] == "query" {
            queries.push(text(&variable["query"]["query"]));
        }
    }
    let found: usize = queries.iter().map(|query| check("tandem.json", query)).sum();
    assert!(found >= 14, "only {found} metrics found");
}
