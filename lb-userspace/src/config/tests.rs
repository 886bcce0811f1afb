//! The module as its callers see it.

mod checks;
mod heartbeats;
mod instances;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    net::IpAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use lb_common::flow_state::FlowState;
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::core::event;
use crate::core::health;
use crate::core::model::{
    Api, Audience, Backend, Cluster, Connections, DEFAULT_TABLE_SIZE, DEFAULT_WEIGHT, Director, Drain,
    Encapsulation, Flood, Forward, Frontend, Limits, MAX_WEIGHT, Metrics, OnGone, OnUnknown, Persistence,
    Protocol, Service, Share, SyncPath, Telling, Thresholds,
};
use crate::core::order::AtDeadline;
use crate::core::schedule::{HashField, Scheduler, Scheduling};
use crate::core::seal::{Authentication, MAX_KEYS};
use crate::core::timeouts::Timeouts;

const HOST: &str = "lb1";

fn read(text: &str) -> Result<Loaded, ConfigError> {
    parse("tandem.toml", text.to_owned(), HOST)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Each `testdata/X.toml` has beside it, in `X.txt`, what the operator gets to see; `TANDEM_BLESS=1` writes that.
#[test]
fn messages() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata");
    let mut cases = 0;
    for entry in fs::read_dir(&directory).expect("the directory of cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).expect("a case");
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let got = match parse(&name, text, HOST) {
                Ok(loaded) => loaded.warnings.to_string(),
                Err(error) => error.render(),
            };
            if std::env::var_os("TANDEM_BLESS").is_some() {
                fs::write(path.with_extension("txt"), &got).expect("the answer can be written");
            }
            let want = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
            assert_eq!(got, want, "{name} gets another answer:\n{got}");
            cases += 1;
        }
    }
    assert!(cases >= 20, "only {cases} cases found");
}

#[test]
fn the_packaged_example_is_valid_and_says_the_defaults() {
    let text = include_str!("../../../packaging/tandem.toml");
    let short = read(text).expect("valid");
    assert!(short.warnings.is_empty(), "{}", short.warnings);
    // Every commented key is the default: with the comment signs away the file means the same, but for the
    // names.
    let long = text.lines().map(|line| {
        let key = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        key.unwrap_or(line).to_owned() + "\n"
    });
    let mut long = read(&long.collect::<String>()).expect("valid").config;
    assert_eq!(long.director.name, "a");
    long.director.name = HOST.to_owned();
    assert_eq!(long, short.config);
}

#[test]
fn the_documented_example_is_valid() {
    let docs = include_str!("../../../docs/configuration.md");
    let example = docs
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("an example");
    let loaded = read(example).expect("valid");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.config.services[0].backends[1].weight, 50);
}

#[test]
fn defaults() {
    let loaded = read(
        "director.interfaces = ['eth0']\n[[service]]\nname = 'web'\nlisten = ['192.0.2.10:80']\n\
         backend = [{ address = '10.0.0.11' }]",
    );
    let expected = Config {
        director: Director {
            name: HOST.to_owned(),
            interfaces: vec!["eth0".to_owned()],
            manage_vips: true,
            pool_share: Share::WHOLE,
            track: Vec::new(),
        },
        cluster: None,
        sync: None,
        limits: Limits {
            flows_v4: 1 << 20,
            flows_v6: 1 << 18,
            translations_v4: 1 << 16,
            translations_v6: 1 << 14,
            backends: 1 << 14,
            slots: 1 << 22,
        },
        events: event::Settings::default(),
        metrics: Metrics::default(),
        api: Api::default(),
        instances: Vec::new(),
        heartbeats: Vec::new(),
        services: vec![Service {
            name: "web".to_owned(),
            frontends: vec![Frontend {
                vip: ip("192.0.2.10"),
                port: 80,
                protocol: Protocol::Tcp,
            }],
            areas: Vec::new(),
            scheduling: Scheduling::new(Scheduler::Maglev, DEFAULT_TABLE_SIZE),
            forward: Forward::Dr,
            pool: None,
            timeouts: Timeouts::default(),
            connections: Connections::default(),
            health: health::Health::default(),
            slow_start: Duration::ZERO,
            drain: None,
            backends: vec![Backend {
                name: "10.0.0.11".to_owned(),
                address: ip("10.0.0.11"),
                port: None,
                weight: DEFAULT_WEIGHT,
                thresholds: Thresholds::default(),
                backup: false,
                server_id: None,
            }],
        }],
    };
    assert_eq!(loaded.expect("valid").config, expected);
}

#[test]
fn both_families_may_serve_either() {
    let loaded = read(
        "director.interfaces = ['eth0']\n[[service]]\nname = 'web'\n\
         listen = ['192.0.2.10:80', '[2001:db8::10]:80']\n\
         [[service.backend]]\naddress = '10.0.0.11'\n[[service.backend]]\naddress = '2001:db8::11'\n",
    );
    let service = loaded.expect("valid").config.services.remove(0);
    assert_eq!(
        service.backends.iter().map(|b| b.address).collect::<Vec<_>>(),
        [ip("10.0.0.11"), ip("2001:db8::11")]
    );
}

#[test]
fn a_director_needs_a_name_from_somewhere() {
    let text = "director.interfaces = ['eth0']";
    assert_eq!(read(text).expect("valid").config.director.name, HOST);
    let error = parse("tandem.toml", text.to_owned(), "").expect_err("no name");
    assert_eq!(
        error.render(),
        "error: the director has no name, and the host name cannot serve as one\n --> tandem.toml\n  \
         = set `name` under [director]\n"
    );
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("tandem.toml");
    let shown = path.display();

    let error = load(&path).expect_err("absent");
    assert!(matches!(error, ConfigError::NotFound(_)));
    assert_eq!(
        error.render(),
        format!(
            "error: there is no configuration file `{shown}`: create it \
             (docs/configuration.md says how) or name another with --config\n"
        )
    );

    let error = load(dir.path()).expect_err("a directory");
    assert!(matches!(error, ConfigError::IsDirectory(_)), "{error:?}");

    fs::write(&path, b"[director]\n# caf\xe9\n").expect("written");
    let error = load(&path).expect_err("Latin-1");
    assert!(matches!(error, ConfigError::NotUtf8 { line: 2, .. }), "{error:?}");

    let file = File::create(&path).expect("created");
    file.set_len(MAX_FILE_SIZE + 1).expect("a sparse file");
    let error = load(&path).expect_err("too large");
    assert!(matches!(error, ConfigError::TooLarge(_)), "{error:?}");
    assert!(matches!(
        load(Path::new("/dev/zero")).expect_err("endless"),
        ConfigError::TooLarge(_)
    ));

    fs::write(&path, "[director]\ninterfaces = ['eth0']\nname = 'a'\n").expect("written");
    assert_eq!(load(&path).expect("valid").config.director.name, "a");

    fs::write(
        &path,
        "[director]\ninterfaces = []\n[[service]]\nname = 'x'\nlisten = []\n",
    )
    .expect("written");
    assert_eq!(
        load(&path).expect_err("invalid").to_string(),
        format!("{shown}: 2 errors")
    );
}

#[test]
fn a_file_of_somebody_else() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("tandem.toml");
    fs::write(&path, "").expect("written");
    let error = io::Error::from(io::ErrorKind::PermissionDenied);
    assert!(matches!(
        files::unreadable(&path, error),
        ConfigError::PermissionDenied(_)
    ));
}

#[test]
fn what_is_shown_is_bounded_and_harmless() {
    let long = format!(
        "director.interfaces = ['eth0']\n[[service]]\nname = '{}'\nlisten = []\n",
        "x".repeat(100_000)
    );
    let shown = read(&long).expect_err("invalid").render();
    assert!(shown.lines().all(|line| line.chars().count() < 300), "{shown}");

    let many = "director.interfaces = ['eth0']\n".to_owned()
        + &"[[service]]\nname = 'x y'\nlisten = []\n".repeat(1000);
    let shown = read(&many).expect_err("invalid").render();
    assert!(shown.ends_with("\n… and 2950 more\n"), "{shown}");

    let escape = read("a = \u{1b}[31m").expect_err("invalid").render();
    assert!(!escape.contains('\u{1b}'), "{escape:?}");
}

#[test]
fn the_carets_are_below_the_culprit() {
    let wide = "x".repeat(500);
    for line in [
        "colour = 1",
        "\tcolour = 1",
        " \t\t colour = 1",
        "director = { name = 'äöü', colour = 1 }",
        &format!("director = {{ colour = 1, name = '{wide}' }}"),
        &format!("director = {{ name = '{wide}', colour = 1, interfaces = ['{wide}'] }}"),
    ] {
        let shown = read(&format!("# first line\r\n{line}\r\n"))
            .expect_err("there is no such key")
            .render();
        let lines: Vec<&str> = shown.lines().collect();
        let (text, carets) = (lines[3], lines[4]);
        let at = carets.chars().position(|c| c == '^').expect("a caret");
        assert_eq!(
            text.chars().skip(at).take(6).collect::<String>(),
            "colour",
            "{shown}"
        );
        assert_eq!(carets.matches('^').count(), 6, "{shown}");
        // The n-th tab of one line is above the n-th tab of the other.
        let tabs = |line: &str| line.chars().take(at).map(|c| c == '\t').collect::<Vec<_>>();
        assert_eq!(tabs(text), tabs(carets), "{shown}");
    }
}

mod arguments {
    use super::*;

    fn from(interfaces: &[&str], vips: &[&str], backends: &[&str]) -> Result<Loaded, ConfigError> {
        let owned = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        args::parse(&owned(interfaces), &owned(vips), &owned(backends), HOST)
    }

    #[test]
    fn make_the_same_as_a_file() {
        let loaded = from(
            &["eth0"],
            &["192.0.2.10:80", "[2001:db8::10]:53/udp"],
            &["10.0.0.11", "10.0.0.12=50", "2001:db8::13=0"],
        );
        let file = read(
            "director.interfaces = ['eth0']\n[[service]]\nname = 'default'\n\
             listen = ['192.0.2.10:80', '[2001:db8::10]:53/udp']\n\
             backend = [{ address = '10.0.0.11' }, { address = '10.0.0.12', weight = 50 }, \
             { address = '2001:db8::13', weight = 0 }]",
        );
        assert_eq!(loaded.expect("valid").config, file.expect("valid").config);
    }

    #[test]
    fn errors_quote_the_argument() {
        let error = from(
            &["eth0"],
            &["192.0.2.10", "192.0.2.11:80", "192.0.2.11:80/tcp"],
            &["192.0.2.11", "10.0.0.12=many", "10.0.0.13=70000", "10.0.0.14:80"],
        );
        assert_eq!(
            error.expect_err("all wrong").render(),
            include_str!("testdata/arguments.txt")
        );
    }

    #[test]
    fn none_at_all() {
        let error = from(&[], &[], &[]).expect_err("nothing to do");
        assert_eq!(error.render(), include_str!("testdata/no_arguments.txt"));
    }
}

/// Bytes that mean something in TOML, and some that do not.
const SLIPS: &[u8] = b"[]{}\"'=,.:#\n\t 09aZ\\\xc3";

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9._:][A-Za-z0-9._:-]{0,62}"
}

fn address(prefix: u16) -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 2]>().prop_map(move |[a, b]| IpAddr::from([prefix as u8, 0, a, b])),
        any::<[u16; 3]>().prop_map(move |[a, b, c]| IpAddr::from([0x2001, 0xdb8, prefix, a, 0, 0, b, c])),
    ]
}

fn backends() -> impl Strategy<Value = Vec<Backend>> {
    let set = |size| {
        (
            proptest::collection::btree_set(name(), size),
            proptest::collection::btree_set(address(10), size),
        )
    };
    (0..20_usize)
        .prop_flat_map(move |size| {
            let threshold = prop_oneof![Just(0), 1..=65_535u32];
            (set(size), vec((0..=MAX_WEIGHT, threshold, any::<bool>()), size))
        })
        .prop_map(|((names, addresses), rest)| {
            let pairs = names.into_iter().zip(addresses).zip(rest);
            pairs
                .map(|((name, address), (weight, upper, backup))| Backend {
                    name,
                    address,
                    port: None,
                    weight,
                    thresholds: Thresholds {
                        upper,
                        lower: upper / 2,
                    },
                    backup,
                    server_id: None,
                })
                .collect()
        })
}

/// Every scheduler in turn, some of those that hash with options.
fn scheduling(index: usize, table_size: u32) -> Scheduling {
    let scheduler = Scheduler::ALL[(index + table_size as usize) % Scheduler::ALL.len()];
    let size = if scheduler.has_table_size() {
        table_size
    } else {
        DEFAULT_TABLE_SIZE
    };
    let mut scheduling = Scheduling::new(scheduler, size);
    if scheduler.hashes() && index.is_multiple_of(2) {
        scheduling.fallback = true;
        scheduling.hash_on = BTreeSet::from([HashField::Source, HashField::SourcePort]);
    }
    scheduling
}

/// Kind, whether it has every option, and a number for whatever is one.
fn receiver((index, &(kind, full, number)): (usize, &(u32, bool, u32))) -> event::Receiver {
    use event::{Filter, Hook, Mail, Receiver, Severity, Smtp, SmtpSecurity, Webhook};
    let name = format!("r{index}");
    let filter = Filter {
        kinds: if full {
            vec!["director.*".parse().expect("there is")]
        } else {
            Vec::new()
        },
        severity: Some(Severity::ALL[number as usize % 4]),
        ..Filter::default()
    };
    let time = Duration::from_millis(u64::from(number) + 1000);
    let file = |name: &str| full.then(|| name.into());
    match kind {
        0 => Receiver::Hook(Hook {
            name,
            filter,
            command: vec!["/bin/true".to_owned(), "an argument".to_owned()],
            timeout: time,
            at_once: number % 64 + 1,
            per_minute: number,
        }),
        1 => Receiver::Mail(Mail {
            name,
            filter,
            from: "Tandem <tandem@example.net>".to_owned(),
            to: vec!["ops@example.net".to_owned()],
            smtp: Smtp {
                host: if full {
                    "2001:db8::1".to_owned()
                } else {
                    "mail.example.net".to_owned()
                },
                port: number as u16 | 1,
                security: if full {
                    SmtpSecurity::Tls
                } else {
                    SmtpSecurity::None
                },
                login: full.then(|| ("user".to_owned(), "/etc/password".into())),
                ca_file: file("/etc/ca.pem"),
            },
            interval: time,
        }),
        _ => Receiver::Webhook(Webhook {
            name,
            filter,
            url: format!("https://example.net:{}/x?y", number as u16 | 1)
                .parse()
                .expect("a URL"),
            token_file: file("/etc/token"),
            ca_file: file("/etc/ca.pem"),
            timeout: time,
            per_minute: number,
        }),
    }
}

fn cluster() -> impl Strategy<Value = Option<Cluster>> {
    let modes = prop::sample::select(vec![
        Authentication::ReceiveOnly,
        Authentication::Permissive,
        Authentication::Enforce,
    ]);
    let files = proptest::collection::btree_set("/[a-zA-Z0-9 ./_-]{1,40}", 0..=MAX_KEYS);
    let cluster = (name(), files, modes).prop_map(|(name, files, mode)| Cluster {
        name,
        authentication: if files.is_empty() {
            Authentication::Enforce
        } else {
            mode
        },
        // Paths that differ, and not in a slash alone.
        key_files: files
            .into_iter()
            .map(PathBuf::from)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
    });
    proptest::option::of(cluster)
}

fn sync() -> impl Strategy<Value = Option<SyncPath>> {
    let audience = prop_oneof![
        prop::sample::select(vec!["224.0.0.81", "239.1.2.3", "ff02::8848"])
            .prop_map(|group| Audience::Group(ip(group))),
        proptest::collection::btree_set(1_u8..250, 1..8).prop_map(|hosts| {
            Audience::Peers(
                hosts
                    .into_iter()
                    .map(|host| IpAddr::from([10, 9, 0, host]))
                    .collect(),
            )
        }),
    ];
    let path = (
        "[a-z][a-z0-9]{0,14}",
        audience,
        1_u16..,
        1_u8..,
        65_536..=1_u64 << 32,
    );
    let path = path.prop_map(|(interface, audience, port, ttl, bulk_rate)| SyncPath {
        interface,
        audience,
        port,
        ttl,
        bulk_rate,
    });
    proptest::option::of(path)
}

fn forward() -> impl Strategy<Value = Forward> {
    prop_oneof![
        Just(Forward::Dr),
        Just(Forward::Tunnel(Encapsulation::Ipip)),
        (1..=u16::MAX, any::<bool>())
            .prop_map(|(port, checksum)| Forward::Tunnel(Encapsulation::Gue { port, checksum })),
        any::<bool>().prop_map(|checksum| Forward::Tunnel(Encapsulation::Gre { checksum })),
    ]
}

prop_compose! {
    fn timeouts()(milliseconds in vec(1000..=604_800_000_u64, 3)) -> Timeouts {
        let mut timeouts = Timeouts::default();
        for (state, timeout) in [FlowState::Established, FlowState::Udp, FlowState::LastAck].into_iter().zip(milliseconds) {
            timeouts.set(state, Duration::from_millis(timeout));
        }
        timeouts
    }
}

/// Some for each index.
fn connections(index: usize, table_size: u32) -> Connections {
    Connections {
        persistence: (index % 2 == 1).then_some(Persistence {
            prefix_v4: (table_size % 33) as u8,
            prefix_v6: (table_size % 129) as u8,
        }),
        one_packet: false,
        on_unknown: [OnUnknown::Schedule, OnUnknown::Reset, OnUnknown::Drop][index % 3],
        on_gone: [OnGone::Keep, OnGone::Reset, OnGone::Reschedule][index % 3],
        flood: Flood {
            // SYNs without an entry need `on_unknown = "schedule"`.
            syn_rate: NonZeroU32::new(table_size).filter(|_| index.is_multiple_of(3)),
            source_rate: NonZeroU32::new(index as u32),
        },
        // No frontend of the test need be UDP.
        server_id_length: 0,
        sync: [Telling::Established, Telling::FirstPacket, Telling::Off][index % 3],
    }
}

prop_compose! {
    /// Valid by construction: VIPs are in 172/8 and 2001:db8:ac::/48, backends in 10/8 and 2001:db8:a::/48.
    fn config()(
        names in vec(name(), 1..4),
        (manage_vips, track) in (any::<bool>(), instances::tracks()),
        cluster in cluster(),
        sync in sync(),
        interfaces in proptest::collection::btree_set("[a-z][a-z0-9]{0,14}", 1..4),
        limits in (1024..=1_u32 << 26, 1024..=1_u32 << 26, 100..=1_u32 << 16, (1_u32 << 23)..=1_u32 << 26),
        frontends in proptest::collection::btree_set((address(172), 1_u16.., any::<bool>()), 8),
        keep in 16_u16..,
        timeouts in [timeouts(), timeouts()],
        forwards in [forward(), forward()],
        mut receivers in vec((0..3_u32, any::<bool>(), 1..60_000_u32), 0..4),
        mut instances in instances::instances(),
        heartbeats in heartbeats::heartbeats(),
        services in vec((backends(), prop::sample::select(vec![101_u32, 65_537, 1_048_573]), proptest::option::of(1..10_000_u64)), 0..4),
    ) -> Config {
        let mut frontends = frontends.into_iter().map(|(vip, port, udp)| {
            Frontend { vip, port, protocol: if udp { Protocol::Udp } else { Protocol::Tcp } }
        });
        let interfaces: BTreeSet<String> = interfaces;
        // The order in which they are read.
        receivers.sort_unstable();
        for instance in &mut instances {
            instance.virtual_mac &= manage_vips;
        }
        Config {
            director: Director {
                name: names[0].clone(),
                interfaces: interfaces.into_iter().collect(),
                manage_vips,
                pool_share: Share { part: 1, of: 1 + (limits.2 % 8) as u8 },
                track,
            },
            sync: sync.filter(|_| cluster.is_some()),
            heartbeats: if cluster.is_some() { heartbeats } else { Vec::new() },
            cluster,
            limits: Limits { flows_v4: limits.0, flows_v6: limits.1, translations_v4: limits.1, translations_v6: limits.0, backends: limits.2, slots: limits.3 },
            events: event::Settings { keep: keep.into(), receivers: receivers.iter().enumerate().map(receiver).collect() },
            metrics: Metrics { listen: vec![([127, 0, 0, 1], keep).into()] },
            api: Api { read_group: manage_vips.then(|| "tandem".to_owned()), write_group: None },
            instances,
            services: services.into_iter().enumerate().map(|(index, (backends, table_size, drain))| Service {
                name: format!("s{index}"),
                frontends: frontends.by_ref().take(2).collect(),
                areas: Vec::new(),
                scheduling: scheduling(index, table_size),
                forward: forwards[index % 2],
                pool: None,
                timeouts: {
                    let mut timeouts = timeouts[index % 2].clone();
                    if index % 2 == 1 {
                        timeouts.set(FlowState::Template, Duration::from_secs((table_size % 600_000).into()));
                    }
                    timeouts
                },
                connections: connections(index, table_size),
                health: checks::health(index, drain.unwrap_or(0), forwards[index % 2]),
                slow_start: Duration::from_secs(drain.unwrap_or(0)),
                drain: drain.map(|seconds| Drain {
                    deadline: Duration::from_secs(seconds),
                    at_deadline: [AtDeadline::Keep, AtDeadline::Reschedule, AtDeadline::Reset][seconds as usize % 3],
                }),
                backends,
            }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(config in config()) {
        let text = to_toml(&config);
        match read(&text) {
            Ok(loaded) => prop_assert_eq!(loaded.config, config),
            Err(error) => prop_assert!(false, "{}\n{}", text, error.render()),
        }
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in vec(any::<u8>(), 0..300)) {
        if let Err(error) = read(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(error.render().starts_with("error: "));
        }
    }

    /// Near misses: a good file with a few bytes of it replaced.
    #[test]
    fn any_slip_gets_an_answer(
        slips in vec((any::<prop::sample::Index>(), prop::sample::select(SLIPS)), 1..6),
    ) {
        let mut bytes = include_bytes!("../../../packaging/tandem.toml").to_vec();
        for (index, byte) in slips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(error) = read(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(error.render().starts_with("error: "));
        }
    }
}
