//! What the operator sees of a living director.

use std::time::Duration;

use anyhow::Result;
use lb_tests::{
    Tandem,
    client::{Crowd, Dial, Greeting},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};

use crate::config;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn the_command_line_tells_what_happens() -> Result<()> {
    let lab = OneDirector::build("e2e-cli", 1, 3)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100, 200]))?;
    let crowd = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        400,
    )?;
    let six = Crowd::open(
        &lab.clients[0],
        &Dial::new((VIP6, 80).into(), Greeting::Http),
        100,
    )?;

    wait_for(Duration::from_secs(5), "a census that has seen all flows", || {
        tandem
            .ask(&["service"])
            .is_ok_and(|services| services[0]["flows"] == 500)
    })?;
    let services = tandem.ask(&["service"])?;
    assert_eq!(services[0]["name"], "web");
    assert_eq!(
        (&services[0]["backends"], &services[0]["backends_ready"]),
        (&3.into(), &3.into())
    );
    assert_eq!(services[0]["new_flows"], 500);

    let mut met = crowd.by_backend();
    for (backend, count) in six.by_backend() {
        *met.entry(backend).or_default() += count;
    }
    let backends = tandem.ask(&["backend"])?;
    for backend in backends.as_array().into_iter().flatten() {
        let name = backend["name"].as_str().unwrap_or_default();
        assert_eq!(backend["state"], "ready");
        assert_eq!(backend["flows"].as_u64(), met.get(name).copied(), "{name}");
        let share = backend["weight"].as_f64().unwrap_or_default() / 400.0;
        let got = backend["share"].as_f64().unwrap_or_default();
        assert!(
            (got - share).abs() < 0.01,
            "{name}: {got} of the slots instead of {share}"
        );
    }

    let flows = tandem.ask(&["flow", "--backend", "backend3", "--state", "established"])?;
    assert_eq!(
        flows.as_array().map(|flows| flows.len() as u64),
        met.get("backend3").copied()
    );
    assert_eq!(
        tandem.ask(&["flow", "--vip", &VIP6.to_string(), "--count"])?["flows"],
        100
    );

    let stats = tandem.ask(&["stats"])?;
    assert_eq!(stats["new_flows"], 500);
    let passed = |slug: &str| {
        let reasons = stats["reasons"].as_array().into_iter().flatten();
        reasons
            .filter(|reason| reason["slug"] == slug)
            .filter_map(|reason| reason["packets"].as_u64())
            .sum::<u64>()
    };
    assert!(
        passed("not_ip") > 0,
        "ARP reaches the program, and is the kernel's business"
    );
    assert_eq!(passed("no_backend") + passed("map_missing"), 0);

    let status = tandem.ask(&["status"])?;
    assert_eq!(
        (&status["name"], &status["interfaces"][0]["mode"]),
        (&"a".into(), &"native".into())
    );
    for object in ["service", "backend", "flow", "stats", "status"] {
        assert!(!tandem.show(&[object])?.is_empty(), "{object}");
    }
    Ok(())
}

#[test]
fn an_operator_ends_the_connections_that_are_chosen_and_no_others() -> Result<()> {
    let lab = OneDirector::build("e2e-cut", 1, 2)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let open = |vip: std::net::IpAddr| {
        let dial = Dial::new((vip, 80).into(), Greeting::Http);
        Crowd::open(&lab.clients[0], &dial, 50)
    };
    let (mut four, mut six) = (open(VIP4.into())?, open(VIP6.into())?);
    let client = lab.clients[0].ipv4().expect("hosts of the lab have one");
    let delete = |filter: &[&str]| -> Result<serde_json::Value> {
        Ok(tandem.ask(&[&["flow", "delete"][..], filter].concat())?["ended"].clone())
    };
    assert_eq!(delete(&["--older", "1h"])?, 0);
    assert_eq!(
        delete(&[
            "--client",
            &format!("{client}/32"),
            "--vip",
            &format!("{VIP4}:80")
        ])?,
        50
    );
    assert_eq!(
        (four.ask().kept, six.ask().kept),
        (0, 50),
        "reset, and left alone"
    );
    wait_for(PATIENCE, "the ended flows to be gone", || {
        tandem
            .ask(&["flow", "count", "--vip", &VIP4.to_string()])
            .is_ok_and(|count| count["flows"] == 0)
    })?;
    // Those that were forgotten are scheduled again: Maglev chooses the same backend, which knows them.
    assert_eq!(delete(&["--all", "--how", "forget"])?, 50);
    assert_eq!(six.ask().kept, 50);
    let said = tandem.tandem(&["flow", "delete"])?.output()?;
    assert_eq!(said.status.code(), Some(1));
    let events = tandem.ask(&["events", "--kind", "order.flows_cut"])?;
    assert_eq!(events.as_array().map(Vec::len), Some(3), "{events}");
    Ok(())
}

#[test]
fn doctor_finds_nothing_wrong_with_the_lab_and_detach_leaves_nothing() -> Result<()> {
    let lab = OneDirector::build("e2e-doctor", 1, 1)?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100]))?;
    let output = tandem.tandem(&["doctor"])?.output()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    tandem.process().terminate(Duration::from_secs(5))?;
    let addresses = || -> Result<String> {
        let output = lab
            .director
            .command("ip")?
            .args(["-o", "addr", "show", "dev", "eth0"])
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(addresses()?.contains(&VIP4.to_string()));
    for _ in 0..2 {
        let detached = Tandem::command(&lab.director)?.arg("--detach").output()?;
        assert!(
            detached.status.success(),
            "{}",
            String::from_utf8_lossy(&detached.stderr)
        );
    }
    assert!(!addresses()?.contains(&VIP4.to_string()));
    assert!(!lab.director.bpffs().join("tandem").exists());
    let link = lab
        .director
        .command("ip")?
        .args(["link", "show", "dev", "eth0"])
        .output()?;
    assert!(!String::from_utf8_lossy(&link.stdout).contains("xdp"));
    Ok(())
}

#[test]
fn a_configuration_is_shown_compared_applied_and_refused_with_the_reason() -> Result<()> {
    let lab = OneDirector::build("e2e-config", 0, 2)?;
    let good = config::web(&lab, &[100, 100]);
    let tandem = Tandem::start(&lab.director, &good)?;
    let run = |arguments: &[&str]| -> Result<(Option<i32>, String, String)> {
        let output = tandem.tandem(arguments)?.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    };

    // What is shown is a file that says the same.
    let (code, shown, _) = run(&["config"])?;
    assert_eq!(code, Some(0));
    assert!(
        shown.contains("flows_v4 = ") && shown.contains("[[service.backend]]"),
        "{shown}"
    );
    let copy = lab.director.run_dir().join("shown.toml");
    std::fs::write(&copy, &shown)?;
    let (code, said, _) = run(&["config", "diff", &copy.to_string_lossy()])?;
    assert_eq!((code, &*said), (Some(0), "no difference to what is in force\n"));
    assert_eq!(tandem.ask(&["config"])?["toml"], shown);

    // Nothing changes before somebody says so.
    Tandem::write_config(&lab.director, &config::web(&lab, &[100, 50]))?;
    let (code, said, _) = run(&["config", "diff"])?;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("- weight = 100") && said.contains("+ weight = 50"),
        "{said}"
    );
    assert_eq!(run(&["config"])?.1, shown);
    let (code, said, _) = run(&["config", "apply"])?;
    assert_eq!(
        (code, said.lines().last()),
        (Some(0), Some("in force, with 1 service"))
    );
    assert_eq!(tandem.ask(&["backend"])?[1]["effective_weight"], 50);
    assert_eq!(run(&["config", "diff"])?.0, Some(0));

    // Whoever asked learns what is wrong, and the old one stays.
    for (wrong, word) in [
        (good.replace("eth0", "eth7"), "eth7"),
        (good.replace("[[service", "[[servis"), "servis"),
        (good.replace("\"256k\"", "\"512k\""), "[limits]"),
    ] {
        Tandem::write_config(&lab.director, &wrong)?;
        let (code, _, said) = run(&["config", "apply"])?;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(word), "{said}");
        assert_eq!(tandem.ask(&["backend"])?[1]["effective_weight"], 50);
    }
    Ok(())
}
