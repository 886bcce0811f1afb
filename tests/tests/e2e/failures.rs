//! Starts that must fail: one clear sentence, the documented exit code, and nothing left behind.

use std::{fs, os::fd::AsFd as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_common::abi::{Runtime, names};
use lb_tests::{
    Host, Lab, Tandem,
    client::{Crowd, Dial, Greeting, http},
    tandem::Ending,
    topology::{OneDirector, VIP4},
    wait_for,
    xdp::{self, instruction},
};
use lb_userspace::datapath::Region;

use crate::config;

const PATIENCE: Duration = Duration::from_secs(5);

/// The one error of an ending, which must have this exit code.
fn sentence(ending: &Ending, code: i32) -> Result<&str> {
    ensure!(ending.code == Some(code), "{ending:?}");
    let mut errors = ending.said.split("error: ").skip(1);
    let error = errors.next().with_context(|| format!("no error: {ending:?}"))?;
    ensure!(errors.next().is_none(), "more than one error: {}", ending.said);
    ensure!(!ending.said.contains("panicked"), "{}", ending.said);
    Ok(error)
}

fn assert_says(ending: &Ending, code: i32, words: &[&str]) -> Result<()> {
    let said = sentence(ending, code)?;
    for word in words {
        ensure!(said.contains(word), "`{word}` is not in: {said}");
    }
    Ok(())
}

fn output(host: &Host, program: &str, arguments: &[&str]) -> Result<String> {
    let output = host.command(program)?.args(arguments).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// No pins, no program, no VIP.
fn assert_untouched(director: &Host) -> Result<()> {
    ensure!(!director.bpffs().join("tandem").exists(), "pins are left");
    // The kernel frees a link whose pin is gone when no CPU is at it any more.
    wait_for(PATIENCE, "the program to be gone", || {
        output(director, "ip", &["-d", "link", "show", "dev", "eth0"])
            .is_ok_and(|link| !link.contains("tandem"))
    })?;
    let addresses = output(director, "ip", &["address", "show"])?;
    ensure!(
        !addresses.contains(&VIP4.to_string()),
        "a VIP is left: {addresses}"
    );
    Ok(())
}

#[test]
fn each_wrong_configuration_is_one_clear_error() -> Result<()> {
    let lab = Lab::new("e2e-config")?;
    let host = lab.host("director")?;
    let path = host.run_dir().join("tandem.toml");
    let good = "[director]\ninterfaces = [\"eth0\"]\n[[service]]\nname = \"web\"\nlisten = [\"192.0.2.10:80\"]\n\
                [[service.backend]]\naddress = \"10.0.0.11\"\n";
    let changed = |from: &str, to: &str| Some(good.replace(from, to));
    for (config, words) in [
        (None, ["there is no configuration file", "tandem.toml"]),
        (changed("[\"eth0\"]", "7"), ["tandem.toml:2", "array"]),
        (changed("\"web\"", "3"), ["tandem.toml:4", "string"]),
        (
            changed("address", "adress"),
            ["unknown key `adress`", "`address`"],
        ),
        (
            changed("[[service.backend]]", "[[service.backend"),
            ["tandem.toml:6", "^"],
        ),
        (
            Some(format!(
                "{good}\n[[service]]\nname = \"more\"\nlisten = [\"192.0.2.10:80/tcp\"]\n[[service.backend]]\naddress = \"10.0.0.12\"\n"
            )),
            ["192.0.2.10:80", "tandem.toml:11"],
        ),
        (changed("10.0.0.11", "192.0.2.10"), ["192.0.2.10", "VIP"]),
        (changed("[\"eth0\"]", "[]"), ["interface", "tandem.toml:2"]),
        (
            changed("10.0.0.11", "web1.example.net"),
            ["web1.example.net", "address"],
        ),
        (changed(":80", ":80000"), ["80000", "port"]),
    ] {
        let ending = match &config {
            Some(config) => Tandem::refused_with(&host, config)?,
            None => Tandem::refused(&host, ["--config".into(), path.clone().into_os_string()])?,
        };
        assert_says(&ending, 2, &words)?;
        assert!(!host.bpffs().join("tandem").exists());
        let check = host
            .command(lb_tests::tandem::binary("tandem")?)?
            .arg("check")
            .arg(&path)
            .output()?;
        assert_eq!(check.status.code(), Some(1));
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(
            said.contains(ending.said.trim()),
            "`tandem check` says: {said}\ntandemd says: {}",
            ending.said
        );
    }
    let nonsense = Tandem::refused(&host, ["--bakend", "10.0.0.11"])?;
    assert_says(&nonsense, 2, &["--bakend"])?;
    fs::write(&path, good)?;
    let nobody = {
        let mut command = Tandem::command_as_nobody(&host, &[])?;
        command.args(["--config", "/proc/1/environ"]);
        Tandem::end_of(&host, command)?
    };
    assert_says(&nobody, 4, &["may not be read", "/proc/1/environ"])
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() -> Result<()> {
    let lab = OneDirector::build("e2e-fail", 1, 1)?;
    let _server = lab.serve_http(&lab.backends[0])?;
    let director = &lab.director;
    let good = config::web(&lab, &[100]);

    for (interfaces, word) in [("\"eth7\"", "eth7"), ("\"eth0\", \"eth7\"", "eth7")] {
        let config = good.replace("\"eth0\"", interfaces);
        let ending = Tandem::refused_with(director, &config)?;
        assert_says(&ending, 1, &[word, "`ip link`"])?;
        assert_untouched(director)?;
    }

    const PASS: [u64; 2] = [instruction(0xb7, 0, 0, 0, 2), instruction(0x95, 0, 0, 0, 0)];
    let stranger = xdp::Program::load("stranger", &PASS)?.attach(director.namespace(), "eth0")?;
    let ending = Tandem::refused_with(director, &good)?;
    assert_says(&ending, 1, &["eth0", "already runs another XDP program"])?;
    assert_untouched(director)?;
    drop(stranger);

    let elsewhere = director.run_dir().join("none/at/all");
    let ending = Tandem::refused(
        director,
        [
            "--config".into(),
            director.run_dir().join("tandem.toml").into_os_string(),
            "--bpffs".into(),
            elsewhere.clone().into_os_string(),
        ],
    )?;
    assert_says(&ending, 1, &["not on a bpf file system", "mount -t bpf"])?;
    assert!(!director.run_dir().join("none").exists());

    let mut read_only = director.command("sh")?;
    read_only
        .args(["-c", "mount -o remount,bind,ro /sys/fs/bpf && exec \"$0\" \"$@\""])
        .arg(lb_tests::tandem::binary("tandemd")?)
        .arg("--config")
        .arg(director.run_dir().join("tandem.toml"))
        .arg("--socket")
        .arg(director.run_dir().join("tandem.sock"));
    let ending = Tandem::end_of(director, read_only)?;
    assert_says(&ending, 1, &["read-only", "remount,rw"])?;
    assert_untouched(director)?;

    let tandem = Tandem::start_again(director)?;
    let refused = tandem
        .reload(&good.replace("\"eth0\"", "\"eth0\", \"eth7\""))
        .expect_err("no such interface");
    ensure!(refused.to_string().contains("interface `eth7`"), "{refused}");
    tandem.reload(&good)?;
    assert_eq!(
        http::get(&lab.clients[0], (VIP4, 80).into(), "/", PATIENCE)?.status,
        200
    );
    Ok(())
}

/// Two daemons must not write the same maps, whatever their sockets are called; nor may the maps be removed under one.
#[test]
fn a_second_daemon_is_refused_and_so_is_detaching_under_the_first() -> Result<()> {
    let lab = OneDirector::build("e2e-second", 1, 1)?;
    let _server = lab.serve_http(&lab.backends[0])?;
    let director = &lab.director;
    let first = Tandem::start(director, &config::web(&lab, &[100]))?;
    let file = director.run_dir().join("tandem.toml");
    let mut held = Crowd::open(&lab.clients[0], &Dial::new((VIP4, 80).into(), Greeting::Http), 50)?;

    let other_socket = director.run_dir().join("other.sock");
    let mut second = Tandem::command(director)?;
    second
        .arg("--config")
        .arg(&file)
        .arg("--socket")
        .arg(&other_socket);
    let in_use = ["another tandemd", "/sys/fs/bpf/tandem", "stop it first"];
    assert_says(&Tandem::end_of(director, second)?, 1, &in_use)?;
    assert!(!other_socket.exists());

    let other_pins = ["--bpffs".into(), "/sys/fs/bpf/other".into()];
    let arguments = ["--config".into(), file.clone().into_os_string()];
    let ending = Tandem::refused(director, arguments.clone().into_iter().chain(other_pins))?;
    assert_says(&ending, 1, &["another tandemd already listens", "tandem.sock"])?;
    assert!(!director.bpffs().join("other").exists());

    assert_says(&Tandem::refused(director, ["--detach"])?, 1, &in_use)?;
    first.process().pause()?;
    assert_says(&Tandem::refused(director, arguments)?, 1, &in_use)?;
    first.process().resume()?;
    assert_eq!(first.ask(&["backend"])?[0]["state"], "ready");
    assert_eq!(held.ask().kept, 50);

    // A daemon that was killed holds nothing.
    first.process().kill()?;
    for _ in 0..2 {
        let ending = Tandem::refused(director, ["--detach"])?;
        ensure!(ending.code == Some(0), "{ending:?}");
    }
    assert_untouched(director)
}

#[test]
fn pins_of_other_limits_or_another_version_are_refused_until_detached() -> Result<()> {
    let lab = OneDirector::build("e2e-pins", 1, 1)?;
    let _server = lab.serve_http(&lab.backends[0])?;
    let director = &lab.director;
    let good = config::web(&lab, &[100]);
    let dial = Dial::new((VIP4, 80).into(), Greeting::Http);
    let pins = director.bpffs().join("tandem");

    let tandem = Tandem::start(director, &good)?;
    let mut held = Crowd::open(&lab.clients[0], &dial, 50)?;
    let other = good.replace("flows_v4 = \"256k\"", "flows_v4 = \"512k\"");
    let refused = tandem.reload(&other).expect_err("other limits");
    ensure!(refused.to_string().contains("--detach"), "{refused}");
    tandem.process().terminate(PATIENCE)?;

    let ending = Tandem::refused_with(director, &other)?;
    assert_says(&ending, 1, &["flows_v4", "set it back", "--detach"])?;
    let ending = Tandem::refused_with(
        director,
        &good.replace("[limits]", "[limits]\nslots = \"2M\"\nbackends = 20"),
    )?;
    assert_says(&ending, 1, &["set it back", "--detach"])?;

    let map = aya::maps::MapData::from_pin(pins.join(names::RUNTIME))?;
    let runtime = Region::<Runtime>::of_map(&map.fd().as_fd(), 1)?;
    let version = runtime[0].version.load();
    runtime[0].version.publish(version + 1);
    let ending = Tandem::refused_with(director, &good)?;
    assert_says(&ending, 1, &["another version", "--detach"])?;
    assert_eq!(held.ask().kept, 50, "the kernel goes on all the while");
    runtime[0].version.publish(version);
    drop(Tandem::start(director, &good)?);
    assert_eq!(held.ask().kept, 50);

    // A daemon that was killed while it made its maps leaves some, of whatever size.
    let ending = Tandem::refused(director, ["--detach"])?;
    ensure!(ending.code == Some(0), "{ending:?}");
    drop(Tandem::start(director, &good)?);
    let map = aya::maps::MapData::from_pin(pins.join(names::RUNTIME))?;
    Region::<Runtime>::of_map(&map.fd().as_fd(), 1)?[0]
        .version
        .publish(0);
    fs::remove_file(pins.join(names::SLOTS))?;
    drop(Tandem::start(director, &other)?);

    // What others pinned there is named, and left alone.
    let stranger = pins.join("stranger");
    aya::maps::MapData::from_pin(pins.join(names::RUNTIME))?.pin(&stranger)?;
    let ending = Tandem::refused(director, ["--detach"])?;
    assert_says(&ending, 1, &["balancing has ended", "/sys/fs/bpf/tandem"])?;
    assert!(stranger.exists());
    fs::remove_file(stranger)?;
    let ending = Tandem::refused(director, ["--detach"])?;
    ensure!(ending.code == Some(0), "{ending:?}");
    assert_untouched(director)
}

/// What it takes to run the daemon as an ordinary user: four capabilities, and the directory of the pins.
#[test]
fn an_ordinary_user_needs_four_capabilities() -> Result<()> {
    let lab = OneDirector::build("e2e-nobody", 1, 1)?;
    let _server = lab.serve_http(&lab.backends[0])?;
    let director = &lab.director;
    let backend = lab.backends[0].ipv4().context("an address")?.to_string();
    let command = |capabilities: &[&str]| -> Result<_> {
        let mut command = Tandem::command_as_nobody(director, capabilities)?;
        command.args(["--interface", "eth0", "--backend", &backend, "--vip"]);
        command.arg(format!("{VIP4}:80"));
        Ok(command)
    };
    let all = ["bpf", "net_admin", "perfmon", "net_raw"];
    let without_one = all.map(|without| all.into_iter().filter(|name| *name != without).collect());
    for some in [Vec::new()].into_iter().chain(without_one) {
        let ending = Tandem::end_of(director, command(&some)?)?;
        assert_says(&ending, 4, &["no permission to"]).with_context(|| format!("with {some:?}"))?;
        for name in all {
            let named = ending.said.contains(&format!("CAP_{}", name.to_uppercase()));
            ensure!(named != some.contains(&name), "with {some:?}: {ending:?}");
        }
        assert_untouched(director)?;
    }

    let daemon = director.spawn("nobody", command(&all)?)?;
    wait_for(PATIENCE, "the daemon of an ordinary user", || {
        daemon.status().is_some() || daemon.log().contains("configuration in force")
    })?;
    daemon.ensure_running()?;
    assert_eq!(
        http::get(&lab.clients[0], (VIP4, 80).into(), "/", PATIENCE)?.status,
        200
    );
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
    daemon.kill()?;
    let again = director.spawn("nobody-again", command(&all)?)?;
    wait_for(PATIENCE, "its successor", || {
        again.status().is_some() || again.log().contains("configuration in force")
    })?;
    again.terminate(PATIENCE)?;

    let mut detach = Tandem::command_as_nobody(director, &[])?;
    detach.arg("--detach");
    assert_says(&Tandem::end_of(director, detach)?, 4, &["CAP_NET_ADMIN"])?;
    let ending = Tandem::refused(director, ["--detach"])?;
    ensure!(ending.code == Some(0), "{ending:?}");

    // Pins of root's are root's.
    drop(Tandem::start(director, &config::web(&lab, &[100]))?);
    let ending = Tandem::end_of(director, command(&all)?)?;
    assert_says(
        &ending,
        4,
        &["no permission to", "/sys/fs/bpf/tandem", "run as root"],
    )
}
