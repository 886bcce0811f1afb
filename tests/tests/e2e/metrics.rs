//! Metrics as Prometheus gets them from a living director.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{Crowd, Dial, Greeting},
    topology::{OneDirector, VIP4},
    wait_for,
};
use lb_userspace::metrics;

use crate::config;

const PATIENCE: Duration = Duration::from_secs(10);
const USUAL: &str = "http://127.0.0.1:8849/metrics";
const OPENMETRICS: &str = "Accept: application/openmetrics-text; version=1.0.0";

/// What curl gets on this host, or `None` if nobody answers there.
fn curl(host: &Host, arguments: &[&str]) -> Result<Option<String>> {
    let output = host
        .command("curl")?
        .args(["--silent", "--show-error", "--fail", "--max-time", "8"])
        .args(arguments)
        .output()?;
    if !output.status.success() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8(output.stdout)?))
}

fn scrape(host: &Host, arguments: &[&str]) -> Result<String> {
    curl(host, arguments)?.with_context(|| format!("nobody answers {arguments:?}"))
}

/// Samples by name and labels.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(sample, number)| Some((sample, number.parse().ok()?)))
        .collect()
}

/// Has promtool judge, with these arguments and this on its standard input.
fn promtool(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("it is piped")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "promtool {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn prometheus_gets_what_the_director_counts() -> Result<()> {
    let lab = OneDirector::build("e2e-metrics", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let director = &lab.director;
    let tandem = Tandem::start(director, &config::web(&lab, &[100, 300]))?;
    wait_for(PATIENCE, "metrics", || {
        matches!(curl(director, &[USUAL]), Ok(Some(_)))
    })?;
    let crowd = Crowd::open(&lab.clients[0], &Dial::new((VIP4, 80).into(), Greeting::Http), 80)?;
    wait_for(PATIENCE, "a census that has seen all flows", || {
        tandem
            .ask(&["service"])
            .is_ok_and(|services| services[0]["flows"] == 80)
    })?;

    let text = scrape(director, &[USUAL])?;
    promtool(&["check", "metrics"], &text)?;
    let found = samples(&text);
    for backend in tandem.ask(&["backend"])?.as_array().into_iter().flatten() {
        let word = |key: &str| backend[key].as_str().unwrap_or_default().to_owned();
        let labels = format!(
            "{{service=\"web\",backend=\"{}\",address=\"{}\"}}",
            word("name"),
            word("address")
        );
        for (metric, key) in [
            ("tandem_backend_connections_active", "active_flows"),
            ("tandem_backend_connections_total", "new_flows"),
            ("tandem_backend_incoming_packets_total", "packets"),
            ("tandem_backend_incoming_bytes_total", "bytes"),
            ("tandem_backend_weight", "effective_weight"),
            ("tandem_backend_share_ratio", "share"),
        ] {
            let got = found.get(format!("{metric}{labels}").as_str()).copied();
            assert_eq!(got, backend[key].as_f64(), "{metric}{labels} in {text}");
        }
    }
    for (sample, value) in [
        ("tandem_connections_total", 80.0),
        ("tandem_flows{family=\"ipv4\",state=\"established\"}", 80.0),
        ("tandem_service_backends_ready{service=\"web\"}", 2.0),
        ("tandem_interface_attached{interface=\"eth0\"}", 1.0),
        ("tandem_events_total{kind=\"director.started\"}", 1.0),
        ("tandem_events_total{kind=\"director.config_refused\"}", 0.0),
    ] {
        assert_eq!(found.get(sample), Some(&value), "{sample} in {text}");
    }

    // What the page documents is what there is.
    let socket = tandem.socket();
    let socket = socket.to_str().context("a plain path")?;
    let text = scrape(
        director,
        &[
            "--unix-socket",
            socket,
            "-H",
            OPENMETRICS,
            "http://tandem/v1/metrics",
        ],
    )?;
    ensure!(text.ends_with("# EOF\n"), "{text}");
    let told: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let documented: BTreeSet<_> = metrics::metrics().map(metrics::Metric::family).collect();
    assert_eq!(told, documented);
    drop(crowd);
    Ok(())
}

#[test]
fn metrics_are_where_the_configuration_says() -> Result<()> {
    let lab = OneDirector::build("e2e-scrape", 0, 1)?;
    let director = &lab.director;
    let at = |listen: &str| format!("{}\n[metrics]\nlisten = [{listen}]\n", config::web(&lab, &[100]));
    let answers = |url: &'static str| {
        wait_for(PATIENCE, format!("metrics at {url}"), || {
            matches!(curl(director, &["-g", url]), Ok(Some(_)))
        })
    };
    // An address that is not there yet keeps nothing from working.
    let tandem = Tandem::start(director, &at("\"10.99.0.1:9000\", \"[::1]:9000\""))?;
    answers("http://[::1]:9000/metrics")?;
    ensure!(curl(director, &[USUAL])?.is_none(), "nobody asked for this one");
    tandem.wait_until_it_says("cannot listen for scrapes")?;
    let add = ["address", "add", "10.99.0.1/32", "dev", "lo"];
    ensure!(
        director.command("ip")?.args(add).status()?.success(),
        "an address"
    );
    answers("http://10.99.0.1:9000/metrics")?;

    // Who connects and says nothing, or nonsense, is not waited for.
    let idle: Vec<TcpStream> = director.namespace().enter(|| {
        (0..40)
            .map(|_| TcpStream::connect("10.99.0.1:9000"))
            .collect::<Result<_, _>>()
    })??;
    answers("http://[::1]:9000/metrics")?;
    tandem.ask(&["status"])?;
    drop(idle);
    for path in ["/", "/v1/status", "/metrics/x"] {
        let url = format!("http://[::1]:9000{path}");
        ensure!(curl(director, &["-g", &url])?.is_none(), "{url}");
    }

    tandem.reload(&at("\"127.0.0.1:8849\""))?;
    answers(USUAL)?;
    ensure!(
        curl(director, &["-g", "http://[::1]:9000/metrics"])?.is_none(),
        "it was closed"
    );
    tandem.reload(&at(""))?;
    wait_for(PATIENCE, "the end of the last port", || {
        matches!(curl(director, &[USUAL]), Ok(None))
    })?;
    Ok(())
}

#[test]
fn prometheus_takes_the_alerts_and_raises_them() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = |path: &str| root.join(path).to_string_lossy().into_owned();
    promtool(
        &["check", "rules", &path("packaging/prometheus/tandem.rules.yml")],
        "",
    )?;
    promtool(&["test", "rules", &path("tests/tests/e2e/alerts.yml")], "")
}
