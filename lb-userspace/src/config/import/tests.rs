//! The importers as their callers see them.

use std::{env, fmt::Write as _, fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::config::parse;

/// Set to 1, it makes the tests write what they would compare.
const BLESS: &str = "TANDEM_BLESS";

fn shown(report: &Report) -> String {
    let mut text = String::new();
    for note in report.notes() {
        let mark = if note.attention { '!' } else { ' ' };
        let (place, statement, fate, why) = (&note.place, &note.statement, note.fate, &note.why);
        let _ = writeln!(text, "{mark} {place} {fate}: {statement} => {why}");
    }
    text
}

fn compare(path: &Path, got: &str) {
    if env::var_os(BLESS).is_some_and(|value| value == "1") {
        fs::write(path, got).expect("written");
    }
    let want = fs::read_to_string(path).unwrap_or_default();
    assert!(
        got == want,
        "{} is not what comes out; run again with {BLESS}=1 and look at the difference",
        path.display()
    );
}

/// Each `testdata/X` of the old program has beside it what came of it, in `X.toml` and `X.report`.
fn goldens(directory: &str, extension: &str, import: impl Fn(&Path) -> Result<Imported, ImportError>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/config/import/testdata")
        .join(directory);
    let mut cases = 0;
    for entry in fs::read_dir(&directory).expect("the directory of cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|found| found != extension) {
            continue;
        }
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        match import(&path) {
            Ok(imported) => {
                let toml = imported.toml.replace(&*directory.to_string_lossy(), "DIR");
                let report = shown(&imported.report).replace(&*directory.to_string_lossy(), "DIR");
                compare(&path.with_extension("toml"), &toml);
                compare(&path.with_extension("report"), &report);
                // Whatever was left out: the daemon takes what is there.
                if let Err(error) = parse(&name, toml, "lb1") {
                    panic!("{}", error.render());
                }
            }
            Err(error) => {
                let error = error.to_string().replace(&*directory.to_string_lossy(), "DIR");
                compare(&path.with_extension("error"), &format!("{error}\n"));
            }
        }
        cases += 1;
    }
    assert!(cases >= 3, "only {cases} cases found");
}

#[test]
fn files_of_keepalived() {
    let options = keepalived::Options {
        config_id: "main".to_owned(),
        interfaces: Vec::new(),
    };
    goldens("keepalived", "conf", |path| keepalived::import(path, &options));
}

#[test]
fn rules_of_ipvsadm() {
    goldens("ipvsadm", "rules", |path| {
        let text = fs::read_to_string(path).expect("a case");
        ipvsadm::import(&path.file_name().expect("a file").to_string_lossy(), &text, &[])
    });
}

/// Words that have a meaning somewhere, and values that stretch it.
const WORDS: &[&str] = &[
    "virtual_server",
    "real_server",
    "192.0.2.10",
    "192.0.2.11",
    "10.0.0.1",
    "127.0.0.1",
    "2001:db8::1",
    "fe80::1",
    "0.0.0.0",
    "80",
    "0",
    "99999",
    "group",
    "g",
    "fwmark",
    "protocol",
    "TCP",
    "UDP",
    "SCTP",
    "weight",
    "70000",
    "-1",
    "snmp_name",
    "a b",
    "10.0.0.2",
    "lvs_method",
    "DR",
    "NAT",
    "TUN",
    "lvs_sched",
    "wrr",
    "mh",
    "sh-port",
    "persistence_timeout",
    "persistence_granularity",
    "255.255.255.0",
    "64",
    "flag-1",
    "sorry_server",
    "uthreshold",
    "lthreshold",
    "virtual_server_group",
    "192.0.2.1-9",
    "interface",
    "eth0",
    "no/name",
    "vrrp_instance",
    "virtual_ipaddress",
    "dev",
    "global_defs",
    "router_id",
    "-",
    "notification_email",
    "ops@example.net",
    "ops",
    "smtp_server",
    "mail/x",
    "default_interface",
    "\u{e4}",
    "virtual_router_id",
    "51",
    "priority",
    "advert_int",
    "0.1",
    "unicast_peer",
    "nopreempt",
    "preempt_delay",
    "vrrp_sync_group",
    "notify",
    "/bin/true x",
    "garp_master_refresh",
    "lvs_timeouts",
    "tcp",
    "version",
    "3",
    "TCP_CHECK",
    "HTTP_GET",
    "SSL_GET",
    "url",
    "path",
    "/healthz",
    "status_code",
    "200-299",
    "regex",
    "(",
    "MISC_CHECK",
    "misc_path",
    "misc_dynamic",
    "DNS_CHECK",
    "name",
    "type",
    "SMTP_CHECK",
    "helo_name",
    "UDP_CHECK",
    "payload",
    "require_reply",
    "connect_timeout",
    "connect_port",
    "delay_loop",
    "retry",
    "quorum",
    "hysteresis",
    "virtualhost",
    "FNAT",
    "laddr_group_name",
    "local_address_group",
    "gue",
    "port",
    "6080",
    "csum",
];

/// How a server is reached.
const METHODS: &[&str] = &[
    "DR",
    "NAT",
    "FNAT",
    "TUN",
    "TUN type gue port 6080 csum",
    "TUN type gre",
];

/// How one is checked.
fn check() -> impl Strategy<Value = String> {
    let checks = &[
        "TCP_CHECK",
        "HTTP_GET",
        "SSL_GET",
        "MISC_CHECK",
        "DNS_CHECK",
        "SMTP_CHECK",
        "UDP_CHECK",
        "PING_CHECK",
    ];
    (select(checks), statements(), select(WORDS)).prop_map(|(kind, more, path)| {
        format!("{kind} {{\n{more}url {{\npath \"{path}\"\n{more}}}\nmisc_path \"{path}\"\n}}\n")
    })
}

/// A statement: words, and perhaps a block.
fn statements() -> impl Strategy<Value = String> {
    let words = || {
        vec(select(WORDS), 1..4).prop_map(|words| {
            words
                .iter()
                .map(|word| format!("\"{word}\""))
                .collect::<Vec<_>>()
                .join(" ")
        })
    };
    words()
        .prop_map(|line| line + "\n")
        .prop_recursive(3, 40, 6, move |inner| {
            (words(), vec(inner, 0..6)).prop_map(|(line, block)| format!("{line} {{\n{}}}\n", block.concat()))
        })
}

/// An instance that is one.
fn instance() -> impl Strategy<Value = String> {
    (select(WORDS), 0..256_u32, 0..300_u32, vec((0..3_u8, statements()), 0..5)).prop_map(|(name, vrid, priority, vips)| {
        let vips: String = vips
            .iter()
            .map(|(last, more)| format!("{more}virtual_ipaddress {{\n192.0.2.{last}/24\n2001:db8::{last}\n}}\n"))
            .collect();
        format!("vrrp_instance \"{name}\" {{\ninterface eth0\nvirtual_router_id {vrid}\npriority {priority}\n{vips}}}\n")
    })
}

/// A group of whatever there is.
fn group() -> impl Strategy<Value = String> {
    (select(WORDS), vec(select(WORDS), 0..4)).prop_map(|(name, members)| {
        let members: String = members.iter().map(|member| format!("\"{member}\"\n")).collect();
        format!("vrrp_sync_group \"{name}\" {{\ngroup {{\n{members}}}\n}}\n")
    })
}

/// A virtual server that is one, of whatever there is.
fn server() -> impl Strategy<Value = String> {
    (
        select(&["192.0.2.10", "2001:db8::1", "10.0.0.1", "127.0.0.1"]),
        0..90_000_u32,
        select(METHODS),
        statements(),
        vec(
            (
                0..4_u8,
                0..3_u32,
                select(&[80, 8080]),
                prop_oneof![statements(), check()],
            ),
            0..4,
        ),
    )
        .prop_map(|(vip, port, method, more, servers)| {
            let servers: String = servers
                .iter()
                .map(|(last, weight, port, more)| {
                    format!("real_server 10.0.0.{last} {port} {{\nweight {weight}\n{more}}}\n")
                })
                .collect();
            format!(
                "local_address_group g {{\n10.0.0.2-12\n}}\n\
                 virtual_server {vip} {port} {{\nlvs_method {method}\nladdr_group_name g\n{more}{servers}}}\n"
            )
        })
}

proptest! {
    #[test]
    fn whatever_comes_of_it_is_valid(parts in vec(prop_oneof![statements(), server(), instance(), group()], 1..8)) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("keepalived.conf");
        fs::write(&path, parts.concat()).expect("written");
        let options = keepalived::Options { config_id: String::new(), interfaces: Vec::new() };
        match keepalived::import(&path, &options) {
            Ok(imported) => {
                if let Err(error) = parse("x", imported.toml.clone(), "lb1") {
                    prop_assert!(false, "{}\n{}\n{}", parts.concat(), imported.toml, error.render());
                }
            }
            Err(ImportError::Nothing { .. }) => {}
            Err(error) => prop_assert!(false, "{}\n{error}", parts.concat()),
        }
    }

    #[test]
    fn any_rules_get_an_answer(lines in vec(vec(select(&[
        "-A", "-a", "-t", "-u", "-f", "-r", "-s", "-w", "-p", "-x", "-y", "-b", "mh-port", "-g", "-m", "-i", "-o", "rr", "mh", "192.0.2.10:80", "10.0.0.1:80",
        "192.0.2.12:0", "--sctp-service", "127.0.0.1:80", "[2001:db8::1]:80", "0", "1", "99999", "--tcp-service=192.0.2.10:81", "-x", "-M", "10.0.0.2:8080",
        "--tun-type", "gue", "gre", "--tun-port", "6080", "--tun-csum",
    ]), 1..9), 0..8)) {
        let text: String = lines.iter().map(|words| words.join(" ") + "\n").collect();
        if let Ok(imported) = ipvsadm::import("x", &text, &[]) {
            let rules = lines.len();
            prop_assert_eq!(imported.report.notes().len(), rules);
            if let Err(error) = parse("x", imported.toml.clone(), "lb1") {
                prop_assert!(false, "{}\n{}\n{}", text, imported.toml, error.render());
            }
        }
    }
}
