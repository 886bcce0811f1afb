//! Facts in, findings out.

use std::path::PathBuf;

use super::{
    Level::{Problem, Warning},
    *,
};
use crate::{
    api::types::*,
    core::neighbour::Mac,
    net::link::{LinkFacts, Lower, Offloads, XdpMode, XdpProgram},
};

fn link() -> LinkFacts {
    LinkFacts {
        ifindex: 2,
        name: "eth0".into(),
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        mtu: 1500,
        admin_up: true,
        running: true,
        kind: None,
        driver: Some("ixgbe".into()),
        lower: None,
        vlan: None,
        master: None,
        xdp: Vec::new(),
        offloads: Offloads::default(),
    }
}

fn program(mode: XdpMode, name: Option<&str>) -> XdpProgram {
    XdpProgram {
        mode,
        id: 17,
        name: name.map(Into::into),
    }
}

fn facts() -> Facts {
    Facts {
        kernel: "6.1.0-18-amd64".into(),
        btf: true,
        bpffs: BpfFs::Mounted("/sys/fs/bpf".into()),
        capabilities: Some(u64::MAX),
        jit: Some(1),
        memory: Some(8 << 30),
        tables: 70 << 20,
        trial: Some(Ok(())),
        config_error: None,
        interfaces: vec![Interface {
            name: "eth0".into(),
            link: Ok(link()),
            peer: None,
        }],
        daemon: Daemon::NotRunning,
    }
}

fn running() -> Running {
    let json = |name: &str| {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/testdata");
        let path = PathBuf::from(directory).join(name);
        std::fs::read_to_string(path).unwrap()
    };
    Running {
        status: serde_json::from_str(&json("status.json")).unwrap(),
        services: serde_json::from_str(&json("services.json")).unwrap(),
        backends: serde_json::from_str(&json("backends.json")).unwrap(),
        stats: serde_json::from_str(&json("stats.json")).unwrap(),
    }
}

/// What is not as it should be.
fn complaints(facts: &Facts) -> Vec<(&'static str, Level)> {
    let findings = examine(facts).into_iter();
    let bad = findings.filter(|finding| finding.level != Level::Ok);
    bad.map(|finding| (finding.check, finding.level)).collect()
}

#[test]
fn of_a_fit_machine_nothing_is_complained() {
    let findings = examine(&facts());
    assert_eq!(complaints(&facts()), []);
    let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    let expected = [
        "kernel",
        "btf",
        "jit",
        "bpffs",
        "capabilities",
        "program",
        "memory",
        "daemon",
        "interface",
        "xdp",
        "mtu",
    ];
    assert_eq!(checks, expected);
}

#[test]
fn whoever_complains_says_why_and_what_to_do() {
    let mut bad = facts();
    bad.kernel = "5.10.0".into();
    bad.btf = false;
    bad.jit = Some(0);
    bad.capabilities = Some(0);
    bad.tables = 9 << 30;
    bad.interfaces.clear();
    bad.daemon = Daemon::Unknown("it hangs".into());
    let findings = examine(&bad);
    assert!(findings.iter().any(|finding| finding.level == Problem));
    for finding in findings {
        assert_eq!(finding.why.is_some(), finding.level != Level::Ok, "{finding:?}");
        assert_eq!(
            finding.advice.is_some(),
            finding.level != Level::Ok,
            "{finding:?}"
        );
    }
}

#[test]
fn kernels() {
    for (release, level) in [
        ("4.19.0-26-amd64", Problem),
        ("5.17.15", Problem),
        ("5.18.0", Warning),
        ("6.0.19-generic", Warning),
        ("6.1.0-18-amd64", Level::Ok),
        ("6.18", Level::Ok),
        ("7.0-rc1", Level::Ok),
        ("10.1", Level::Ok),
        ("linux", Warning),
        ("", Warning),
    ] {
        assert_eq!(machine::kernel(release).level, level, "{release}");
    }
}

#[test]
fn what_the_machine_gives() {
    let path = || PathBuf::from("/sys/fs/bpf");
    for (finding, level) in [
        (machine::btf(true), Level::Ok),
        (machine::btf(false), Warning),
        (machine::jit(1), Level::Ok),
        (machine::jit(2), Level::Ok),
        (machine::jit(0), Problem),
        (machine::bpffs(&BpfFs::Mounted(path())), Level::Ok),
        (machine::bpffs(&BpfFs::Other(path())), Problem),
        (machine::bpffs(&BpfFs::Unknown(path(), "no".into())), Warning),
        (machine::trial(&Ok(())), Level::Ok),
        (machine::trial(&Err("no".into())), Problem),
        (machine::memory_for(0, 0), Level::Ok),
        (machine::memory_for(100 << 20, 200 << 20), Level::Ok),
        (machine::memory_for(101 << 20, 200 << 20), Warning),
        (machine::memory_for(201 << 20, 200 << 20), Problem),
    ] {
        assert_eq!(finding.level, level, "{finding:?}");
    }
}

#[test]
fn what_the_user_may_do() {
    const ALL: u64 = 1 << 12 | 1 << 13 | 1 << 38 | 1 << 39;
    const SYS_ADMIN: u64 = 1 << 21;
    for (effective, missing) in [
        (u64::MAX, &[][..]),
        (ALL, &[]),
        (SYS_ADMIN | 1 << 12 | 1 << 13, &[]),
        (ALL & !(1 << 39), &["CAP_BPF"]),
        (SYS_ADMIN, &["CAP_NET_ADMIN", "CAP_NET_RAW"]),
        (0, &["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON", "CAP_BPF"]),
    ] {
        let finding = machine::capabilities(effective);
        assert_eq!(finding.level == Level::Ok, missing.is_empty(), "{effective:x}");
        for name in ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON", "CAP_BPF"] {
            assert_eq!(
                finding.what.contains(name),
                missing.contains(&name),
                "{finding:?}"
            );
        }
    }
    let mut started = facts();
    started.capabilities = Some(0);
    assert_eq!(complaints(&started), [("capabilities", Problem)]);
    started.daemon = Daemon::Running(Box::new(running()));
    assert!(!complaints(&started).contains(&("capabilities", Problem)));
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_problem() {
    let facts = Facts {
        config_error: Some("t.toml: 2 errors".into()),
        ..facts()
    };
    assert_eq!(complaints(&facts), [("config", Problem)]);
}

#[test]
fn interfaces_must_be_there_and_carry_frames() {
    let mut of = facts();
    of.interfaces.clear();
    assert_eq!(complaints(&of), [("interfaces", Warning)]);
    of.interfaces = vec![Interface {
        name: "eth7".into(),
        link: Err("there is no such interface".into()),
        peer: None,
    }];
    assert_eq!(complaints(&of), [("interface", Problem)]);
    let link = |ethernet: bool, admin_up, running| LinkFacts {
        mac: link().mac.filter(|_| ethernet),
        admin_up,
        running,
        ..link()
    };
    for (link, level) in [
        (link(true, true, true), Level::Ok),
        (link(true, false, false), Problem),
        (link(true, true, false), Problem),
        (link(false, true, true), Problem),
    ] {
        assert_eq!(interface::state(&link).level, level, "{link:?}");
    }
}

#[test]
fn programs_on_an_interface() {
    use XdpMode::{Generic, Native, Offloaded};
    for (attached, expected, level) in [
        (None, false, Level::Ok),
        (None, true, Problem),
        (Some((Native, Some("tandem"))), true, Level::Ok),
        (Some((Native, Some("tandem"))), false, Level::Ok),
        (Some((Native, None)), true, Level::Ok),
        (Some((Offloaded, Some("tandem"))), true, Level::Ok),
        (Some((Generic, Some("tandem"))), true, Warning),
        (Some((Generic, None)), true, Warning),
        (Some((Native, None)), false, Problem),
        (Some((Native, Some("xdp_dispatcher"))), false, Problem),
        (Some((Native, Some("xdp_dispatcher"))), true, Problem),
        (Some((Generic, Some("tandem_clock"))), true, Problem),
    ] {
        let mut link = link();
        link.xdp = attached
            .iter()
            .map(|(mode, name)| program(*mode, *name))
            .collect();
        let finding = interface::program(&link, expected).unwrap();
        assert_eq!(finding.level, level, "{attached:?} {expected}: {finding:?}");
    }
    let mut link = link();
    link.xdp = vec![program(Native, Some("tandem")), program(Generic, Some("other"))];
    let finding = interface::program(&link, true).unwrap();
    assert!(finding.what.contains("`other` (id 17)"), "{finding:?}");
}

#[test]
fn kinds_of_interfaces() {
    for (kind, level) in [
        (None, None),
        (Some("veth"), None),
        (Some("bond"), None),
        (Some("vlan"), Some(Warning)),
        (Some("bridge"), Some(Warning)),
        (Some("macvlan"), Some(Warning)),
    ] {
        let mut link = link();
        link.kind = kind.map(Into::into);
        let finding = interface::kind(&link);
        assert_eq!(finding.map(|finding| finding.level), level, "{kind:?}");
    }
    let mut link = link();
    (link.kind, link.vlan) = (Some("vlan".into()), Some(100));
    link.lower = Some(Lower {
        ifindex: 1,
        name: Some("eno1".into()),
    });
    let finding = interface::kind(&link).unwrap();
    assert_eq!(finding.what, "eth0 is VLAN 100 of eno1");
    assert_eq!(finding.advice.unwrap(), "balance on eno1 instead");
}

#[test]
fn ports_offloads_and_room() {
    let mut link = link();
    assert_eq!(interface::port(&link), None);
    assert_eq!(interface::large_receive(&link), None);
    link.master = Some("bond0".into());
    assert_eq!(interface::port(&link).unwrap().level, Warning);
    for (lro, level) in [(Some(false), None), (Some(true), Some(Warning))] {
        link.offloads.lro = lro;
        assert_eq!(
            interface::large_receive(&link).map(|finding| finding.level),
            level
        );
    }
    for (mtu, level) in [
        (1280, Warning),
        (1499, Warning),
        (1500, Level::Ok),
        (9000, Level::Ok),
    ] {
        link.mtu = mtu;
        assert_eq!(interface::room(&link).level, level, "{mtu}");
    }
}

#[test]
fn the_other_end_of_a_veth() {
    let mut near = link();
    assert_eq!(interface::peer(&near, None), []);
    near.kind = Some("veth".into());
    let levels = |peer: Option<&LinkFacts>| {
        let findings = interface::peer(&near, peer).into_iter();
        findings
            .map(|finding| (finding.check, finding.level))
            .collect::<Vec<_>>()
    };
    assert_eq!(levels(None), [("veth", Warning)]);
    let mut far = link();
    assert_eq!(levels(Some(&far)), [("veth", Problem)]);
    far.offloads.tx_checksum = Some(true);
    assert_eq!(levels(Some(&far)), [("veth", Problem), ("checksum", Problem)]);
    far.xdp = vec![program(XdpMode::Native, None)];
    assert_eq!(levels(Some(&far)), [("checksum", Problem)]);
    far.offloads.tx_checksum = Some(false);
    assert_eq!(levels(Some(&far)), [("veth", Level::Ok)]);
}

#[test]
fn what_a_running_daemon_says() {
    let mut running = running();
    running.status.interfaces.clear();
    for backend in &mut running.backends {
        backend.state = BackendState::Ready;
    }
    for service in &mut running.services {
        service.backends_ready = 1;
    }
    running.stats.events.iter_mut().for_each(|event| event.count = 0);
    running
        .stats
        .reasons
        .iter_mut()
        .for_each(|reason| reason.packets = 0);
    let with = |change: fn(&mut Running)| {
        let mut running = running.clone();
        change(&mut running);
        complaints(&Facts {
            daemon: Daemon::Running(Box::new(running)),
            ..facts()
        })
    };
    assert_eq!(with(|_| {}), []);
    assert_eq!(
        with(|running| running.services[0].backends_ready = 0),
        [("service", Problem)]
    );
    let unresolve = |running: &mut Running| {
        running.backends[0].state = BackendState::Unresolved {
            reason: "gone".into(),
        };
    };
    assert_eq!(with(unresolve), [("backend", Warning)]);
    let evict = |running: &mut Running| {
        let mut events = running.stats.events.iter_mut();
        events.find(|event| event.slug == "evicted_active").unwrap().count = 1;
    };
    assert_eq!(with(evict), [("flow table", Warning)]);
    let lose = |running: &mut Running| {
        let mut reasons = running.stats.reasons.iter_mut();
        reasons
            .find(|reason| reason.slug == "map_missing")
            .unwrap()
            .packets = 1;
    };
    assert_eq!(with(lose), [("maps", Problem)]);
    let unknown = Facts {
        daemon: Daemon::Unknown("no permission".into()),
        ..facts()
    };
    assert_eq!(complaints(&unknown), [("daemon", Warning)]);
}
