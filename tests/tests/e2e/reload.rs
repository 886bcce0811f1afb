//! Configurations: large ones under load, those in several files, those that were in force before; and who may change them.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Tandem,
    client::{Dial, Greeting, Load, Rate},
    topology::{OneDirector, VIP4, VIP6},
    wait_for,
};

use crate::{config, storms::Chance};

const PATIENCE: Duration = Duration::from_secs(60);

/// `web`, and so many further services beside it, each over all backends of the lab with this weight.
fn many(lab: &OneDirector, services: usize, weight: u32) -> Result<String> {
    let mut text = "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"256k\"\nflows_v6 = \"64k\"\n"
        .to_owned();
    for number in 0..services {
        let (name, port) = match number {
            0 => ("web".to_owned(), 80),
            _ => (format!("s{number}"), 1000 + number),
        };
        write!(
            text,
            "\n[[service]]\nname = \"{name}\"\nlisten = [\"{VIP4}:{port}\"]\ntable_size = 1009\n"
        )?;
        for backend in &lab.backends {
            let address = backend.ipv4().context("hosts of the lab have one")?;
            write!(
                text,
                "[[service.backend]]\naddress = \"{address}\"\nweight = {weight}\n"
            )?;
        }
    }
    Ok(text)
}

#[test]
fn a_thousand_services_are_reloaded_under_load_and_nothing_is_lost() -> Result<()> {
    const SERVICES: usize = 1000;
    let lab = OneDirector::build("e2e-many", 1, 10)?;
    let _servers = lab.serve_http_everywhere()?;
    let tandem = Tandem::start(&lab.director, &many(&lab, SERVICES, 100)?)?;
    let rate = Rate {
        per_second: 100,
        hold: Duration::from_secs(20),
        ask_every: Duration::from_secs(1),
        most: 100_000,
    };
    let load = Load::start(
        &lab.clients[0],
        &Dial::new((VIP4, 80).into(), Greeting::Http),
        &rate,
    )?;
    wait_for(PATIENCE, "clients to open connections", || {
        load.tally().opened >= 50
    })?;
    // Everything changes; one service goes; everything changes back.
    for (services, weight) in [(SERVICES, 50), (SERVICES - 1, 50), (SERVICES, 100)] {
        Tandem::write_config(&lab.director, &many(&lab, services, weight)?)?;
        let began = Instant::now();
        let said = tandem.tandem(&["--timeout", "60", "config", "apply"])?.output()?;
        let took = began.elapsed();
        ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        println!("reload of {services} services with 10 backends each: {took:?}");
        assert_eq!(tandem.ask(&["service"])?.as_array().map(Vec::len), Some(services));
    }
    let opened = load.tally().opened;
    wait_for(PATIENCE, "more connections", || {
        load.tally().opened >= opened + 50
    })?;
    let tally = load.stop()?;
    ensure!(
        tally.failed.is_empty() && tally.broken.is_empty() && tally.moved == 0 && tally.kept > 0,
        "{tally:?}"
    );
    Ok(())
}

#[test]
fn a_configuration_in_parts_is_one_and_can_be_rolled_back() -> Result<()> {
    let lab = OneDirector::build("e2e-parts", 0, 2)?;
    let tandem = Tandem::start(&lab.director, &config::web(&lab, &[100, 100]))?;
    let run = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let output = tandem.tandem(arguments)?.output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    };
    let (code, said) = run(&["config", "rollback"])?;
    ensure!(
        code == Some(1) && said.contains("no other configuration"),
        "{said}"
    );
    assert_eq!(run(&["config", "show", "--previous"])?.0, Some(1));

    let parts = lab.director.run_dir().join("conf.d");
    fs::create_dir(&parts)?;
    let address = lab.backends[0].ipv4().context("hosts of the lab have one")?;
    let more = format!(
        "[[service]]\nname = \"more\"\nlisten = [\"{VIP4}:8080\"]\n[[service.backend]]\naddress = \"{address}\"\n"
    );
    fs::write(parts.join("10-more.toml"), &more)?;
    assert_eq!(
        run(&["config", "apply"])?,
        (Some(0), "in force, with 2 services\n".to_owned())
    );
    fs::write(
        parts.join("20-wrong.toml"),
        more.replace("[[service", "[[servise"),
    )?;
    let (code, said) = run(&["config", "apply"])?;
    ensure!(
        code == Some(1) && said.contains("conf.d/20-wrong.toml:1"),
        "{said}"
    );
    assert_eq!(tandem.ask(&["service"])?.as_array().map(Vec::len), Some(2));
    fs::remove_file(parts.join("20-wrong.toml"))?;

    // Back, and back again; what is in the files does not change.
    for services in [1, 2, 1] {
        assert_eq!(run(&["config", "rollback"])?.0, Some(0));
        assert_eq!(tandem.ask(&["service"])?.as_array().map(Vec::len), Some(services));
    }
    let (code, said) = run(&["config", "diff"])?;
    ensure!(code == Some(1) && said.contains("+ name = \"more\""), "{said}");
    // A successor starts with the files, and knows what was before.
    tandem.process().kill()?;
    let tandem = Tandem::start_again(&lab.director)?;
    assert_eq!(tandem.ask(&["service"])?.as_array().map(Vec::len), Some(2));
    ensure!(tandem.ask(&["config"])?["previous"].is_string());
    Ok(())
}

#[test]
fn groups_say_who_may_ask_and_who_may_order() -> Result<()> {
    const NOBODY: u32 = 65_534;
    /// As every Debian has them.
    const DAEMON: u32 = 1;
    const MAIL: u32 = 8;
    let lab = OneDirector::build("e2e-groups", 0, 1)?;
    let base = config::web(&lab, &[100]);
    let tandem = Tandem::start(&lab.director, &base)?;
    for directory in lab.director.run_dir().ancestors().take(2) {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    }
    let status = |group: u32, arguments: &[&str]| -> Result<String> {
        let mut command = lab.director.command("setpriv")?;
        command.args([format!("--reuid={NOBODY}"), format!("--regid={group}")]);
        command.args(["--clear-groups", "curl", "--silent", "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code}", "--unix-socket"]);
        command.arg(tandem.socket()).args(arguments);
        Ok(String::from_utf8(command.output()?.stdout)?)
    };
    const ASK: &[&str] = &["http://tandem/v1/status"];
    const ORDER: &[&str] = &["-X", "POST", "http://tandem/v1/config"];
    assert_eq!(status(MAIL, ASK)?, "000", "the socket is for its owner and group");

    let groups = "\n[api]\nread_group = \"daemon\"\nwrite_group = \"mail\"\n";
    tandem.reload(&format!("{base}{groups}"))?;
    // Packets have clients' data in them.
    const PACKETS: &[&str] = &["--max-time", "20", "http://tandem/v1/packets?limit=0"];
    for (group, ask, order) in [
        (NOBODY, "403", "403"),
        (DAEMON, "200", "403"),
        (MAIL, "200", "200"),
    ] {
        assert_eq!(status(group, PACKETS)?, order, "{group}");
        assert_eq!(
            (&*status(group, ASK)?, &*status(group, ORDER)?),
            (ask, order),
            "{group}"
        );
    }
    // Root may whatever it says; groups that are not there are refused.
    Tandem::write_config(
        &lab.director,
        &format!("{base}{}", groups.replace("mail", "no-such-group")),
    )?;
    let said = tandem.tandem(&["config", "apply"])?.output()?;
    ensure!(
        String::from_utf8_lossy(&said.stderr).contains("no-such-group"),
        "{said:?}"
    );
    tandem.reload(&base)?;
    assert_eq!(status(MAIL, ASK)?, "000", "as it was");
    Ok(())
}

/// Some services, of many kinds, over some of the lab's backends.
fn any_services(lab: &OneDirector, chance: &mut Chance) -> Result<String> {
    const SCHEDULERS: [&str; 5] = ["maglev", "rr", "wrr", "wlc", "sh"];
    const EXTRAS: [&str; 6] = [
        "",
        "persistence = { timeout = \"5m\" }\n",
        "forward = \"tunnel\"\n",
        "drain = { deadline = \"10m\" }\n",
        "timeouts = { established = \"7m\" }\n",
        "forward = \"nat\"\n",
    ];
    let mut text = "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"64k\"\nflows_v6 = \"64k\"\n"
        .to_owned();
    for number in 0..5 {
        if chance.below(3) == 0 {
            continue;
        }
        let extra = EXTRAS[chance.below(EXTRAS.len() as u32) as usize];
        let scheduler = SCHEDULERS[chance.below(SCHEDULERS.len() as u32) as usize];
        let port = 1000 + 10 * number + chance.below(3);
        write!(
            text,
            "\n[[service]]\nname = \"s{number}\"\nscheduler = \"{scheduler}\"\nlisten = [\"{VIP4}:{port}\""
        )?;
        // NAT keeps the family.
        if chance.below(2) == 0 && !extra.contains("nat") {
            write!(text, ", \"[{VIP6}]:{port}/udp\"")?;
        }
        writeln!(text, "]\n{extra}")?;
        for (index, weight) in chance.backends(lab.backends.len()) {
            let backend = &lab.backends[index];
            let address = backend.ipv4().context("hosts of the lab have one")?;
            let name = backend.name();
            write!(
                text,
                "[[service.backend]]\nname = \"{name}\"\naddress = \"{address}\"\nweight = {weight}\n"
            )?;
        }
    }
    Ok(text)
}

/// What is in force, but for what has been counted.
fn in_force(lab: &OneDirector, tandem: &Tandem) -> Result<serde_json::Value> {
    let mut services = tandem.ask(&["service"])?;
    let mut backends = tandem.ask(&["backend"])?;
    for list in [&mut services, &mut backends] {
        for entry in list
            .as_array_mut()
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_object_mut)
        {
            for counted in [
                "flows",
                "new_flows",
                "packets",
                "bytes",
                "active_flows",
                "inactive_flows",
                "live",
            ] {
                entry.remove(counted);
            }
        }
    }
    let mut vips = Vec::new();
    for vip in [VIP4.into(), VIP6.into()] {
        let vip: std::net::IpAddr = vip;
        vips.push(lab.director.has_address(vip)?);
    }
    Ok(serde_json::json!([
        services,
        backends,
        tandem.ask(&["config"])?["toml"],
        vips
    ]))
}

/// From whatever was in force before: what is there after a reload is what a director has that began with it.
#[test]
fn a_reload_ends_where_a_fresh_start_does() -> Result<()> {
    const RELOADS: usize = 6;
    let lab = OneDirector::build("e2e-ends", 0, 4)?;
    let mut chance = Chance::new()?;
    let mut tandem = Tandem::start(&lab.director, &any_services(&lab, &mut chance)?)?;
    for _ in 0..2 {
        let mut wanted = String::new();
        for _ in 0..RELOADS {
            wanted = any_services(&lab, &mut chance)?;
            tandem.reload(&wanted)?;
        }
        // Ways to backends are found by and by, and so is that backends which are gone have no connections.
        let settled = |tandem: &Tandem| {
            wait_for(
                PATIENCE,
                "all backends to be reached, and none to be removed",
                || {
                    let backends = tandem.ask(&["backend"]).unwrap_or_default();
                    let mut backends = backends.as_array().into_iter().flatten();
                    backends.all(|backend| backend["state"] == "ready")
                },
            )
        };
        settled(&tandem)?;
        let after = in_force(&lab, &tandem)?;
        tandem.process().terminate(Duration::from_secs(10))?;
        let detached = Tandem::refused(&lab.director, ["--detach"])?;
        ensure!(detached.code == Some(0), "{detached:?}");
        tandem = Tandem::start(&lab.director, &wanted)?;
        settled(&tandem)?;
        let fresh = in_force(&lab, &tandem)?;
        ensure!(
            after == fresh,
            "after reloads {after:#}\nfrom nothing {fresh:#}\n{wanted}"
        );
    }
    Ok(())
}
