//! What `tandem trace` says is what becomes of a packet, and asking changes nothing.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Tandem,
    client::{Crowd, Dial, Greeting, Load, Rate},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};
use serde_json::Value;

use crate::config;

const PATIENCE: Duration = Duration::from_secs(10);

fn address(host: &Host, vip: IpAddr) -> IpAddr {
    let mut addresses = host.addresses().into_iter();
    addresses
        .find(|address| address.is_ipv4() == vip.is_ipv4())
        .expect("hosts of the lab have addresses of both families")
}

fn at(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn trace(tandem: &Tandem, from: &str, to: &str, more: &[&str]) -> Result<Value> {
    tandem.ask(&[&["trace", "--src", from, "--dst", to][..], more].concat())
}

fn step<'a>(view: &'a Value, step: &str) -> &'a str {
    let mut steps = view["steps"].as_array().into_iter().flatten();
    let found = steps.find(|found| found["step"] == step);
    found.and_then(|found| found["says"].as_str()).unwrap_or_default()
}

/// What must not change when somebody asks.
fn state(tandem: &Tandem) -> Result<Value> {
    let stats = tandem.ask(&["stats"])?;
    let counted = |list: &str, slug: &str| {
        let mut entries = stats[list].as_array().into_iter().flatten();
        entries.find(|entry| entry["slug"] == slug).cloned()
    };
    Ok(serde_json::json!([
        stats["new_flows"],
        counted("reasons", "no_service"),
        counted("reasons", "no_backend"),
        counted("events", "flow_created"),
        tandem.ask(&["flow", "count"])?,
        tandem.ask(&["backend"])?[0]["packets"],
    ]))
}

#[test]
fn a_packet_goes_where_trace_says_and_asking_leaves_no_trace() -> Result<()> {
    let lab = OneDirector::build("e2e-trace", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 100]))?;
    let client = &lab.clients[0];
    let before = state(&tandem)?;
    let mut met = std::collections::BTreeSet::new();
    for (vip, port) in [VIP4.into(), VIP6.into()].into_iter().flat_map(|vip: IpAddr| {
        // curl would not take a port for IPv6 that it had for IPv4 a moment ago.
        let first = if vip.is_ipv4() { 40_000 } else { 41_000 };
        (first..first + 4).map(move |port| (vip, port))
    }) {
        let (from, to) = (at(address(client, vip), port), at(vip, 80));
        let view = trace(&tandem, &from, &to, &[])?;
        ensure!(view["flow"].is_null() && view["action"] == "tx", "{view}");
        ensure!(view["events"] == serde_json::json!(["flow_created"]), "{view}");
        met.insert((
            port,
            view["backend"].as_str().context("a backend")?.to_owned(),
            to,
            vip,
        ));
    }
    ensure!(state(&tandem)? == before, "{before} and {}", state(&tandem)?);

    for (port, backend, to, _) in &met {
        let answer = client
            .command("curl")?
            .args([
                "-sS",
                "-o",
                "/dev/null",
                "-D",
                "-",
                "-g",
                "--local-port",
                &port.to_string(),
            ])
            .arg(format!("http://{to}/"))
            .output()?;
        let answer = String::from_utf8_lossy(&answer.stdout).to_ascii_lowercase();
        ensure!(
            answer.contains(&format!("x-backend: {backend}")),
            "{port} {to}: {backend}, and {answer}"
        );
    }
    ensure!(
        met.iter()
            .map(|(_, backend, ..)| backend)
            .collect::<std::collections::BTreeSet<_>>()
            .len()
            > 1,
        "{met:?}"
    );

    // What nobody forwards.
    let from = at(address(client, VIP4.into()), 40_100);
    for (to, action, reason, words) in [
        ("192.0.2.99:80".to_owned(), "pass", "not_vip", "no VIP"),
        (at(VIP4.into(), 81), "pass", "no_service", "left to the kernel"),
        (at(VIP4.into(), 0), "drop", "port_zero", "dropped"),
    ] {
        let view = trace(&tandem, &from, &to, &[])?;
        ensure!(view["action"] == action && view["reason"] == reason, "{view}");
        ensure!(view["steps"].to_string().contains(words), "{view}");
        ensure!(view["backend"].is_null(), "{view}");
    }
    let text = tandem.show(&[
        "trace",
        "--src",
        &from,
        "--dst",
        &at(VIP4.into(), 53),
        "--protocol",
        "udp",
    ])?;
    ensure!(
        text.contains("web listens at") && text.contains("verdict  XDP_TX"),
        "{text}"
    );
    let mixed = tandem
        .tandem(&["trace", "--src", &from, "--dst", &at(VIP6.into(), 80)])?
        .output()?;
    ensure!(mixed.status.code() == Some(1), "{mixed:?}");
    Ok(())
}

#[test]
fn trace_knows_flows_drains_and_what_translation_does() -> Result<()> {
    let lab = OneDirector::build("e2e-trace-flow", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let mut held = Crowd::open(&lab.clients[0], &dial, 1)?;
    let flow = tandem.ask(&["flow"])?[0].clone();
    let backend = flow["backend"].as_str().context("a backend")?;
    let (from, to) = (
        flow["client"].as_str().context("a client")?.to_owned(),
        flow["vip"].as_str().context("a VIP")?.to_owned(),
    );
    tandem.ask(&["backend", "drain", backend])?;
    let view = trace(&tandem, &from, &to, &["--flags", "ack"])?;
    ensure!(
        view["flow"]["state"] == "established" && view["backend"] == backend,
        "{view}"
    );
    ensure!(step(&view, "backend").contains("draining"), "{view}");
    ensure!(step(&view, "flow").starts_with("known: established"), "{view}");
    let other = trace(&tandem, &from.replace(':', "0:"), &to, &[])
        .or_else(|_| trace(&tandem, "192.0.2.77:4000", &to, &[]))?;
    ensure!(other["backend"] != backend && other["flow"].is_null(), "{other}");
    ensure!(held.ask().kept == 1);

    // Nobody is left; the flow is.
    let rest: Vec<&str> = ["backend1", "backend2"]
        .into_iter()
        .filter(|name| *name != backend)
        .collect();
    tandem.ask(&["backend", "drain", rest[0], "--force"])?;
    let view = trace(&tandem, "192.0.2.77:4000", &to, &[])?;
    ensure!(
        view["reason"] == "no_backend" && view["action"] == "drop",
        "{view}"
    );
    let view = trace(&tandem, &from, &to, &["--flags", "ack"])?;
    ensure!(view["backend"] == backend && view["reason"].is_null(), "{view}");
    tandem.ask(&["director", "ready"])?;

    // Another method of forwarding, and a client that keeps its backend.
    drop(held);
    let address = lab.backends[0].ipv4().context("an address")?;
    let nat = format!(
        "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"256k\"\nflows_v6 = \"256k\"\n\n[[service]]\n\
         name = \"nat\"\nlisten = [\"{VIP4}:80\"]\nforward = \"nat\"\n\n[[service.backend]]\nname = \"backend1\"\naddress = \
         \"{address}\"\nport = 8080\n"
    );
    tandem.reload(&nat)?;
    wait_for(PATIENCE, "the backend to be found", || {
        tandem
            .ask(&["backend"])
            .is_ok_and(|backends| backends[0]["state"] == "ready")
    })?;
    let view = trace(&tandem, "192.0.2.77:4000", &at(VIP4.into(), 80), &[])?;
    ensure!(
        view["result"]["destination"] == address.to_string() && view["result"]["destination_port"] == 8080,
        "{view}"
    );
    ensure!(step(&view, "forward").starts_with("nat: "), "{view}");
    Ok(())
}

/// Who keeps its backend keeps it in the copy, too, and so does a flow that is translated.
#[test]
fn trace_knows_what_clients_keep_and_how_flows_are_translated() -> Result<()> {
    let lab = OneDirector::build("e2e-trace-kept", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let kept = config::web(&lab, &[100, 100, 100]).replace(
        "name = \"web\"\n",
        "name = \"web\"\nscheduler = \"rr\"\npersistence = { timeout = \"5m\" }\n",
    );
    let tandem = Tandem::start(&lab.director, &kept)?;
    let client = address(&lab.clients[0], VIP4.into());
    let to = at(VIP4.into(), 80);
    let before = trace(&tandem, &at(client, 40_000), &to, &[])?;
    ensure!(step(&before, "client").is_empty(), "{before}");
    let crowd = Crowd::open(&lab.clients[0], &Dial::new((VIP4, 80).into(), Greeting::Http), 3)?;
    let met = crowd.by_backend();
    ensure!(met.len() == 1, "{met:?}");
    let backend = met.keys().next().context("a backend")?;
    for port in 41_000..41_003 {
        let view = trace(&tandem, &at(client, port), &to, &[])?;
        ensure!(view["backend"] == **backend && view["flow"].is_null(), "{view}");
        ensure!(step(&view, "client").contains(backend.as_str()), "{view}");
    }
    // By turns, everybody else may go elsewhere, and asking takes nobody's turn.
    let stranger = trace(&tandem, "192.0.2.77:4000", &to, &[])?;
    ensure!(step(&stranger, "client").is_empty(), "{stranger}");
    let again = trace(&tandem, "192.0.2.78:4000", &to, &[])?;
    ensure!(again["backend"] == stranger["backend"], "{stranger} {again}");
    Ok(())
}

#[test]
fn packets_are_followed_and_captured_while_others_notice_nothing() -> Result<()> {
    let lab = OneDirector::build("e2e-follow", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let client = &lab.clients[0];
    let rate = Rate {
        per_second: 100,
        hold: Duration::from_secs(1),
        ask_every: Duration::from_millis(200),
        most: 500,
    };
    let load = Load::start(client, &Dial::new((VIP6, 80).into(), Greeting::Http), &rate)?;
    let to = at(VIP4.into(), 80);
    let follow = tandem.tandem(&["trace", "--follow", "--dst", &to, "-j", "-n", "20"])?;
    let follow = lab.director.spawn("follow", follow)?;
    tandem.wait_until_it_says("packets are followed")?;
    let second = tandem.tandem(&["trace", "-f"])?.output()?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(
        second.status.code() == Some(1) && said.contains("somebody follows packets already"),
        "{said}"
    );
    let crowd = Crowd::open(client, &Dial::new((VIP4, 80).into(), Greeting::Http), 10)?;
    ensure!(crowd.len() == 10, "{:?}", crowd.failures());
    ensure!(follow.wait(PATIENCE)?.success(), "{}", follow.log());
    let log = follow.log();
    let packets: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(packets.len() == 20, "{log}");
    let address = address(client, VIP4.into()).to_string();
    for packet in &packets {
        let headers = &packet["headers"];
        ensure!(
            packet["moment"] == "out" && packet["action"] == "tx" && packet["out"] == "eth0",
            "{packet}"
        );
        ensure!(
            headers["source"] == address && headers["destination_port"] == 80,
            "{packet}"
        );
        ensure!(
            packet["bytes"].as_str().is_some_and(|bytes| bytes.len() >= 108),
            "{packet}"
        );
    }
    ensure!(
        packets.iter().any(|packet| packet["headers"]["flags"] == "syn"),
        "{log}"
    );
    tandem.wait_until_it_says("packets are no longer followed")?;

    // What nobody serves, as it comes in and as it goes to the kernel.
    let file = lab.director.run_dir().join("packets.pcapng");
    let path = file.to_str().context("a plain path")?;
    let nobody = at(VIP4.into(), 81);
    let capture = tandem.tandem(&[
        "capture",
        path,
        "--src",
        &format!("{address}/32"),
        "--dst",
        &nobody,
        "-n",
        "1",
    ])?;
    let capture = lab.director.spawn("capture", capture)?;
    let deadline = std::time::Instant::now() + 3 * PATIENCE;
    while capture.status().is_none() && std::time::Instant::now() < deadline {
        let refused = client
            .command("curl")?
            .args(["-s", "-m", "1"])
            .arg(format!("http://{nobody}/"))
            .status()?;
        ensure!(!refused.success());
    }
    ensure!(capture.wait(PATIENCE)?.success(), "{}", capture.log());
    ensure!(capture.log().contains("1 packets in "), "{}", capture.log());
    let read = std::process::Command::new("tshark")
        .arg("-r")
        .arg(&file)
        .args([
            "-T",
            "fields",
            "-e",
            "frame.interface_name",
            "-e",
            "tcp.dstport",
            "-e",
            "frame.comment",
        ])
        .output()?;
    let read = String::from_utf8_lossy(&read.stdout).into_owned();
    let lines: Vec<&str> = read.lines().collect();
    ensure!(
        lines.len() == 2 && lines.iter().all(|line| line.starts_with("eth0\t81\t")),
        "{read}"
    );
    ensure!(
        lines[0].ends_with("comes in") && lines[1].ends_with("XDP_PASS, no_service"),
        "{read}"
    );

    let tally = load.stop()?;
    ensure!(
        tally.opened > 50 && tally.failed.is_empty() && tally.broken.is_empty() && tally.moved == 0,
        "{tally:?}"
    );
    Ok(())
}

/// Fragments and errors find the flow, and limits say when they are reached.
#[test]
fn trace_shows_fragments_errors_and_floods() -> Result<()> {
    let lab = OneDirector::build("e2e-trace-shapes", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let limited = config::web(&lab, &[100, 100, 100]).replace(
        "name = \"web\"\n",
        "name = \"web\"\nflood = { syn_rate = 1000000, source_rate = 3 }\n",
    );
    let tandem = Tandem::start(&lab.director, &limited)?;
    for vip in [IpAddr::from(VIP4), VIP6.into()] {
        let (client, to) = (address(&lab.clients[0], vip), at(vip, 53));
        let from = at(client, 40_000);
        let asked = |shape: &str| trace(&tandem, &from, &to, &["--protocol", "udp", "--shape", shape]);
        let whole = asked("whole")?;
        ensure!(
            step(&whole, "flood") == "syn_rate 1000000, source_rate 3: neither is reached in this second",
            "{whole}"
        );
        for shape in ["first-fragment", "later-fragment"] {
            let part = asked(shape)?;
            ensure!(
                part["action"] == "tx" && part["backend"] == whole["backend"],
                "{part}"
            );
            ensure!(step(&part, "part").contains("fragment"), "{part}");
        }
        // Of a connection that nobody knows: it goes where the next packet of it would go.
        let stray = asked("error")?;
        ensure!(
            stray["action"] == "tx" && stray["backend"] == whole["backend"],
            "{stray}"
        );
        ensure!(
            step(&stray, "error").starts_with("about a reply from "),
            "{stray}"
        );
    }
    // An error about what a backend sent goes to that backend.
    let crowd = Crowd::open(&lab.clients[0], &Dial::new((VIP4, 80).into(), Greeting::Http), 1)?;
    let flow = tandem.ask(&["flow"])?[0].clone();
    let ends = ["client", "vip"].map(|end| flow[end].as_str().unwrap_or_default().to_owned());
    let error = trace(&tandem, &ends[0], &ends[1], &["--shape", "error"])?;
    ensure!(
        error["action"] == "tx" && error["backend"] == flow["backend"],
        "{error}"
    );
    drop(crowd);

    // Beyond what a client may begin in a second: some of those that ask meanwhile are told so.
    let client = at(address(&lab.clients[0], VIP4.into()), 45_000);
    wait_for(3 * PATIENCE, "the limit to be reached", || {
        let knocked = knock(&lab.clients[0]).is_ok();
        knocked
            && trace(&tandem, &client, &at(VIP4.into(), 80), &[]).is_ok_and(|view| {
                view["reason"] == "source_flood"
                    && step(&view, "flood").ends_with("the client has begun more in this second")
            })
    })?;
    let wrong = tandem
        .tandem(&[
            "trace",
            "--src",
            &client,
            "--dst",
            &at(VIP4.into(), 80),
            "--shape",
            "round",
        ])?
        .output()?;
    ensure!(wrong.status.code() == Some(2), "{wrong:?}");
    Ok(())
}

/// Some connections that come to nothing.
fn knock(client: &Host) -> Result<()> {
    let from = address(client, VIP4.into());
    client.enter(|| {
        for _ in 0..20 {
            let socket = std::net::UdpSocket::bind((from, 0))?;
            socket.send_to(b"knock", (VIP4, 53))?;
        }
        Ok(())
    })?
}

/// Who follows goes on when the configuration changes, and nothing is left when the daemon dies.
#[test]
fn a_follower_outlives_reloads_and_no_program_outlives_the_daemon() -> Result<()> {
    let lab = OneDirector::build("e2e-follow-on", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let good = config::web(&lab, &[100, 100]);
    let tandem = Tandem::start(&lab.director, &good)?;
    let client = &lab.clients[0];
    let to = at(VIP4.into(), 80);
    let follow = tandem.tandem(&["trace", "--follow", "--dst", &to, "-j"])?;
    let follow = lab.director.spawn("follow", follow)?;
    tandem.wait_until_it_says("packets are followed")?;
    let seen = || follow.log().lines().count();
    let expect_more = |why: &str| -> Result<()> {
        let before = seen();
        wait_for(PATIENCE, format!("packets to be told of {why}"), || {
            let answer = lb_tests::client::http::get(client, (VIP4, 80).into(), "/", PATIENCE);
            answer.is_ok() && seen() > before
        })
        .map(drop)
        .map_err(|timeout| anyhow::anyhow!("{timeout}; {}", follow.log()))
    };
    expect_more("at all")?;
    tandem.reload(&config::web(&lab, &[100, 1]))?;
    expect_more("after a reload")?;
    // The interface is given the program anew.
    lab.director.delete_interface("eth0")?;
    lab.director.recreate_interface("eth0")?;
    lab.director.interface("eth0")?.expect_xdp()?;
    expect_more("on another interface of that name")?;
    follow.ensure_running()?;

    tandem.process().kill()?;
    let ended = follow.wait(PATIENCE)?;
    ensure!(
        !ended.success(),
        "who follows is told that the daemon is gone: {}",
        follow.log()
    );
    let tandem = Tandem::start_again(&lab.director)?;
    let shown = lab
        .director
        .command("ip")?
        .args(["-d", "link", "show", "dev", "eth0"])
        .output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(
        shown.contains("name tandem ") && !shown.contains("tandem_watched"),
        "{shown}"
    );
    let again = tandem.tandem(&["trace", "--follow", "--dst", &to, "-n", "1"])?;
    let again = lab.director.spawn("again", again)?;
    wait_for(PATIENCE, "the next follower to be told of a packet", || {
        let answer = lb_tests::client::http::get(client, (VIP4, 80).into(), "/", PATIENCE);
        answer.is_ok() && again.status().is_some()
    })?;
    ensure!(again.wait(PATIENCE)?.success(), "{}", again.log());
    Ok(())
}
