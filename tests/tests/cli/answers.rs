//! What is answered, as text and as JSON.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::wait_for_some;
use serde_json::Value;

use crate::canned::{PATIENCE, Said, Server, example, tandem};

/// Each command that shows what the daemon tells, and the example of it.
const OBJECTS: [(&str, &str); 8] = [
    ("status", "status"),
    ("service", "services"),
    ("backend", "backends"),
    ("flow", "flows"),
    ("stats", "stats"),
    ("order", "orders"),
    ("ha", "ha"),
    ("sync", "sync"),
];

#[test]
fn a_bare_object_is_shown_as_text_and_as_the_same_json() -> Result<()> {
    let server = Server::start()?;
    for (object, name) in OBJECTS {
        let text = server.ask(&[object])?.expect()?;
        assert_eq!(text, example(&format!("{name}.txt"))?, "{object}");
        let json: Value = serde_json::from_str(&example(&format!("{name}.json"))?)?;
        for option in ["-j", "--json"] {
            let said = server.ask(&[object, option])?.expect()?;
            assert_eq!(serde_json::from_str::<Value>(&said)?, json, "{object}");
        }
    }
    Ok(())
}

#[test]
fn words_may_be_shortened_while_they_are_unique() -> Result<()> {
    let server = Server::start()?;
    let whole = server.ask(&["service", "list"])?;
    for short in [&["se"][..], &["serv", "l"], &["service", "show"], &["se", "s"]] {
        assert_eq!(server.ask(short)?, whole, "{short:?}");
    }
    let said = server.ask(&["s"])?;
    assert_eq!(said.code, Some(2));
    ensure!(
        said.err
            .contains("`s` is ambiguous: status, service, sync, stats"),
        "{said:?}"
    );
    Ok(())
}

#[test]
fn one_is_shown_by_name_and_none_is_a_negative_answer() -> Result<()> {
    let server = Server::start()?;
    let names = |arguments: &[&str]| -> Result<Vec<String>> {
        let json = server.ask(&[arguments, &["-j"]].concat())?;
        ensure!(json.code == Some(0), "{json:?}");
        let json = json.json()?;
        let list = json.as_array().context("a list")?;
        Ok(list
            .iter()
            .map(|item| item["name"].as_str().unwrap_or_default().to_owned())
            .collect())
    };
    assert_eq!(names(&["service", "list", "dns"])?, ["dns"]);
    assert_eq!(names(&["backend", "list", "web2"])?, ["web2"]);
    assert_eq!(names(&["backend", "list", "10.0.0.53"])?, ["ns1"]);
    assert_eq!(names(&["backend", "--service", "dns"])?, ["ns1"]);
    assert_eq!(
        names(&["backend", "--service", "web"])?,
        ["web1", "web2", "web3", "10.0.0.19"]
    );
    for (arguments, complaint) in [
        (
            &["service", "list", "mail"][..],
            "no service is called `mail`; there are `web`, `dns`",
        ),
        (&["backend", "--service", "mail"], "no service is called `mail`"),
        (
            &["backend", "--service", "dns", "list", "web1"],
            "no backend is called `web1`; there is only `ns1`",
        ),
        (&["flow", "--service", "mail"], "no service is called `mail`"),
        (&["flow", "--backend", "web9"], "no backend is called `web9`"),
    ] {
        let said = server.ask(arguments)?;
        assert_eq!(said.code, Some(1), "{said:?}");
        ensure!(said.out.is_empty() && said.err.contains(complaint), "{said:?}");
    }
    Ok(())
}

#[test]
fn flows_are_chosen_limited_and_counted() -> Result<()> {
    let server = Server::start()?;
    for (filter, expected) in [
        (&[][..], 4),
        (&["--service", "web"], 2),
        (&["--backend", "web1"], 1),
        (&["--backend", "10.0.0.53"], 1),
        (&["--client", "2001:db8:c::7"], 1),
        (&["--vip", "192.0.2.10"], 2),
        (&["--state", "syn_recv"], 1),
        (&["--vip", "192.0.2.10", "--state", "close"], 0),
        (&["--limit", "3"], 3),
        (&["--client", "2001:db8:c::/48"], 1),
        (&["--vip", "192.0.2.10:80"], 2),
        (&["--vip", "192.0.2.10:81"], 0),
        (&["--protocol", "udp"], 1),
        (&["--older", "1h", "--idle", "1s"], 1),
        (&["--younger", "1s"], 1),
    ] {
        let ask = |more: &[&str]| server.ask(&[&["flow"][..], filter, more].concat());
        let text = ask(&[])?.expect()?;
        assert_eq!(text.lines().count(), expected + 1, "{filter:?}");
        let json = ask(&["-j"])?.json()?;
        assert_eq!(json.as_array().map(Vec::len), Some(expected), "{filter:?}");
        assert_eq!(
            ask(&["--count"])?.expect()?,
            format!("{expected}\n"),
            "{filter:?}"
        );
        assert_eq!(
            ask(&["--count", "-j"])?.expect()?,
            format!("{{\"flows\":{expected}}}\n")
        );
    }
    Ok(())
}

#[test]
fn flows_are_ended() -> Result<()> {
    let server = Server::start()?;
    let said = server.ask(&["flow", "delete", "--client", "198.51.100.0/24", "-n", "2"])?;
    assert_eq!(said.expect()?, "ended 2 flows\n");
    let said = server.ask(&["flow", "delete", "--all", "--how", "forget", "-j"])?;
    assert_eq!(said.json()?["ended"], 3);
    Ok(())
}

#[test]
fn what_is_watched_is_shown_until_the_reader_has_gone() -> Result<()> {
    let server = Server::start()?;
    let mut command = server.tandem(&["service", "--watch=0.05", "-j"])?;
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("it is piped")?).lines();
    let first = lines.next().context("a line")??;
    assert_eq!(lines.next().context("another line")??, first);
    assert_eq!(
        serde_json::from_str::<Value>(&first)?,
        serde_json::from_str::<Value>(&example("services.json")?)?
    );
    drop(lines);
    let status = wait_for_some(PATIENCE, "the end", || child.try_wait().ok().flatten())?;
    assert_eq!(status.code(), Some(0));
    for wrong in [
        &["flow", "delete", "--all", "--watch"][..],
        &["top", "-w"],
        &["events", "-f", "-w"],
    ] {
        assert_eq!(server.ask(wrong)?.code, Some(2), "{wrong:?}");
    }
    Ok(())
}

#[test]
fn scripts_that_read_ipvsadm_find_what_they_look_for() -> Result<()> {
    let server = Server::start()?;
    let text = server.ask(&["service", "--ipvsadm"])?.expect()?;
    ensure!(text.starts_with("IP Virtual Server version "), "{text}");
    // As they take it apart.
    let backends = text.lines().skip(3).filter(|line| line.starts_with("  -> "));
    let active: u64 = backends
        .filter_map(|line| line.split_whitespace().nth(4)?.parse::<u64>().ok())
        .sum();
    ensure!(active > 0, "{text}");
    Ok(())
}

#[test]
fn a_long_list_arrives_whole() -> Result<()> {
    let server = Server::with_flows(10_000)?;
    let text = server.ask(&["flow"])?.expect()?;
    assert_eq!(text.lines().count(), 40_001);
    let json = server.ask(&["flow", "-j"])?.json()?;
    assert_eq!(json.as_array().map(Vec::len), Some(40_000));
    Ok(())
}

#[test]
fn a_reader_who_has_seen_enough_is_no_error() -> Result<()> {
    let server = Server::with_flows(usize::MAX / 4)?;
    for option in [&[][..], &["-j"]] {
        let mut command = server.tandem(&[&["flow"][..], option].concat())?;
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut begin = [0; 1000];
        child
            .stdout
            .take()
            .context("it is piped")?
            .read_exact(&mut begin)?;
        let status = wait_for_some(PATIENCE, "the end of the list", || {
            child.try_wait().ok().flatten()
        })?;
        let mut complaints = String::new();
        child
            .stderr
            .take()
            .context("it is piped")?
            .read_to_string(&mut complaints)?;
        assert_eq!((status.code(), &*complaints), (Some(0), ""));
    }
    Ok(())
}

#[test]
fn the_socket_may_be_named_by_option() -> Result<()> {
    let server = Server::start()?;
    let socket = server.socket();
    let socket = socket.to_str().context("a plain path")?;
    // The option counts more than the environment, before and behind the object.
    let nowhere = std::path::Path::new("/nonexistent");
    for arguments in [["--socket", socket, "status"], ["status", "--socket", socket]] {
        let said = Said::by(&mut tandem(nowhere, &arguments)?)?.expect()?;
        assert_eq!(said, example("status.txt")?);
    }
    Ok(())
}
