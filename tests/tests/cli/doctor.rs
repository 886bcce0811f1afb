//! `tandem doctor` on real interfaces, good and bad.

use anyhow::{Context as _, Result, ensure};
use lb_tests::{
    Host, Lab, LabError,
    tandem::binary,
    xdp::{Program, instruction},
};
use serde_json::Value;

use crate::canned::Said;

fn ask(host: &Host, arguments: &[&str]) -> Result<Said> {
    let mut command = host.command(binary("tandem")?)?;
    command.env("TANDEM_SOCKET", host.run_dir().join("tandem.sock"));
    Said::by(command.arg("doctor").args(arguments))
}

/// What `doctor -j` said.
struct Report {
    code: Option<i32>,
    /// Check, level, and what was seen.
    findings: Vec<[String; 3]>,
}

impl Report {
    fn of(host: &Host, arguments: &[&str]) -> Result<Self> {
        let said = ask(host, &[arguments, &["-j"]].concat())?;
        ensure!(said.err.is_empty(), "{said:?}");
        let code = said.code;
        let report = said.json()?;
        let findings = report["findings"].as_array().context("a list of findings")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = |finding: &Value| ["check", "level", "what"].map(|field| text(&finding[field]));
        Ok(Self {
            code,
            findings: findings.iter().map(fields).collect(),
        })
    }

    /// Level and words of each finding of this check.
    fn check(&self, name: &str) -> Vec<(&str, &str)> {
        let of_check = self.findings.iter().filter(|[check, ..]| check == name);
        of_check
            .map(|[_, level, what]| (level.as_str(), what.as_str()))
            .collect()
    }

    /// Level of each finding of this check.
    fn levels(&self, name: &str) -> Vec<&str> {
        self.check(name).into_iter().map(|(level, _)| level).collect()
    }
}

/// A program that passes everything.
fn pass(name: &str) -> Result<Program, LabError> {
    const MOVE_VALUE: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    const XDP_PASS: i32 = 2;
    let code = [
        instruction(MOVE_VALUE, 0, 0, 0, XDP_PASS),
        instruction(EXIT, 0, 0, 0, 0),
    ];
    Program::load(name, &code)
}

fn ip(host: &Host, arguments: &str) -> Result<()> {
    let output = host.command("ip")?.args(arguments.split(' ')).output()?;
    ensure!(output.status.success(), "ip {arguments}: {output:?}");
    Ok(())
}

#[test]
fn a_host_of_the_lab_is_fit_but_for_the_end_that_cannot_be_seen() -> Result<()> {
    let lab = Lab::new("doctor-fit")?;
    let (switch, host) = (lab.switch("public")?, lab.host("director")?);
    host.connect(&switch, &["192.0.2.2/24"])?;
    let arguments = ["--interface", "eth0"];
    let report = Report::of(&host, &arguments)?;
    assert_eq!(report.code, Some(0));
    for (check, level) in [
        ("kernel", "ok"),
        ("bpffs", "ok"),
        ("capabilities", "ok"),
        ("program", "ok"),
        ("memory", "ok"),
        ("daemon", "ok"),
        ("interface", "ok"),
        ("xdp", "ok"),
        ("mtu", "ok"),
        ("veth", "warning"),
    ] {
        assert_eq!(report.levels(check), [level], "{check}: {:?}", report.findings);
    }
    let said = ask(&host, &arguments)?.expect()?;
    ensure!(
        said.contains("ok       eth0 is up, driver veth, MTU 1500\n"),
        "{said}"
    );
    ensure!(said.ends_with("\nno problems, 1 warning\n"), "{said}");
    Ok(())
}

#[test]
fn another_program_in_the_way_is_named() -> Result<()> {
    let lab = Lab::new("doctor-xdp")?;
    let (switch, host) = (lab.switch("public")?, lab.host("director")?);
    host.connect(&switch, &["192.0.2.2/24"])?;
    let link = pass("stranger")?.attach(host.namespace(), "eth0")?;
    let report = Report::of(&host, &["-i", "eth0"])?;
    let found = report.check("xdp");
    ensure!(
        found.len() == 1
            && found[0]
                .1
                .starts_with("eth0 runs another XDP program `stranger` (id "),
        "{found:?}"
    );
    assert_eq!((report.code, found[0].0), (Some(1), "problem"));
    drop(link);
    let report = Report::of(&host, &["-i", "eth0"])?;
    assert_eq!((report.code, report.levels("xdp")), (Some(0), vec!["ok"]));
    Ok(())
}

#[test]
fn interfaces_that_are_missing_down_or_small_are_found() -> Result<()> {
    let lab = Lab::new("doctor-link")?;
    let (switch, host) = (lab.switch("public")?, lab.host("director")?);
    host.connect(&switch, &["192.0.2.2/24"])?;
    let report = Report::of(&host, &["-i", "eth7", "-i", "lo"])?;
    let expected = [
        ("problem", "eth7: there is no such interface"),
        ("problem", "lo is no Ethernet interface"),
    ];
    assert_eq!(
        (report.code, report.check("interface")),
        (Some(1), expected.to_vec())
    );

    ip(&host, "link set dev eth0 mtu 1280")?;
    let report = Report::of(&host, &["-i", "eth0"])?;
    assert_eq!((report.code, report.levels("mtu")), (Some(0), vec!["warning"]));

    ip(&host, "link set dev eth0 down")?;
    let report = Report::of(&host, &["-i", "eth0"])?;
    let expected = vec![("problem", "eth0 is down")];
    assert_eq!((report.code, report.check("interface")), (Some(1), expected));
    Ok(())
}

#[test]
fn the_other_end_of_a_veth_is_examined_where_it_can_be_seen() -> Result<()> {
    let lab = Lab::new("doctor-veth")?;
    let host = lab.host("director")?;
    ip(&host, "link add near type veth peer name far")?;
    ip(&host, "link set dev near up")?;
    ip(&host, "link set dev far up")?;
    let report = Report::of(&host, &["-i", "near"])?;
    assert_eq!(report.levels("veth"), ["problem"]);
    assert_eq!(report.levels("checksum"), ["problem"]);
    let output = host
        .command("ethtool")?
        .args(["-K", "far", "tx", "off"])
        .output()?;
    ensure!(output.status.success(), "{output:?}");
    let _link = pass("pass")?.attach(host.namespace(), "far")?;
    let report = Report::of(&host, &["-i", "near"])?;
    assert_eq!(report.levels("veth"), ["ok"]);
    assert_eq!(report.levels("checksum"), [""; 0]);
    Ok(())
}

#[test]
fn a_configuration_is_examined_too() -> Result<()> {
    let lab = Lab::new("doctor-config")?;
    let host = lab.host("director")?;
    let file = host.run_dir().join("tandem.toml");
    let path = file.to_str().context("a plain path")?;
    std::fs::write(
        &file,
        "[director]\ninterfaces = [\"eth5\"]\n[limits]\nflows_v4 = \"64M\"\n",
    )?;
    let report = Report::of(&host, &["--config", path])?;
    let expected = vec![("problem", "eth5: there is no such interface")];
    assert_eq!((report.code, report.check("interface")), (Some(1), expected));
    // 64 M flows of 32 bytes, and a little more that depends on the number of CPUs.
    let memory = report.check("memory");
    let mib = memory[0].1.split(' ').find_map(|word| word.parse().ok());
    ensure!(
        mib.is_some_and(|mib: u64| (2048..2200).contains(&mib)),
        "{memory:?}"
    );

    std::fs::write(&file, "[director\n")?;
    let report = Report::of(&host, &["--config", path])?;
    assert_eq!((report.code, report.levels("config")), (Some(1), vec!["problem"]));
    Ok(())
}
