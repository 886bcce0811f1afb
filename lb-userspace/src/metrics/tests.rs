//! The table, and how it is written.

use std::{collections::BTreeSet, fs, path::Path};

use serde::de::DeserializeOwned;

use super::*;
use crate::notify::ReceiverView;

fn view<T: DeserializeOwned>(name: &str) -> T {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/testdata");
    let text = fs::read_to_string(directory.join(format!("{name}.json"))).expect("an example");
    serde_json::from_str(&text).expect("a view")
}

/// What the examples of the command line tell.
fn snapshot() -> Snapshot {
    Snapshot {
        status: view("status"),
        services: view("services"),
        backends: view("backends"),
        stats: view("stats"),
        ha: view("ha"),
        sync: view("sync"),
        orders: 2,
        events: vec![("director.started", 1), ("address.unreachable", 3)],
        receivers: vec![ReceiverView {
            name: "a \"b\"\\\n".to_owned(),
            kind: "hook".to_owned(),
            delivered: 3,
            failed: 1,
            lost: 0,
            last_error: None,
        }],
    }
}

#[test]
fn names_follow_the_rules() {
    let mut names = BTreeSet::new();
    for metric in metrics() {
        let name = metric.name;
        assert!(names.insert(metric.family()), "{name} is there twice");
        assert!(name.starts_with("tandem_"), "{name}");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        assert!(
            metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']),
            "{name}"
        );
        for label in metric.labels {
            assert!(
                // The first two would have a sample for each client; the others are Prometheus's own.
                !["client", "source", "instance", "job"].contains(label),
                "{name} has the label {label}"
            );
        }
    }
}

#[test]
fn every_metric_is_written_and_what_is_written_is_in_the_table() {
    let text = write(&snapshot(), Format::Plain);
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (sample, number) = line.rsplit_once(' ').expect("a number");
        assert!(number.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        let name = sample.split('{').next().unwrap_or_default();
        let metric = metrics().find(|metric| metric.name == name).expect(line);
        assert_eq!(sample.contains('{'), !metric.labels.is_empty(), "{line}");
        seen.insert(metric.name);
    }
    for metric in metrics() {
        assert!(seen.contains(metric.name), "the examples have no {}", metric.name);
        assert!(text.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.name())));
    }
}

#[test]
fn values_are_those_of_the_views() {
    let text = write(&snapshot(), Format::Plain);
    for line in [
        "tandem_backend_state{service=\"web\",backend=\"web2\",address=\"10.0.0.12\",state=\"draining\"} 1",
        "tandem_backend_weight{service=\"web\",backend=\"web2\",address=\"10.0.0.12\"} 0",
        "tandem_service_backends_ready{service=\"web\"} 2",
        "tandem_service_frontend_info{service=\"web\",frontend=\"[2001:db8::10]:80/tcp\"} 1",
        "tandem_events_total{kind=\"address.unreachable\"} 3",
        "tandem_event_receiver_failed_total{receiver=\"a \\\"b\\\"\\\\\\n\",kind=\"hook\"} 1",
        "tandem_orders 2",
        "tandem_backend_check_up{service=\"web\",backend=\"web1\",address=\"10.0.0.11\",check=\"http\"} 1",
        "tandem_backend_drain_connections{service=\"web\",backend=\"web2\",address=\"10.0.0.12\"} 3418",
        "tandem_heartbeat_heard{peer=\"b\",path=\"eth4\"} 0",
        "tandem_sync_peer_lag_seconds{peer=\"a\"} 0.00124",
        "tandem_sync_peer_diverging{peer=\"a\"} 3",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
}

#[test]
fn openmetrics_names_families_and_ends() {
    let text = write(&snapshot(), Format::OpenMetrics);
    assert!(text.contains("# TYPE tandem_connections counter\n"));
    assert!(text.contains("\ntandem_connections_total "));
    assert!(text.ends_with("\n# EOF\n"));
    assert!(!write(&snapshot(), Format::Plain).contains("# EOF"));
}

#[test]
fn a_label_set_is_written_once() {
    let mut snapshot = snapshot();
    let again = snapshot.backends.clone();
    let once = write(&snapshot, Format::OpenMetrics);
    snapshot.backends.extend(again);
    assert_eq!(write(&snapshot, Format::OpenMetrics), once);
}

#[test]
fn the_format_is_what_the_client_takes() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
    for accept in [None, Some("*/*"), Some("text/plain")] {
        assert_eq!(Format::accepted(accept), Format::Plain);
    }
}
