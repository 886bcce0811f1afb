//! `tandem bench` on real interfaces: what it refuses, what it measures and keeps, and that it leaves nothing behind however it ends.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Lab, Tandem,
    cable::{End, join},
    tandem::binary,
    wait_for,
    xdp::Program,
};
use nix::sys::signal::Signal;

use crate::{
    bench_results::{compare, expect_results},
    canned::{Directory, PATIENCE, Said},
};

const TX_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xBE, 1];
const RX_MAC: [u8; 6] = [0x02, 0, 0, 0, 0xBE, 2];

/// A machine with two interfaces, and a director between them whose only backend is the second one.
struct Place {
    tester: Host,
    director: Host,
    tandem: Tandem,
    _lab: Lab,
}

impl Place {
    fn build(name: &str) -> Result<Self> {
        let lab = Lab::new(name)?;
        let (tester, director) = (lab.host("tester")?, lab.host("director")?);
        let end = |host, name, mac, addresses| End {
            host,
            name,
            mac,
            addresses,
        };
        join(
            &end(
                &tester,
                "send0",
                TX_MAC,
                &["192.0.2.100/24", "2001:db8:1::100/64"],
            ),
            &end(
                &director,
                "near",
                [0x02, 0, 0, 0, 0xBE, 3],
                &["192.0.2.2/24", "2001:db8:1::2/64"],
            ),
        )?;
        join(
            &end(&tester, "back0", RX_MAC, &["10.9.1.11/24", "2001:db8:9::11/64"]),
            &end(
                &director,
                "far",
                [0x02, 0, 0, 0, 0xBE, 4],
                &["10.9.1.1/24", "2001:db8:9::1/64"],
            ),
        )?;
        let tandem = Tandem::start(
            &director,
            "[director]\ninterfaces = [\"near\", \"far\"]\n\n[limits]\nflows_v4 = 65536\nflows_v6 = 65536\n\n[[service]]\nname = \"dns\"\n\
             listen = [\"192.0.2.10:53/udp\"]\n\n[[service.backend]]\naddress = \"10.9.1.11\"\n\n[[service]]\nname = \"dns6\"\n\
             listen = [\"[2001:db8:1::10]:53/udp\"]\n\n[[service.backend]]\naddress = \"2001:db8:9::11\"\n",
        )?;
        wait_for(PATIENCE, "both backends to be reached", || {
            tandem
                .ask(&["backend"])
                .is_ok_and(|backends| backends[0]["state"] == "ready" && backends[1]["state"] == "ready")
        })?;
        Ok(Self {
            tester,
            director,
            tandem,
            _lab: lab,
        })
    }

    /// What a benchmark could have changed on the machine: addresses, flags and programs of the interfaces, and their settings.
    fn state(&self) -> Result<String> {
        let show = "ip -d -o link show; ip -o address show; ip route show table all; ip neigh show nud permanent; \
                    for i in send0 back0; do grep -H . /proc/sys/net/ipv4/conf/$i/* /proc/sys/net/ipv6/conf/$i/*; done 2>/dev/null; \
                    cat /proc/sys/kernel/bpf_stats_enabled";
        let output = self.tester.command("sh")?.args(["-c", show]).output()?;
        ensure!(
            output.status.success() && output.stdout.len() > 1000,
            "{output:?}"
        );
        let text = String::from_utf8(output.stdout)?;
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        Ok(lines.join("\n"))
    }

    fn expect_state(&self, before: &str) -> Result<()> {
        // Links go a moment after their process.
        let same = || self.state().is_ok_and(|now| now == before);
        wait_for(PATIENCE, "everything to be as it was", same)
            .with_context(|| format!("{before}\nand now\n{}", self.state().unwrap_or_default()))?;
        Ok(())
    }

    fn has_programs(&self) -> bool {
        self.state()
            .is_ok_and(|state| state.matches("prog/xdp").count() == 2)
    }
}

fn ask(host: &Host, arguments: &[&str]) -> Result<Said> {
    let mut command = host.command(binary("tandem")?)?;
    Said::by(command.arg("bench").args(arguments))
}

const THROUGH: [&str; 7] = [
    "throughput",
    "--tx",
    "send0",
    "--rx",
    "back0",
    "--to",
    "192.0.2.10:53",
];

#[test]
fn packets_go_through_a_director_and_everything_is_as_it_was() -> Result<()> {
    let place = Place::build("bench-through")?;
    let before = place.state()?;
    let results = Directory::new()?;
    let short = ["--rounds", "5", "--seconds", "0.2", "--flows", "100", "-j"];
    let report = expect_results(results.path(), "xdp", |keep| {
        ask(&place.tester, &[&THROUGH[..], &short, keep].concat())
    })?;
    let came = &report["rows"][1];
    assert_eq!(came["name"], "came back", "{report}");
    assert!(came["mpps"]["min"].as_f64() > Some(0.0), "{report}");
    let lost = report["loss_at_full"].as_f64().context("a share")?;
    assert!((0.0..1.0).contains(&lost), "{report}");
    place.expect_state(&before)?;
    // The same by a socket, for drivers without XDP, and to an address of a director that answers for it.
    let by_socket = [&THROUGH[..], &short, &["--packet-socket", "--frames", "imix"]].concat();
    let report = expect_results(results.path(), "socket", |keep| {
        ask(&place.tester, &[&by_socket[..], keep].concat())
    })?;
    assert_eq!(report["tx"]["mode"], "packet socket", "{report}");
    assert!(report["rows"][1]["mpps"]["min"].as_f64() > Some(0.0), "{report}");
    assert!(report["delays"][0]["median_us"].as_f64() > Some(0.0), "{report}");
    place.expect_state(&before)?;
    // Both beside each other.
    let said = compare(results.path(), "xdp", "socket", &[])?;
    let text = said.expect()?;
    for words in [
        "came back",
        "without loss",
        "one value",
        "of 2 look like one",
        "other tx: mode \"native\" and \"packet socket\"",
        "other settings: frames",
    ] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    let to6 = [
        "throughput",
        "--tx",
        "send0",
        "--rx",
        "back0",
        "--to",
        "[2001:db8:1::10]:53",
    ];
    let report = ask(&place.tester, &[&to6[..], &short].concat())?.json()?;
    assert_eq!(report["settings"]["frames"], "84 bytes", "{report}");
    assert!(report["rows"][1]["mpps"]["min"].as_f64() > Some(0.0), "{report}");
    place.expect_state(&before)?;
    // Each packet another flow: the director makes one of each that comes to it.
    let flows_before = place.tandem.ask(&["stats"])?["new_flows"]
        .as_u64()
        .unwrap_or_default();
    let new = [
        &THROUGH[..],
        &["--new", "udp", "--rounds", "2", "--seconds", "0.2", "-j"],
    ]
    .concat();
    for more in [&[][..], &["--packet-socket"]] {
        let report = ask(&place.tester, &[&new[..], more].concat())?.json()?;
        assert!(report["settings"]["flows"].is_null(), "{report}");
        assert!(report["rows"][1]["mpps"]["min"].as_f64() > Some(0.0), "{report}");
    }
    place.expect_state(&before)?;
    let flows = place.tandem.ask(&["stats"])?["new_flows"]
        .as_u64()
        .unwrap_or_default()
        - flows_before;
    assert!(flows > 10_000, "{flows}");
    // It was the director that sent them.
    let forwarded = place.tandem.ask(&["stats"])?["packets"]
        .as_u64()
        .unwrap_or_default();
    assert!(forwarded > 1000, "{forwarded}");
    // SYNs, to a service that takes connections.
    place.tandem.reload(
        "[director]\ninterfaces = [\"near\", \"far\"]\n\n[limits]\nflows_v4 = 65536\nflows_v6 = 65536\n\n[[service]]\nname = \"web\"\n\
         listen = [\"192.0.2.10:80\"]\n\n[[service.backend]]\naddress = \"10.9.1.11\"\n",
    )?;
    wait_for(PATIENCE, "the backend to be reached", || {
        place
            .tandem
            .ask(&["backend"])
            .is_ok_and(|backends| backends[0]["state"] == "ready")
    })?;
    let mut syns = [&THROUGH[..], &["--new", "tcp"]].concat();
    syns[THROUGH.len() - 1] = "192.0.2.10:80";
    let said = ask(
        &place.tester,
        &[&syns[..], &["--rounds", "2", "--seconds", "0.2"]].concat(),
    )?;
    ensure!(
        said.code == Some(0)
            && said.out.contains("SYNs, each a new flow, 76 bytes")
            && said.out.contains("new flows a second"),
        "{said:?}"
    );
    let half_open = place.tandem.ask(&["flow", "--state", "syn_recv", "--count"])?;
    ensure!(half_open["flows"].as_u64() > Some(1000), "{half_open}");
    place.expect_state(&before)?;
    // Without a service: to the other interface itself. There is no way between them, which is said.
    let said = ask(&place.tester, &["throughput", "--tx", "send0", "--rx", "back0"])?;
    ensure!(
        said.code == Some(1) && said.err.contains("none of") && said.err.contains("cable"),
        "{said:?}"
    );
    place.expect_state(&before)
}

#[test]
fn jumbo_frames_come_back() -> Result<()> {
    let place = Place::build("bench-jumbo")?;
    for (host, interface) in [
        (&place.director, "near"),
        (&place.director, "far"),
        (&place.tester, "send0"),
        (&place.tester, "back0"),
    ] {
        host.namespace().ip(&[format!("link set {interface} mtu 9000")])?;
    }
    let jumbo = ["--rounds", "1", "--seconds", "0.2", "--frames", "9014", "-j"];
    let report = ask(&place.tester, &[&THROUGH[..], &jumbo].concat())?.json()?;
    assert_eq!(report["settings"]["frames"], "9014 bytes", "{report}");
    assert!(report["rows"][1]["mpps"]["min"].as_f64() > Some(0.0), "{report}");
    Ok(())
}

#[test]
fn whoever_is_interrupted_or_killed_leaves_nothing() -> Result<()> {
    let place = Place::build("bench-ctrl-c")?;
    let before = place.state()?;
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL] {
        let mut command = place.tester.command(binary("tandem")?)?;
        command.arg("bench").args(THROUGH).args(["--seconds", "60"]);
        let bench = place.tester.spawn("bench", command)?;
        wait_for(PATIENCE, "programs on both interfaces", || place.has_programs())?;
        bench.signal(signal)?;
        let ended = bench.wait(PATIENCE)?;
        if signal == Signal::SIGINT {
            ensure!(
                ended.code() == Some(1)
                    && bench
                        .log()
                        .contains("interrupted; all interfaces are as they were"),
                "{ended:?} {}",
                bench.log()
            );
        }
        place.expect_state(&before)?;
    }
    Ok(())
}

#[test]
fn a_live_director_is_measured_without_its_knowing() -> Result<()> {
    let place = Place::build("bench-live")?;
    let mut command = place.tester.command(binary("tandem")?)?;
    command.arg("bench").args(THROUGH).args(["--seconds", "60"]);
    let traffic = place.tester.spawn("bench", command)?;
    wait_for(PATIENCE, "packets", || {
        place
            .tandem
            .ask(&["stats"])
            .is_ok_and(|stats| stats["packets"].as_u64() > Some(10_000))
    })?;
    let socket = place.tandem.socket().display().to_string();
    let watch = ["live", "--seconds", "1", "-j", "--socket", &socket];
    let results = Directory::new()?;
    let report = expect_results(results.path(), "live", |keep| {
        ask(&place.director, &[&watch[..], keep].concat())
    })?;
    let rows = report["rows"].as_array().context("rows")?;
    assert_eq!(rows.len(), 2, "{report}");
    assert_eq!(rows[0]["interface"], "near", "{report}");
    assert!(rows[0]["packets"].as_u64() > Some(100), "{report}");
    assert!(rows[0]["nanoseconds"].as_f64() > Some(0.0), "{report}");
    assert_eq!(rows[0]["driver"], "veth", "{report}");
    let parts = rows[0]["samples"].as_array().context("samples")?.len();
    assert!((2..=10).contains(&parts), "{report}");
    let said = compare(results.path(), "live", "live", &["-j"])?.json()?;
    assert_eq!(said["changes"][0]["name"], "near", "{said}");
    let doubts = said["doubts"].as_array().context("doubts")?;
    ensure!(
        doubts
            .iter()
            .any(|doubt| doubt.to_string().contains("came anyway")),
        "{said}"
    );
    traffic.kill()?;
    // Nothing of ours is among what the director counts: it forwarded everything, or knows why not.
    let said = ask(
        &place.director,
        &["live", "--seconds", "0.2", "--interface", "far"],
    )?;
    ensure!(said.code == Some(0) && said.out.contains("NS/PACKET"), "{said:?}");
    let said = ask(
        &place.tester,
        &["live", "--seconds", "0.2", "--interface", "back0"],
    )?;
    ensure!(
        said.code == Some(1) && said.err.contains("back0 has no XDP program"),
        "{said:?}"
    );
    Ok(())
}

/// Whatever a director knows of its packets and flows, and what is pinned and attached there; and how many packets it did not forward,
/// which the kernel sends a few of, unasked.
fn knowledge(place: &Place) -> Result<(String, u64)> {
    let mut stats = place.tandem.ask(&["stats"])?;
    let fields = stats.as_object_mut().context("an object")?;
    fields.remove("census_age_seconds");
    let reasons = fields.remove("reasons").context("reasons")?;
    let reasons = reasons.as_array().context("a list")?;
    let refused = reasons
        .iter()
        .filter_map(|reason| reason["packets"].as_u64())
        .sum();
    let flows = place.tandem.ask(&["flow"])?;
    let mut flows: Vec<String> = flows
        .as_array()
        .context("flows")?
        .iter()
        .map(|flow| format!("{} {} {}", flow["client"], flow["backend"], flow["state"]))
        .collect();
    flows.sort_unstable();
    let mut command = place.director.command("sh")?;
    let show = "ls -R /sys/fs/bpf; ip -d -o link show; ip -o address show; ip route show table all";
    let seen = command.args(["-c", show]).output()?;
    ensure!(seen.status.success(), "{seen:?}");
    Ok((
        format!("{stats}\n{flows:?}\n{}", String::from_utf8(seen.stdout)?),
        refused,
    ))
}

/// Nothing that would be a benchmark's packet or flow has come to it since.
fn expect_knowledge(place: &Place, (before, refused): &(String, u64)) -> Result<()> {
    const UNASKED: u64 = 500;
    let (after, now) = knowledge(place)?;
    let different = before
        .lines()
        .zip(after.lines())
        .find(|(before, after)| before != after);
    ensure!(before == &after, "{different:?}");
    ensure!(now - refused < UNASKED, "{refused}, and now {now}");
    Ok(())
}

#[test]
fn a_copy_of_a_live_director_is_measured_and_the_director_is_as_it_was() -> Result<()> {
    let place = Place::build("bench-copy")?;
    // It has flows, and nothing comes in any more.
    let traffic = [
        &THROUGH[..],
        &["--rounds", "1", "--seconds", "0.2", "--flows", "100", "-j"],
    ]
    .concat();
    ask(&place.tester, &traffic)?.json()?;
    let mut before = knowledge(&place)?;
    wait_for(
        PATIENCE,
        "the census to find all flows, and the director to rest",
        || {
            let now = knowledge(&place).unwrap_or_default();
            let flows = place
                .tandem
                .ask(&["stats"])
                .map(|stats| stats["tables"][0]["flows"].as_u64());
            std::mem::replace(&mut before, now.clone()).0 == now.0
                && flows.is_ok_and(|flows| flows == Some(100))
        },
    )?;
    let socket = place.tandem.socket().display().to_string();
    let live = ["fastpath", "--live", "--socket", &socket];
    let few = ["--rounds", "1", "--flows", "2000", "-j"];
    let report = ask(&place.director, &[&live[..], &few].concat())?.json()?;
    let living = &report["settings"]["living"];
    assert_eq!(living["same_program"], true, "{report}");
    assert_eq!(living["interface"], "far", "{report}");
    assert!(living["flows"].as_u64() >= Some(100), "{report}");
    assert_eq!(living["left_out"], serde_json::json!([]), "{report}");
    let names: Vec<&str> = report["rows"]
        .as_array()
        .context("rows")?
        .iter()
        .filter_map(|row| row["name"].as_str())
        .collect();
    for name in [
        "empty program",
        "MAC swap + TX",
        "192.0.2.10:53/udp, 1 flow",
        "192.0.2.10:53/udp, 2 k flows",
        "192.0.2.10:53/udp, new flow",
        "[2001:db8:1::10]:53/udp, 1 flow",
        "for nobody",
    ] {
        ensure!(names.contains(&name), "{name} is not in {names:?}");
    }
    expect_knowledge(&place, &before)?;
    // For people, of one frontend, and what cannot be.
    let one = [
        "--to",
        "192.0.2.10:53/udp",
        "--rounds",
        "1",
        "--flows",
        "10",
        "--filter",
        "1 flow",
    ];
    let said = ask(&place.director, &[&live[..], &one].concat())?;
    ensure!(
        said.code == Some(0) && said.out.contains("the program is the one that runs on far"),
        "{said:?}"
    );
    for (arguments, words) in [
        (
            &["--to", "192.0.2.10:54/udp"][..],
            "does not forward such packets (no_service)",
        ),
        (&["--flows", "1000000"], "has 65536 places"),
        (&["--interface", "eth9"], "there is no interface eth9"),
    ] {
        let said = ask(&place.director, &[&live[..], arguments].concat())?;
        ensure!(
            said.code == Some(1) && said.err.contains(words),
            "{words}: {said:?}"
        );
    }
    let nobody = [
        "fastpath",
        "--live",
        "--to",
        "192.0.2.10:53/udp",
        "--bpffs",
        "/sys/fs/bpf/nobodys",
    ];
    let said = ask(&place.director, &nobody)?;
    ensure!(
        said.code == Some(1) && said.err.contains("is tandemd running"),
        "{said:?}"
    );
    expect_knowledge(&place, &before)?;
    // Connections, translated and through tunnels.
    let service = |name: &str, port: u16, forward: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nlisten = [\"192.0.2.10:{port}\"]\nforward = \"{forward}\"\n\n[[service.backend]]\n\
             address = \"10.9.1.11\"\n\n"
        )
    };
    place.tandem.reload(&format!(
        "[director]\ninterfaces = [\"near\", \"far\"]\n\n[limits]\nflows_v4 = 65536\nflows_v6 = 65536\n\n{}{}",
        service("translated", 80, "nat"),
        service("tunnelled", 81, "tunnel")
    ))?;
    wait_for(PATIENCE, "both backends to be reached", || {
        place
            .tandem
            .ask(&["backend"])
            .is_ok_and(|backends| backends[0]["state"] == "ready" && backends[1]["state"] == "ready")
    })?;
    let both = ["--to", "192.0.2.10:80", "--to", "192.0.2.10:81/tcp"];
    let report = ask(&place.director, &[&live[..], &both, &few].concat())?.json()?;
    assert_eq!(
        report["settings"]["living"]["left_out"],
        serde_json::json!([]),
        "{report}"
    );
    let rows = report["rows"].as_array().context("rows")?;
    let of = |name: &str| rows.iter().any(|row| row["name"] == name);
    ensure!(
        of("192.0.2.10:80/tcp, 2 k flows")
            && of("192.0.2.10:81/tcp, new flow")
            && of("bare IPIP encapsulation"),
        "{report}"
    );
    Ok(())
}

#[test]
fn a_director_is_made_up_where_there_is_none() -> Result<()> {
    let bench = |arguments: &[&str]| {
        let mut command = Command::new(binary("tandem")?);
        Said::by(command.args(["bench", "fastpath"]).args(arguments))
    };
    let few = ["--rounds", "1", "--flows", "50000", "--filter", "nobody", "-j"];
    let results = Directory::new()?;
    let report = expect_results(results.path(), "fast", |keep| bench(&[&few[..], keep].concat()))?;
    let names: Vec<_> = report["rows"]
        .as_array()
        .context("rows")?
        .iter()
        .map(|row| &row["name"])
        .collect();
    assert_eq!(names, ["empty program", "for nobody"], "{report}");
    for (arguments, words) in [
        (&["--flows", "49999"][..], "from 50000"),
        (&["--flows", "268435456"], "MiB may be used without harm"),
        (&["--filter", "nonsense"], "no case has `nonsense`"),
    ] {
        let said = bench(arguments)?;
        ensure!(
            said.code == Some(1) && said.err.contains(words),
            "{words}: {said:?}"
        );
    }
    Ok(())
}

#[test]
fn what_would_not_work_or_would_harm_is_refused() -> Result<()> {
    let place = Place::build("bench-refused")?;
    let tester = &place.tester;
    let refused = |arguments: &[&str], code, words: &[&str]| -> Result<()> {
        let said = ask(tester, arguments)?;
        ensure!(
            said.code == Some(code)
                && said.out.is_empty()
                && words.iter().all(|word| said.err.contains(word)),
            "{words:?}: {said:?}"
        );
        Ok(())
    };
    let tx_rx = ["throughput", "--tx", "send0", "--rx", "back0"];
    let before = place.state()?;
    refused(
        &["throughput", "--tx", "eth9", "--rx", "back0"],
        1,
        &["there is no interface eth9", "`ip link`"],
    )?;
    refused(
        &["throughput", "--tx", "lo", "--rx", "back0"],
        1,
        &["lo is no Ethernet interface"],
    )?;
    refused(&["throughput", "--tx", "send0"], 1, &["send0 to itself", "--to"])?;
    refused(
        &[
            "throughput",
            "--tx",
            "send0",
            "--rx",
            "back0",
            "--to",
            "192.0.2.77:53",
        ],
        1,
        &["nobody on send0 answers for 192.0.2.77", "--mac"],
    )?;
    refused(
        &[&tx_rx[..], &["--frames", "9000"]].concat(),
        1,
        &["9000", "--frames 1514"],
    )?;
    refused(&[&tx_rx[..], &["--mac", "2:0"]].concat(), 2, &["six bytes"])?;
    tester
        .namespace()
        .ip(&["route add default via 192.0.2.1 dev send0"])?;
    refused(
        &tx_rx,
        1,
        &["default route leads through send0", "--allow-default-route"],
    )?;
    tester
        .namespace()
        .ip(&["route del default", "route add default dev back0 metric 7"])?;
    refused(&tx_rx, 1, &["default route leads through back0"])?;
    tester
        .namespace()
        .ip(&["route del default", "link set back0 down"])?;
    refused(&tx_rx, 1, &["back0 is down", "`ip link set back0 up`"])?;
    let all_up = || {
        wait_for(PATIENCE, "everything to be up again", || {
            place.state().is_ok_and(|now| now == before)
        })
    };
    tester.namespace().ip(&["link set back0 up"])?;
    all_up()?;
    place.director.namespace().ip(&["link set near down"])?;
    // The kernel says so a moment later.
    wait_for(PATIENCE, "the carrier to be lost", || {
        place.state().is_ok_and(|now| now.contains("NO-CARRIER"))
    })?;
    refused(&tx_rx, 1, &["send0 has no carrier", "cable"])?;
    place.director.namespace().ip(&["link set near up"])?;
    all_up()?;
    let link = Program::load("somebodys", &PASS)?.attach(tester.namespace(), "back0")?;
    refused(
        &tx_rx,
        1,
        &["back0 runs the XDP program `somebodys`", "tandem bench live"],
    )?;
    drop(link);
    Ok(())
}

/// Passes everything: `r0 = XDP_PASS; exit`.
const PASS: [u64; 2] = [
    lb_tests::xdp::instruction(0xb7, 0, 0, 0, 2),
    lb_tests::xdp::instruction(0x95, 0, 0, 0, 0),
];

#[test]
fn who_may_not_is_told_what_is_missing() -> Result<()> {
    const NOBODY: u32 = 65_534;
    // Neither this tree nor a private directory need be open to others.
    let directory = Directory::new()?;
    let copy = directory.path().join("tandem");
    fs::copy(binary("tandem")?, &copy)?;
    for path in [directory.path(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    for arguments in [&["throughput", "--tx", "lo"][..], &["live", "--interface", "lo"]] {
        let mut command = Command::new(&copy);
        command.uid(NOBODY).gid(NOBODY).arg("bench").args(arguments);
        let said = Said::by(&mut command)?;
        ensure!(
            said.code == Some(4) && said.err.contains("no permission") && said.err.contains("root"),
            "{said:?}"
        );
    }
    Ok(())
}
