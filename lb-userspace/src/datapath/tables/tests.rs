//! The tables over memory of this process, read the way a packet reads them.

use std::{
    fs::File,
    sync::atomic::{AtomicUsize, Ordering},
};

use lb_common::{
    abi::{FrontendKey4, FrontendKey6, SERVER_ID_LINES, Way, find, places},
    hash::scale,
    packet::address_words,
};

use super::{super::region::Shared, *};
use crate::core::{
    model::{Connections, Forward, Frontend, Protocol},
    neighbour::{Egress, Mac, NextHop},
    plan::{Desired, DesiredBackend, DesiredService, Planner},
    schedule::{Scheduler, Scheduling},
    timeouts::Timeouts,
};

const SERVICES: usize = 8;
const BACKENDS: usize = 32;
/// Slots of a schedule table here.
const TABLE: u32 = 251;
/// Lines that one such table takes.
const LINES: usize = TABLE.div_ceil(SLOTS_PER_LINE) as usize;

/// Memory that several may map, as the kernel's maps are: one file a map.
struct Memory {
    slot_lines: usize,
    frontend_buckets: usize,
    files: [File; 21],
}

impl Memory {
    fn new(slot_lines: usize, frontend_buckets: usize) -> Self {
        let file = |_| {
            let file = tempfile::tempfile().expect("a file without a name");
            // More than any of the maps takes, and mostly a hole.
            file.set_len(1 << 20).expect("a file of a megabyte");
            file
        };
        Self {
            slot_lines,
            frontend_buckets,
            files: std::array::from_fn(file),
        }
    }

    /// Room for eight schedule tables and some fifty frontends of each family.
    fn roomy() -> Self {
        Self::new(LINES * 8, 16)
    }

    /// A view of the memory; the next one sees what was written by way of this one.
    fn tables(&self) -> Tables {
        fn region<T: Shared>(file: &File, len: usize) -> Region<T> {
            Region::of_map(file, len).expect("the file is large enough")
        }
        let [
            runtime,
            filter,
            strangers,
            four,
            six,
            services,
            names,
            timeouts,
            slots,
            backends,
            loads,
            flows4,
            flows6,
            translations4,
            translations6,
            server_ids,
            pools,
            leases,
            claims,
            areas,
            journal,
        ] = &self.files;
        let (slots, services) = (region(slots, self.slot_lines), region(services, SERVICES));
        let books = Books::new(&slots, &services).expect("the schedules are sound");
        Tables {
            runtime: region(runtime, 1),
            vip_filter: region(filter, 1),
            strangers: region(strangers, 1),
            frontends_v4: region(four, self.frontend_buckets * 2),
            frontends_v6: region(six, self.frontend_buckets * 2),
            areas: region(areas, 16),
            services,
            service_names: region(names, SERVICES),
            timeouts: region(timeouts, 1).into(),
            slots,
            backends: region(backends, BACKENDS),
            loads: region(loads, BACKENDS).into(),
            flows_v4: region(flows4, 2).into(),
            flows_v6: region(flows6, 2).into(),
            translations_v4: region(translations4, 2).into(),
            translations_v6: region(translations6, 2).into(),
            server_ids: region(server_ids, SERVER_ID_LINES as usize),
            pools: region(pools, SERVICES),
            leases: region(leases, 1).into(),
            claims: region(claims, 1).into(),
            journal: region(journal, 1).into(),
            seed: Seed::new([2, 3 << 32, 5, 7 << 40, 11, 13]),
            books,
        }
    }
}

fn planner(tables: &Tables) -> Planner {
    Planner::new(1, 250, SERVICES as u32, BACKENDS as u32, &tables.inventory())
}

fn backend(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn frontend(vip: &str, port: u16) -> Frontend {
    Frontend {
        vip: vip.parse().expect("an address"),
        port,
        protocol: Protocol::Tcp,
    }
}

fn service(name: &str, frontends: &[Frontend], backends: &[u8]) -> DesiredService {
    DesiredService {
        name: name.to_owned(),
        frontends: frontends.to_vec(),
        areas: Vec::new(),
        scheduling: Scheduling::new(Scheduler::Maglev, TABLE),
        timeouts: Timeouts::default(),
        forward: Forward::Dr,
        pool: None,
        connections: Connections::default(),
        backends: backends
            .iter()
            .map(|&n| DesiredBackend::new(backend(n), 100))
            .collect(),
    }
}

/// These services, with every backend there could be within reach.
fn desired(services: &[DesiredService]) -> Desired {
    let hop = |n| NextHop {
        ifindex: 2,
        ifname: "eth0".into(),
        source_mac: Mac([2, 0, 0, 0, 1, 0]),
        dest_mac: Mac([2, 0, 0, 0, 0, n]),
        via: backend(n),
        source: None,
        mtu: 1500,
    };
    Desired {
        services: services.to_vec(),
        egress: (1..=9).map(|n| (backend(n), Egress::Resolved(hop(n)))).collect(),
        leases: BTreeMap::new(),
    }
}

fn put(tables: &mut Tables, planner: &mut Planner, wanted: &Desired) {
    for step in planner.plan(wanted).expect("there are numbers enough") {
        tables.apply(&step).expect("there is room enough");
    }
}

/// What a new flow meets.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    NoVip,
    NoService,
    NoBackend,
    /// A backend that is unknown or unresolved, which no schedule may name.
    Nonsense,
    Backend {
        address: IpAddr,
        mac: [u8; 6],
    },
}

fn lookup<E: FrontendEntry>(
    table: &[FrontendBucket<E>],
    generation: usize,
    key: &E::Key,
    seed: &Seed,
) -> Option<u32> {
    let half = table.len() / 2;
    let table = &table[generation * half..][..half];
    let (first, second) = places(E::hash(key, seed), half as u32 - 1);
    find(&table[first as usize], key).or_else(|| find(&table[second as usize], key))
}

/// Reading as the packet path does.
impl Tables {
    fn packet(&self, to: Frontend, hash: u64) -> Met {
        let ports = u32::from(to.port.to_be()) << 16;
        let protocol = to.protocol.number();
        let generation = self.runtime[0].generation.load() as usize;
        let (perhaps, service) = match to.vip {
            IpAddr::V4(vip) => {
                let vip = u32::from_ne_bytes(vip.octets());
                let key = FrontendKey4::new(vip, ports, protocol);
                let found = lookup(&self.frontends_v4, generation, &key, &self.seed);
                (self.vip_filter[0].may_hold4(vip), found)
            }
            IpAddr::V6(vip) => {
                let vip = address_words(vip);
                let key = FrontendKey6::new(vip, ports, protocol);
                let found = lookup(&self.frontends_v6, generation, &key, &self.seed);
                (self.vip_filter[0].may_hold6(vip), found)
            }
        };
        if !perhaps {
            return Met::NoVip;
        }
        let Some(service) = service else {
            return Met::NoService;
        };
        let schedule = self.services[service as usize].schedule();
        if schedule.length == 0 {
            return Met::NoBackend;
        }
        let slot = schedule.base + scale(hash, schedule.length);
        let line = &self.slots[(slot / SLOTS_PER_LINE) as usize];
        let number = line.slots[(slot % SLOTS_PER_LINE) as usize].load();
        let entry = &self.backends[number as usize];
        match (entry.address(), entry.way()) {
            (Some(address), Some(Way::Direct(link))) => Met::Backend {
                address,
                mac: link.destination,
            },
            _ => Met::Nonsense,
        }
    }

    /// The backends that flows to this frontend are given to.
    fn backends_of(&self, to: Frontend) -> BTreeSet<IpAddr> {
        (0..2000u64)
            .map(|n| match self.packet(to, n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
                Met::Backend { address, mac } => {
                    assert_eq!(backend(mac[5]), address, "the link is another's");
                    address
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn addresses(backends: &[u8]) -> BTreeSet<IpAddr> {
    backends.iter().map(|&n| backend(n)).collect()
}

const V4: &str = "192.0.2.10";
const V6: &str = "2001:db8::10";

#[test]
fn what_was_planned_is_what_packets_meet() {
    let mut tables = Memory::roomy().tables();
    let mut planner = planner(&tables);
    let (web4, web6, api) = (frontend(V4, 80), frontend(V6, 80), frontend(V4, 8080));
    put(
        &mut tables,
        &mut planner,
        &desired(&[
            service("web", &[web4, web6], &[1, 2, 3]),
            service("api", &[api], &[4]),
            service("idle", &[frontend(V6, 81)], &[]),
        ]),
    );
    assert_eq!(tables.backends_of(web4), addresses(&[1, 2, 3]));
    assert_eq!(tables.backends_of(web6), addresses(&[1, 2, 3]));
    assert_eq!(tables.backends_of(api), addresses(&[4]));
    assert_eq!(tables.packet(frontend(V6, 81), 0), Met::NoBackend);
    assert_eq!(tables.packet(frontend(V4, 81), 0), Met::NoService);
    assert_eq!(tables.packet(frontend("192.0.2.11", 80), 0), Met::NoVip);
    assert_eq!(tables.packet(frontend("2001:db8::11", 80), 0), Met::NoVip);
    assert_eq!(*tables.vips(), BTreeSet::from([web4.vip, web6.vip]));
}

#[test]
fn a_vip_that_goes_is_forgotten_and_one_that_stays_is_not() {
    let mut tables = Memory::roomy().tables();
    let mut planner = planner(&tables);
    let (stays, goes) = (frontend(V4, 80), frontend("192.0.2.20", 80));
    put(
        &mut tables,
        &mut planner,
        &desired(&[service("web", &[stays, goes], &[1])]),
    );
    put(
        &mut tables,
        &mut planner,
        &desired(&[service("web", &[stays], &[1])]),
    );
    assert_eq!(tables.packet(goes, 0), Met::NoVip);
    assert_eq!(tables.backends_of(stays), addresses(&[1]));
    put(&mut tables, &mut planner, &desired(&[]));
    assert_eq!(tables.packet(stays, 0), Met::NoVip);
}

#[test]
fn a_daemon_that_comes_back_finds_the_numbers_it_gave() {
    let memory = Memory::roomy();
    let mut tables = memory.tables();
    let web = frontend(V4, 80);
    let wanted = desired(&[service("web", &[web], &[1, 2])]);
    let mut first = planner(&tables);
    put(&mut tables, &mut first, &wanted);
    let before = tables.inventory();

    drop(tables);
    let mut tables = memory.tables();
    let mut second = planner(&tables);
    let steps = second.plan(&wanted).expect("there are numbers enough");
    let gives_numbers = |step: &Step| matches!(step, Step::AssignBackend { .. } | Step::NameService { .. });
    assert!(!steps.iter().any(gives_numbers), "{steps:?}");
    for step in &steps {
        tables.apply(step).expect("there is room for a second table");
    }
    assert_eq!(tables.inventory(), before);
    assert_eq!(tables.backends_of(web), addresses(&[1, 2]));
}

#[test]
fn a_change_that_does_not_fit_leaves_the_old_in_force() {
    let web = frontend(V4, 80);
    let mut tables = Memory::new(LINES, 1).tables();
    let mut planner = planner(&tables);
    put(
        &mut tables,
        &mut planner,
        &desired(&[service("web", &[web], &[1])]),
    );

    let steps = planner
        .plan(&desired(&[service("web", &[web], &[2])]))
        .expect("there are numbers enough");
    let outcome = steps.iter().try_for_each(|step| tables.apply(step));
    assert!(matches!(outcome, Err(StepError::NoSlots { .. })), "{outcome:?}");
    assert_eq!(tables.backends_of(web), addresses(&[1]));

    let many = Frontends {
        services: (1..=9).map(|port| (frontend(V4, port), 0)).collect(),
        ..Frontends::default()
    };
    let outcome = tables.apply(&Step::SetFrontends(many));
    assert!(matches!(outcome, Err(StepError::Frontends { .. })), "{outcome:?}");
    assert_eq!(tables.backends_of(web), addresses(&[1]));

    let outcome = tables.apply(&Step::ForgetBackend {
        backend: BACKENDS as u32,
    });
    assert!(
        matches!(outcome, Err(StepError::OutOfRange { number: 32, .. })),
        "{outcome:?}"
    );
}

/// Room for two tables is enough for any number of changes, and for services that come and go.
#[test]
fn no_slot_is_lost() {
    let mut tables = Memory::new(LINES * 2, 16).tables();
    let mut planner = planner(&tables);
    let web = frontend(V4, 80);
    for round in 0..6 {
        let backends: &[u8] = if round % 2 == 0 { &[1, 2] } else { &[3] };
        put(
            &mut tables,
            &mut planner,
            &desired(&[service("web", &[web], backends)]),
        );
        assert_eq!(tables.backends_of(web), addresses(backends));
    }
    for name in ["one", "two", "three"] {
        put(
            &mut tables,
            &mut planner,
            &desired(&[service(name, &[web], &[4])]),
        );
        assert_eq!(tables.backends_of(web), addresses(&[4]));
        put(&mut tables, &mut planner, &desired(&[]));
        for _ in 0..2 {
            for step in planner.census(|_| false, |_| false) {
                tables.apply(&step).expect("forgetting needs no room");
            }
        }
    }
}

/// The room is counted as it will be taken, whatever was in force before and is still being read.
#[test]
fn room_is_promised_where_there_will_be_room() {
    let sets: [&[&str]; 6] = [&["a"], &["a", "b"], &["c"], &["c", "d"], &["a", "b", "c"], &[]];
    for lines in 1..5 {
        for (before, after) in sets.iter().flat_map(|before| sets.map(|after| (before, after))) {
            let services = |names: &[&str], with: u8| -> Vec<DesiredService> {
                let named = (81..).zip(names);
                named
                    .map(|(port, name)| service(name, &[frontend(V4, port)], &[with]))
                    .collect()
            };
            let mut tables = Memory::new(LINES * lines, 16).tables();
            let mut planner = planner(&tables);
            let mut carry_out = |names: &[&str], with: u8| {
                let steps = planner.plan(&desired(&services(names, with)));
                let steps = steps.expect("there are numbers enough");
                let promised = tables.ensure_room(&steps).is_ok();
                let done = steps.iter().try_for_each(|step| tables.apply(step)).is_ok();
                assert_eq!(promised, done, "{before:?} to {names:?} in {lines} tables");
                done
            };
            if carry_out(before, 1) {
                carry_out(after, 2);
            }
        }
    }
}

/// Packets that arrive while tables and frontends change meet the old or the new, and nothing in between.
#[test]
fn no_packet_meets_a_half_made_change() {
    let memory = Memory::roomy();
    let mut tables = memory.tables();
    let mut planner = planner(&tables);
    let (web, other) = (frontend(V4, 80), frontend(V6, 443));
    let sets: [&[u8]; 3] = [&[1, 2, 3], &[4, 5], &[6, 7, 8, 9]];
    let wanted = |round: usize| {
        let set = sets[round % sets.len()];
        let mut services = vec![service("web", &[web], set)];
        if round % 2 == 1 {
            services.push(service("other", &[other], &[1]));
        }
        desired(&services)
    };
    put(&mut tables, &mut planner, &wanted(0));

    let packet_path = memory.tables();
    let (done, mut packets) = (AtomicUsize::new(0), 0u64);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..40 {
                put(&mut tables, &mut planner, &wanted(round));
                done.store(round, Ordering::SeqCst);
                let met = tables.backends_of(web);
                assert_eq!(met, addresses(sets[round % sets.len()]), "round {round}");
            }
        });
        while !writer.is_finished() {
            packets += 1;
            let (began, first) = (Instant::now(), done.load(Ordering::SeqCst));
            let met = packet_path.packet(web, packets.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let last = done.load(Ordering::SeqCst) + 1;
            // A packet's run is not interrupted for long, but this thread may be.
            if began.elapsed() >= GRACE {
                continue;
            }
            let Met::Backend { address, mac } = met else {
                panic!("the service was there all the time: {met:?}");
            };
            assert_eq!(backend(mac[5]), address);
            let in_force = |round: usize| addresses(sets[round % sets.len()]).contains(&address);
            assert!(
                (first..=last).any(in_force),
                "{address} between rounds {first} and {last}"
            );
        }
    });
    assert!(packets > 1000, "hardly a packet came by");
}
