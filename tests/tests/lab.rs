//! The lab itself: it does what the other tests rely on, and leaves nothing behind.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use lb_tests::client::http::{download, get};
use lb_tests::client::udp::UdpFlow;
use lb_tests::client::{Crowd, Dial, Greeting, Load, Rate};
use lb_tests::server::{HoldServer, Nginx, UdpEcho};
use lb_tests::topology::{OneDirector, VIP4, VIP6};
use lb_tests::xdp::{Program, instruction};
use lb_tests::{Capture, Host, Lab, LabError, PacketSocket, Switch, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(10);

fn two_hosts(lab: &Lab) -> Result<(Switch, Host, Host)> {
    let switch = lab.switch("public")?;
    let (client, server) = (lab.host("client")?, lab.host("server")?);
    client.connect(&switch, &["192.0.2.1/24", "2001:db8::1/64"])?;
    server.connect(&switch, &["192.0.2.2/24", "2001:db8::2/64"])?;
    Ok((switch, client, server))
}

fn addresses(host: &Host, port: u16) -> Vec<SocketAddr> {
    host.addresses()
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect()
}

#[test]
fn names_that_would_not_fit_are_refused() -> Result<()> {
    let lab = Lab::new("names")?;
    lab.host("a")?;
    assert!(matches!(lab.host("a"), Err(LabError::NameTaken(_))));
    for name in ["", "A", "a.b", "a/b", "a b", "thirteen-char"] {
        assert!(matches!(lab.host(name), Err(LabError::Name { .. })), "{name:?}");
    }
    let switch = lab.switch("twelve-chars")?;
    let host = lab.host("twelve-chart")?;
    let interface = host.connect(&switch, &["192.0.2.1/24"])?;
    assert_eq!((interface.name(), interface.port()), ("eth0", "twelve-chart-0"));
    assert!(matches!(
        host.connect(&switch, &["192.0.2.1"]),
        Err(LabError::Address(_))
    ));
    Ok(())
}

#[test]
fn labs_with_the_same_addresses_stand_side_by_side() -> Result<()> {
    let one = Lab::new("one")?;
    let other = Lab::new("other")?;
    assert_ne!(one.id(), other.id());
    let (_, client, server) = two_hosts(&one)?;
    let (_, other_client, other_server) = two_hosts(&other)?;
    let name = other_server.name();
    let _echo = UdpEcho::start(&server, &addresses(&server, 7))?;
    let to = addresses(&other_server, 7)[0];
    // The first lab's server has that address; the other lab's does not listen yet.
    assert!(
        UdpFlow::open(&other_client, to)?
            .ask(b"who", Duration::from_millis(200))
            .is_err()
    );
    let other_echo = UdpEcho::start(&other_server, &addresses(&other_server, 7))?;
    assert_eq!(UdpFlow::open(&other_client, to)?.ask(b"who", PATIENCE)?, name);
    drop((other_echo, other));
    assert_eq!(UdpFlow::open(&client, to)?.ask(b"who", PATIENCE)?, "server");
    Ok(())
}

/// What a lab with a host of that name has on the machine.
fn traces(id: &str, host: &str) -> Vec<String> {
    let directory = format!("/run/tandem-lab/{id}/{host}");
    let namespace = format!("/run/netns/{id}-{host}");
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut traces: Vec<String> = mounts
        .lines()
        .filter(|line| line.contains(&directory))
        .map(Into::into)
        .collect();
    traces.extend(
        [directory, namespace]
            .into_iter()
            .filter(|path| Path::new(path).exists()),
    );
    traces
}

#[test]
fn a_lab_is_gone_after_a_drop_and_after_a_panic() -> Result<()> {
    let lab = Lab::new("dropped")?;
    let host = lab.host("dropped")?;
    let sleep = host.spawn("sleep", {
        let mut command = host.command("sleep")?;
        command.arg("1000");
        command
    })?;
    let id = lab.id().to_owned();
    assert_eq!(traces(&id, "dropped").len(), 3, "bpffs, directory and namespace");
    drop(lab);
    assert_eq!(traces(&id, "dropped"), [""; 0]);
    assert!(sleep.status().is_some(), "its processes end with it");

    let panicked = catch_unwind(|| {
        let lab = Lab::new("panicked").unwrap();
        lab.host("panicked").unwrap();
        std::panic::panic_any(lab.id().to_owned());
    });
    let id = panicked.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(traces(&id, "panicked"), [""; 0]);
    Ok(())
}

/// Runs the calling test in a process of its own, where it makes a lab with a host named `host`; ends that process with
/// `signal` and returns the lab's id and the id of a process that ran in it. In that process, it never returns.
fn end_a_process_with_a_lab(test: &str, host: &str, signal: Signal) -> Result<(String, i32)> {
    if env::var_os("LAB_OF_ITS_OWN").is_some() {
        let lab = Lab::new(test)?;
        let host = lab.host(host)?;
        // Its child outlives it where only the process that the lab started is killed.
        let mut command = host.command("sh")?;
        command.args(["-c", "sleep 1000 & echo $!; wait"]);
        let shell = host.spawn("shell", command)?;
        wait_for(PATIENCE, "the shell's child", || shell.log().ends_with('\n'))?;
        println!("\nlab {} {}", lab.id(), shell.log());
        loop {
            thread::park();
        }
    }
    let mut child = Command::new(env::current_exe()?)
        .args(["--exact", test, "--nocapture"])
        .env("LAB_OF_ITS_OWN", "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(child.stdout.take().context("a pipe")?);
    let mut lines = output.lines().map_while(Result::ok);
    let line = lines.find_map(|line| line.strip_prefix("lab ").map(str::to_owned));
    let line = line.context("the process made no lab")?;
    let (id, grandchild) = line.split_once(' ').context("an id and a process")?;
    ensure!(!traces(id, host).is_empty(), "the lab stands");
    kill(Pid::from_raw(child.id().cast_signed()), signal)?;
    child.wait()?;
    Ok((id.to_owned(), grandchild.trim().parse()?))
}

fn runs(process: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.contains("\nState:") && !status.contains("\nState:\tZ")
}

#[test]
fn the_lab_of_a_killed_process_is_removed_by_the_next() -> Result<()> {
    let test = "the_lab_of_a_killed_process_is_removed_by_the_next";
    let standing = Lab::new("standing")?;
    let host = standing.host("standing")?;
    let (id, process) = end_a_process_with_a_lab(test, "killed", Signal::SIGKILL)?;
    let _next = Lab::new("next")?;
    assert_eq!(traces(&id, "killed"), [""; 0]);
    wait_for(PATIENCE, "the process in that lab to end", || !runs(process))?;
    assert_eq!(
        traces(standing.id(), "standing").len(),
        3,
        "a lab whose owner lives is left alone"
    );
    assert_eq!(host.enter(|| 1 + 1)?, 2);
    Ok(())
}

#[test]
fn a_terminated_process_takes_its_lab_along() -> Result<()> {
    let test = "a_terminated_process_takes_its_lab_along";
    let (id, process) = end_a_process_with_a_lab(test, "terminated", Signal::SIGTERM)?;
    assert_eq!(traces(&id, "terminated"), [""; 0]);
    wait_for(PATIENCE, "the process in that lab to end", || !runs(process))?;
    Ok(())
}

#[test]
fn commands_see_their_hosts_interfaces_and_bpf_file_system() -> Result<()> {
    let lab = Lab::new("commands")?;
    let (_, client, server) = two_hosts(&lab)?;
    let listed = client.command("ls")?.arg("/sys/class/net").output()?;
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "eth0\nlo\n");
    let made = client.command("mkdir")?.arg("/sys/fs/bpf/tandem").status()?;
    assert!(made.success());
    assert!(client.bpffs().join("tandem").is_dir());
    assert!(!server.bpffs().join("tandem").exists());
    assert!(matches!(
        client.command("no-such-tool"),
        Err(LabError::MissingTool { .. })
    ));
    Ok(())
}

#[test]
fn processes_are_logged_paused_and_killed() -> Result<()> {
    let lab = Lab::new("processes")?;
    let host = lab.host("host")?;
    let mut command = host.command("sh")?;
    command.args(["-c", "while :; do echo tick; sleep 0.01; done"]);
    let process = host.spawn("ticker", command)?;
    wait_for(PATIENCE, "a tick", || process.log().contains("tick"))?;
    process.pause()?;
    let state = || fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    wait_for(PATIENCE, "the pause", || state().contains(") T "))?;
    let so_far = process.log();
    process.resume()?;
    wait_for(PATIENCE, "another tick", || process.log().len() > so_far.len())?;
    process.ensure_running()?;
    process.kill()?;
    let error = process.pause().unwrap_err().to_string();
    assert!(
        error.starts_with("ticker has ended (signal: 9 (SIGKILL)); its last words: tick | tick"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_capture_sees_what_was_sent() -> Result<()> {
    let lab = Lab::new("capture")?;
    let (switch, client, server) = two_hosts(&lab)?;
    let (from, to) = (client.interface("eth0")?, server.interface("eth0")?);
    for (tag, name) in [(&[][..], "untagged"), (&[0x81, 0x00, 0x60, 0x2a], "tagged")] {
        let frame = [&to.mac()[..], &from.mac(), tag, &[0x88, 0xb5], &[7; 60]].concat();
        let sent = frame.clone();
        let filter = move |bytes: &[u8]| bytes == sent;
        let mut at_client = Capture::start(client.namespace(), "eth0", filter.clone())?;
        let mut on_switch = Capture::start(switch.namespace(), from.port(), filter.clone())?;
        let mut at_server = Capture::start(server.namespace(), "eth0", filter)?;
        PacketSocket::open(client.namespace(), "eth0")?.send(&frame)?;
        assert!(at_client.wait_for(PATIENCE, name, |_| true)?.outgoing);
        assert!(!on_switch.wait_for(PATIENCE, name, |_| true)?.outgoing);
        assert_eq!(at_server.wait_for(PATIENCE, name, |_| true)?.bytes, frame);
        let file = client.run_dir().join("frames.pcap");
        at_server.write_pcap(&file)?;
        assert_eq!(fs::metadata(&file)?.len(), 24 + 16 + frame.len() as u64);
        assert_eq!(at_server.frames()?.len(), 1);
    }
    let mut nothing = Capture::start(server.namespace(), "eth0", |_| false)?;
    let error = nothing
        .wait_for(Duration::from_millis(10), "a frame", |_| true)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "waited 0.0 s in vain for a frame; captured 0 frames meanwhile"
    );
    Ok(())
}

// Operations of linux/bpf.h.
const LOAD_WORD: u8 = 0x61;
const LOAD_HALF: u8 = 0x69;
const STORE_WORD: u8 = 0x63;
const STORE_HALF: u8 = 0x6b;
const SET_WORD: u8 = 0x62;
const SET_HALF: u8 = 0x6a;
const MOVE: u8 = 0xbf;
const MOVE_VALUE: u8 = 0xb7;
const ADD_VALUE: u8 = 0x07;
const JUMP_GREATER: u8 = 0x2d;
const JUMP_UNEQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;

/// A program that turns round the frames of which `half` words and `word`s of the frame have given values: to `to`, or
/// where there is none, to the sender.
fn reflector(halves: &[(i16, [u8; 2])], words: &[(i16, [u8; 4])], to: Option<[u8; 6]>) -> Result<Program> {
    let conditions = 2 * (halves.len() + words.len()) as i16;
    let turn = if to.is_some() { 6 } else { 8 };
    let mut code = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(LOAD_WORD, 3, 1, 4, 0),
        instruction(MOVE, 4, 2, 0, 0),
        instruction(ADD_VALUE, 4, 0, 0, 34),
        instruction(JUMP_GREATER, 4, 3, conditions + turn + 2, 0),
    ];
    let mut left = conditions;
    let values = halves
        .iter()
        .map(|(at, value)| (LOAD_HALF, *at, i32::from(u16::from_le_bytes(*value))));
    let values = values.chain(
        words
            .iter()
            .map(|(at, value)| (LOAD_WORD, *at, i32::from_le_bytes(*value))),
    );
    for (load, at, value) in values {
        left -= 2;
        code.extend([
            instruction(load, 5, 2, at, 0),
            instruction(JUMP_UNEQUAL, 5, 0, left + turn + 2, value),
        ]);
    }
    code.extend([
        instruction(LOAD_WORD, 5, 2, 0, 0),
        instruction(LOAD_HALF, 6, 2, 4, 0),
    ]);
    if let Some([a, b, c, d, e, f]) = to {
        code.extend([
            instruction(SET_WORD, 2, 0, 0, i32::from_le_bytes([a, b, c, d])),
            instruction(SET_HALF, 2, 0, 4, i32::from(u16::from_le_bytes([e, f]))),
        ]);
    } else {
        code.extend([
            instruction(LOAD_WORD, 7, 2, 6, 0),
            instruction(LOAD_HALF, 8, 2, 10, 0),
            instruction(STORE_WORD, 2, 7, 0, 0),
            instruction(STORE_HALF, 2, 8, 4, 0),
        ]);
    }
    code.extend([
        instruction(STORE_WORD, 2, 5, 6, 0),
        instruction(STORE_HALF, 2, 6, 10, 0),
        instruction(MOVE_VALUE, 0, 0, 0, XDP_TX),
        instruction(EXIT, 0, 0, 0, 0),
        instruction(MOVE_VALUE, 0, 0, 0, XDP_PASS),
        instruction(EXIT, 0, 0, 0, 0),
    ]);
    Ok(Program::load("reflector", &code)?)
}

#[test]
fn frames_that_xdp_turns_round_come_back_through_the_switch() -> Result<()> {
    const JUMBO: u16 = 9000;
    let lab = OneDirector::build("echo", 1, 0)?;
    let (client, director) = (lab.clients[0].interface("eth0")?, lab.director.interface("eth0")?);
    lab.clients[0].set_mtu("eth0", JUMBO)?;
    lab.director.set_mtu("eth0", JUMBO)?;
    let tag: &[u8] = &[0x81, 0x00, 0x60, 0x2a];
    // The tagged one is turned round only if its tag is in the frame, as on a wire.
    for (tag, first, payload) in [
        (&[][..], [0x88, 0xb5], 60),
        (tag, [0x81, 0x00], 60),
        (&[], [0x88, 0xb5], JUMBO),
    ] {
        let echo = reflector(&[(12, first)], &[], None)?;
        let _link = echo.attach(lab.director.namespace(), "eth0")?;
        let payload = vec![9; payload.into()];
        let frame = |to: [u8; 6], from: [u8; 6]| [&to[..], &from, tag, &[0x88, 0xb5], &payload].concat();
        let (question, answer) = (
            frame(director.mac(), client.mac()),
            frame(client.mac(), director.mac()),
        );
        let mut capture = Capture::start(lab.clients[0].namespace(), "eth0", move |bytes| bytes == answer)?;
        PacketSocket::open(lab.clients[0].namespace(), "eth0")?.send(&question)?;
        let what = format!("a frame of {} bytes to come back", question.len());
        assert!(!capture.wait_for(PATIENCE, what, |_| true)?.outgoing);
    }
    Ok(())
}

#[test]
fn a_refused_program_says_why() {
    let error = Program::load("bad", &[instruction(EXIT, 0, 0, 0, 0)])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("load XDP program bad") && error.contains("R0 !read_ok"),
        "{error}"
    );
}

#[test]
fn connections_and_transfers_go_through_direct_return() -> Result<()> {
    let lab = OneDirector::build("return", 1, 1)?;
    let backend = &lab.backends[0];
    let big = lab.lab.big_file()?;
    let _nginx = Nginx::start(backend, &OneDirector::listen(backend, 80), Some(&big))?;
    // The simplest director: it has the VIP and sends what comes for it to its one backend.
    lab.director
        .namespace()
        .ip(&[format!("address add {VIP4}/32 dev eth0")])?;
    let to = backend.interface("eth0")?.mac();
    let program = reflector(&[(12, [0x08, 0x00])], &[(30, VIP4.octets())], Some(to))?;
    let _link = program.attach(lab.director.namespace(), "eth0")?;

    let vip = SocketAddr::new(VIP4.into(), 80);
    let mut crowd = Crowd::open(&lab.clients[0], &Dial::new(vip, Greeting::Http), 100)?;
    assert_eq!(
        (crowd.len(), crowd.by_backend().get("backend1")),
        (100, Some(&100)),
        "{crowd:?}"
    );
    assert_eq!(crowd.ask().kept, 100);
    let got = download(&lab.clients[0], vip, "/big", PATIENCE)?;
    assert_eq!((got.status, got.bytes, got.sha256), (200, big.size, big.sha256));
    assert_eq!(got.backend, "backend1");
    assert_eq!(
        got.segment, 1448,
        "a segment of a 1500-byte packet, with timestamps"
    );
    assert_eq!(upload(&lab.clients[0], backend, 50_000_000)?, 50_000_000);
    Ok(())
}

/// Sends zeroes from the client to the backend by way of the VIP; returns how many arrived. The client's kernel hands on
/// packets many segments long, and without checksums: the director's port has to finish them.
fn upload(client: &Host, backend: &Host, length: u64) -> Result<u64> {
    let to = SocketAddr::new(VIP4.into(), 9000);
    let listener = backend.enter(|| TcpListener::bind(to))??;
    let mut stream = client.enter(|| TcpStream::connect_timeout(&to, PATIENCE))??;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (mut accepted, _) = listener.accept()?;
    accepted.set_read_timeout(Some(PATIENCE))?;
    let receiver = thread::spawn(move || io::copy(&mut accepted, &mut io::sink()));
    io::copy(&mut io::repeat(0).take(length), &mut stream)?;
    drop(stream);
    Ok(receiver.join().map_err(|_| anyhow!("the receiver panicked"))??)
}

#[test]
fn nginx_serves_both_families() -> Result<()> {
    let lab = OneDirector::build("nginx", 1, 1)?;
    let (client, backend) = (&lab.clients[0], &lab.backends[0]);
    let nginx = lab.serve_http(backend)?;
    for to in addresses(backend, 80) {
        let page = get(client, to, "/", PATIENCE)?;
        assert_eq!(
            (page.status, &*page.backend, &*page.body),
            (200, "backend1", &b"backend1\n"[..])
        );
        assert_eq!(get(client, to, "/healthz", PATIENCE)?.body, b"ok\n");
        assert_eq!(get(client, to, "/none", PATIENCE)?.status, 404);
        // A kilobyte a second: the transfer is still open when patience ends.
        assert!(get(client, to, "/slow", Duration::from_millis(300)).is_err());
    }
    nginx.process().terminate(PATIENCE)?;
    assert!(get(client, addresses(backend, 80)[0], "/", PATIENCE).is_err());
    Ok(())
}

#[test]
fn nginx_that_cannot_start_says_why() -> Result<()> {
    let lab = Lab::new("nginx-fails")?;
    let host = lab.host("host")?;
    let error = Nginx::start(&host, &["192.0.2.77:80".parse()?], None)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("192.0.2.77:80 failed (99: Cannot assign requested address)"),
        "{error}"
    );
    Ok(())
}

#[test]
fn nobody_answers_for_a_vip_but_a_director() -> Result<()> {
    let lab = OneDirector::build("silent", 1, 2)?;
    let client = &lab.clients[0];
    let _echoes: Vec<UdpEcho> = lab
        .backends
        .iter()
        .map(|backend| UdpEcho::start(backend, &OneDirector::listen(backend, 53)))
        .collect::<Result<_, _>>()?;
    for vip in [IpAddr::from(VIP4), IpAddr::from(VIP6)] {
        let flow = UdpFlow::open(client, SocketAddr::new(vip, 53))?;
        assert!(
            flow.ask(b"who", Duration::from_millis(300)).is_err(),
            "{vip} was answered"
        );
    }
    for (backend, name) in lab.backends.iter().zip(["backend1", "backend2"]) {
        for to in addresses(backend, 53) {
            assert_eq!(UdpFlow::open(client, to)?.ask(b"who", PATIENCE)?, name);
        }
    }
    Ok(())
}

#[test]
fn ten_thousand_connections_are_held() -> Result<()> {
    const EACH: usize = 5_000;
    let lab = Lab::new("crowd")?;
    let (_, client, server) = two_hosts(&lab)?;
    let nginx = Nginx::start(&server, &addresses(&server, 80), None)?;
    let open = |to: SocketAddr| Crowd::open(&client, &Dial::new(to, Greeting::Http), EACH);
    let mut crowds = addresses(&server, 80)
        .into_iter()
        .map(open)
        .collect::<Result<Vec<_>, _>>()?;
    for crowd in &mut crowds {
        assert_eq!(crowd.len(), EACH, "{crowd:?}");
        let answers = crowd.ask();
        assert_eq!(
            (answers.kept, answers.moved, answers.broken()),
            (EACH, 0, 0),
            "{answers:?}"
        );
    }
    nginx.process().kill()?;
    for crowd in &mut crowds {
        let answers = crowd.ask();
        assert_eq!((answers.kept, answers.broken()), (0, EACH as u64), "{answers:?}");
    }
    Ok(())
}

#[test]
fn the_hold_server_counts_its_connections() -> Result<()> {
    const NUMBER: usize = 1_000;
    let lab = Lab::new("hold")?;
    let (_, client, server) = two_hosts(&lab)?;
    let hold = HoldServer::start(&server, &addresses(&server, 9000))?;
    let to = addresses(&server, 9000)[1];
    let mut crowd = Crowd::open(&client, &Dial::new(to, Greeting::Line), NUMBER)?;
    assert_eq!(
        crowd.by_backend().get("server"),
        Some(&(NUMBER as u64)),
        "{crowd:?}"
    );
    assert_eq!(hold.open_connections(), NUMBER);
    assert_eq!(crowd.ask().kept, NUMBER);
    drop(crowd);
    wait_for(PATIENCE, "the server to see them closed", || {
        hold.open_connections() == 0
    })?;
    Ok(())
}

#[test]
fn a_steady_load_counts_what_it_opens_and_loses() -> Result<()> {
    let lab = Lab::new("load")?;
    let (_, client, server) = two_hosts(&lab)?;
    let hold = HoldServer::start(&server, &addresses(&server, 9000))?;
    let dial = Dial::new(addresses(&server, 9000)[0], Greeting::Line);
    let ask_every = Duration::from_millis(20);
    let rate = Rate {
        per_second: 200,
        hold: Duration::from_millis(100),
        ask_every,
        most: 1000,
    };
    let load = Load::start(&client, &dial, &rate)?;
    wait_for(PATIENCE, "fifty connections held to their end", || {
        load.tally().kept >= 50
    })?;
    let tally = load.stop()?;
    assert_eq!((tally.open, tally.kept, tally.moved), (0, tally.opened, 0));
    assert_eq!(tally.by_backend.get("server"), Some(&tally.opened));
    assert!(tally.failed.is_empty() && tally.broken.is_empty(), "{tally:?}");

    let load = Load::start(
        &client,
        &dial,
        &Rate {
            hold: Duration::from_secs(600),
            ..rate
        },
    )?;
    wait_for(PATIENCE, "some connections", || load.tally().open >= 20)?;
    drop(hold);
    wait_for(PATIENCE, "the loss to show", || {
        load.tally().open == 0 && !load.tally().failed.is_empty()
    })?;
    let tally = load.stop()?;
    assert_eq!(tally.broken.values().sum::<u64>(), tally.opened, "{tally:?}");
    Ok(())
}

#[test]
fn links_and_neighbours_can_fail() -> Result<()> {
    let lab = Lab::new("faults")?;
    let (_, client, server) = two_hosts(&lab)?;
    let _echo = UdpEcho::start(&server, &addresses(&server, 7))?;
    let interface = server.interface("eth0")?;
    let server = &server;
    let carrier = || -> Result<String> {
        let output = server
            .command("cat")?
            .arg("/sys/class/net/eth0/carrier")
            .output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    for to in addresses(server, 7) {
        let flow = UdpFlow::open(&client, to)?;
        let answers = |flow: &UdpFlow| flow.ask(b"there?", Duration::from_millis(200)).is_ok();
        wait_for(PATIENCE, "an answer at first", || answers(&flow))?;

        server.link_down("eth0")?;
        assert!(!answers(&flow));
        server.link_up("eth0")?;
        wait_for(PATIENCE, "an answer once the link is up", || answers(&flow))?;

        interface.unplug()?;
        assert_eq!(carrier()?, "0");
        assert!(!answers(&flow));
        interface.plug_in()?;
        wait_for(PATIENCE, "an answer once the cable is back", || answers(&flow))?;

        client.forget_neighbour(to.ip(), "eth0")?;
        assert!(
            client.forget_neighbour(to.ip(), "eth0").is_err(),
            "it is forgotten"
        );
        wait_for(PATIENCE, "the neighbour to be found again", || answers(&flow))?;
    }
    Ok(())
}
