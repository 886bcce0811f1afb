use std::time::Duration;

mod server_ids;

use lb_common::{flow_state::FlowState, scheduling::Choice};
use proptest::prelude::*;

use super::*;
use crate::core::{
    model::{self, Encapsulation, Protocol, Telling},
    neighbour::{Mac, NextHop},
    schedule::Scheduler,
};

fn hop(n: u8) -> Egress {
    Egress::Resolved(NextHop {
        ifindex: 2,
        ifname: "eth0".into(),
        source_mac: Mac([2, 0, 0, 0, 1, 0]),
        dest_mac: Mac([2, 0, 0, 0, 0, n]),
        via: address(n),
        source: Some(address(200)),
        mtu: 1500,
    })
}

fn way(n: u8) -> Way {
    way::way(Forward::Dr, address(n), None, &hop(n), &BTreeSet::new()).expect("it is on the link")
}

fn address(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn frontend(port: u16) -> Frontend {
    Frontend {
        vip: IpAddr::from([192, 0, 2, 10]),
        port,
        protocol: Protocol::Tcp,
    }
}

const HZ: u32 = 250;

/// Some timeouts, others for each number.
fn timeouts(n: u16) -> timeouts::Timeouts {
    let mut timeouts = timeouts::Timeouts::default();
    timeouts.set(FlowState::Udp, Duration::from_secs(n.into()));
    timeouts
}

/// Others for each number.
fn connections(n: u16) -> Connections {
    Connections {
        persistence: (n % 2 == 1).then_some(model::Persistence {
            prefix_v4: 24,
            prefix_v6: n as u8,
        }),
        one_packet: n == 2,
        flood: model::Flood {
            syn_rate: std::num::NonZeroU32::new((n % 3).into()),
            source_rate: None,
        },
        sync: [Telling::Established, Telling::FirstPacket, Telling::Off][usize::from(n) % 3],
        ..Connections::default()
    }
}

fn service(name: &str, port: u16, backends: &[u8]) -> DesiredService {
    DesiredService {
        name: name.to_owned(),
        frontends: vec![frontend(port)],
        areas: Vec::new(),
        scheduling: Scheduling::new(Scheduler::Maglev, 251),
        timeouts: timeouts(7),
        forward: Forward::Dr,
        pool: None,
        connections: Connections::default(),
        backends: backends
            .iter()
            .map(|&n| DesiredBackend::new(address(n), 100))
            .collect(),
    }
}

fn desired(services: &[DesiredService], reachable: &[u8]) -> Desired {
    Desired {
        services: services.to_vec(),
        egress: reachable.iter().map(|&n| (address(n), hop(n))).collect(),
        leases: BTreeMap::new(),
    }
}

fn planner() -> Planner {
    Planner::new(7, HZ, 16, 64, &Inventory::default())
}

#[test]
fn a_first_plan_fills_the_maps_in_an_order_that_is_safe() {
    let steps = planner()
        .plan(&desired(&[service("web", 80, &[1, 2])], &[1, 2]))
        .unwrap();
    let kinds: Vec<_> = steps
        .iter()
        .map(|step| match step {
            Step::NameService { .. } => "name",
            Step::AssignBackend { .. } => "assign",
            Step::SetWay { .. } => "way",
            Step::SetTimeouts { .. } => "timeouts",
            Step::SetPersistence { .. } => "persistence",
            Step::SetFlood { .. } => "flood",
            Step::SetPolicy { .. } => "policy",
            Step::SetTunnelSources(_) => "tunnels",
            Step::SetPool { .. } => "pool",
            Step::SetTranslated(_) => "translated",
            Step::SetServerIds(_) => "server ids",
            Step::SetLoad { .. } => "load",
            Step::SetSchedule { .. } => "schedule",
            Step::SetBackups { .. } => "backups",
            Step::SetFrontends(_) => "frontends",
            Step::ForgetBackend { .. } | Step::ForgetService { .. } => "forget",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "name",
            "timeouts",
            "policy",
            "assign",
            "assign",
            "way",
            "way",
            "tunnels",
            "translated",
            "server ids",
            "schedule",
            "frontends"
        ]
    );
}

#[test]
fn nothing_to_do_is_no_step() {
    let mut planner = planner();
    let wish = desired(&[service("web", 80, &[1, 2])], &[1]);
    planner.plan(&wish).unwrap();
    assert_eq!(planner.plan(&wish).unwrap(), []);
}

#[test]
fn a_backend_that_vanishes_leaves_the_table_before_its_link_is_cut() {
    let mut planner = planner();
    planner
        .plan(&desired(&[service("web", 80, &[1, 2])], &[1, 2]))
        .unwrap();
    let steps = planner
        .plan(&desired(&[service("web", 80, &[1, 2])], &[1]))
        .unwrap();
    let [
        Step::SetSchedule { schedule, .. },
        Step::SetWay {
            backend: 1,
            way: None,
        },
    ] = steps.as_slice()
    else {
        panic!("{steps:?}");
    };
    assert!(schedule.table().iter().all(|&backend| backend == 0));
}

#[test]
fn a_removed_backend_keeps_its_number_until_its_flows_have_gone() {
    let mut planner = planner();
    planner
        .plan(&desired(&[service("web", 80, &[1, 2])], &[1, 2]))
        .unwrap();
    planner
        .plan(&desired(&[service("web", 80, &[2])], &[1, 2]))
        .unwrap();
    assert_eq!(planner.retired().collect::<Vec<_>>(), [(0, address(1))]);
    assert_eq!(planner.census(|_| false, |_| true), []);
    assert_eq!(
        planner.census(|backend| backend == 0, |_| true),
        [],
        "a flow appeared after all"
    );
    assert_eq!(planner.census(|_| false, |_| true), []);
    // A new backend must not get the number meanwhile.
    let steps = planner
        .plan(&desired(&[service("web", 80, &[2, 3])], &[1, 2, 3]))
        .unwrap();
    assert!(
        steps.contains(&Step::AssignBackend {
            backend: 2,
            service: 0,
            address: address(3)
        }),
        "{steps:?}"
    );
    assert_eq!(
        planner.census(|_| false, |_| true),
        [Step::ForgetBackend { backend: 0 }]
    );
    let steps = planner
        .plan(&desired(&[service("web", 80, &[2, 3, 4])], &[2, 3, 4]))
        .unwrap();
    assert!(
        steps.contains(&Step::AssignBackend {
            backend: 0,
            service: 0,
            address: address(4)
        }),
        "{steps:?}"
    );
}

#[test]
fn a_removed_backend_that_comes_back_is_the_same() {
    let mut planner = planner();
    planner
        .plan(&desired(&[service("web", 80, &[1, 2])], &[1, 2]))
        .unwrap();
    planner
        .plan(&desired(&[service("web", 80, &[2])], &[1, 2]))
        .unwrap();
    let steps = planner
        .plan(&desired(&[service("web", 80, &[1, 2])], &[1, 2]))
        .unwrap();
    assert!(
        !steps
            .iter()
            .any(|step| matches!(step, Step::AssignBackend { .. })),
        "{steps:?}"
    );
    assert_eq!(planner.retired().count(), 0);
}

#[test]
fn a_removed_service_stops_scheduling_and_is_forgotten_with_its_backends() {
    let mut planner = planner();
    planner.plan(&desired(&[service("web", 80, &[1])], &[1])).unwrap();
    let steps = planner.plan(&desired(&[], &[1])).unwrap();
    let gone = Step::SetSchedule {
        service: 0,
        schedule: ScheduleSpec::NOBODY,
    };
    assert_eq!(steps, [Step::SetFrontends(Frontends::default()), gone]);
    assert_eq!(planner.census(|_| false, |_| true), []);
    let steps = planner.census(|_| false, |_| true);
    assert_eq!(
        steps,
        [
            Step::ForgetBackend { backend: 0 },
            Step::ForgetService { service: 0 }
        ]
    );
}

#[test]
fn a_restarted_daemon_keeps_the_numbers_of_the_maps() {
    let inventory = Inventory {
        services: BTreeMap::from([(3, "web".to_owned())]),
        backends: BTreeMap::from([
            (
                5,
                Assigned {
                    service: 3,
                    address: address(1),
                    way: Some(way(1)),
                    load: LoadLimits::default(),
                },
            ),
            (
                6,
                Assigned {
                    service: 3,
                    address: address(9),
                    way: Some(way(9)),
                    load: LoadLimits::default(),
                },
            ),
        ]),
        timeouts: BTreeMap::from([(4, timeouts(7).in_jiffies(HZ))]),
    };
    let mut planner = Planner::new(7, HZ, 16, 64, &inventory);
    let steps = planner
        .plan(&desired(&[service("web", 80, &[1, 2])], &[1, 2, 9]))
        .unwrap();
    assert_eq!(
        steps[0],
        Step::SetPolicy {
            service: 3,
            policy: Policy {
                timeout_class: 4,
                ..Policy::default()
            }
        }
    );
    assert_eq!(
        steps[1],
        Step::AssignBackend {
            backend: 0,
            service: 3,
            address: address(2)
        }
    );
    // Nobody knows what the earlier daemon had there.
    assert_eq!(
        steps[2],
        Step::SetPool {
            service: 3,
            pool: None
        }
    );
    assert_eq!(
        steps[3],
        Step::SetWay {
            backend: 0,
            way: Some(way(2))
        }
    );
    assert_eq!(steps[4], Step::SetTunnelSources(BTreeSet::new()));
    assert_eq!(steps[5], Step::SetTranslated(BTreeSet::new()));
    assert_eq!(steps[6], Step::SetServerIds(BTreeMap::new()));
    assert!(matches!(steps[7], Step::SetBackups { service: 3, .. }));
    assert!(matches!(steps[8], Step::SetSchedule { service: 3, .. }));
    assert!(matches!(steps[9], Step::SetFrontends(_)));
    assert_eq!(steps.len(), 10);
    assert_eq!(planner.retired().collect::<Vec<_>>(), [(6, address(9))]);
}

/// The class that service 0 has after the plan, and what the plan says of classes.
fn class_of(planner: &mut Planner, timeouts: u16) -> (Option<u8>, usize) {
    let mut wish = service("web", 80, &[1]);
    wish.timeouts = self::timeouts(timeouts);
    let steps = planner.plan(&desired(&[wish], &[1])).unwrap();
    let class = steps.iter().find_map(|step| match step {
        Step::SetPolicy { policy, .. } => Some(policy.timeout_class),
        _ => None,
    });
    let new = steps
        .iter()
        .filter(|step| matches!(step, Step::SetTimeouts { .. }));
    (class, new.count())
}

#[test]
fn services_with_the_same_timeouts_share_a_class_and_flows_keep_theirs() {
    let mut planner = planner();
    assert_eq!(class_of(&mut planner, 7), (Some(0), 1));
    assert_eq!(class_of(&mut planner, 7), (None, 0), "nothing has changed");
    assert_eq!(class_of(&mut planner, 8), (Some(1), 1));
    // Flows of the old class are left, so its number stays taken.
    for _ in 0..3 {
        planner.census(|_| true, |class| class == 0);
    }
    assert_eq!(class_of(&mut planner, 9), (Some(2), 1));
    assert_eq!(class_of(&mut planner, 7), (Some(0), 0), "it is still there");
    for _ in 0..2 {
        planner.census(|_| true, |_| false);
    }
    assert_eq!(
        class_of(&mut planner, 10),
        (Some(1), 1),
        "nobody needs it any more"
    );
}

#[test]
fn too_many_sets_of_timeouts_are_refused() {
    let mut planner = Planner::new(7, HZ, 64, 64, &Inventory::default());
    let wish = |n: u16| {
        let mut wish = service(&format!("s{n}"), 80 + n, &[1]);
        wish.timeouts = timeouts(n);
        wish
    };
    let wishes: Vec<_> = (0..TIMEOUT_CLASSES as u16 + 1).map(wish).collect();
    let error = planner.plan(&desired(&wishes, &[1])).unwrap_err();
    assert!(
        matches!(&error, PlanError::TooManyTimeouts { service } if service == "s32"),
        "{error}"
    );
    assert!(planner.plan(&desired(&wishes[1..], &[1])).is_ok());
}

#[test]
fn no_room_is_an_error_and_changes_nothing() {
    let mut planner = Planner::new(7, HZ, 16, 2, &Inventory::default());
    planner.plan(&desired(&[service("web", 80, &[1])], &[1])).unwrap();
    let before = planner
        .plan(&desired(&[service("web", 80, &[1, 2, 3])], &[1]))
        .unwrap_err();
    assert!(matches!(before, PlanError::TooManyBackends { limit: 2, .. }));
    assert_eq!(
        planner.plan(&desired(&[service("web", 80, &[1])], &[1])).unwrap(),
        []
    );
}

/// What the steps amount to, without numbers: what a packet would meet.
#[derive(Debug, Default, Clone)]
struct Effect {
    names: BTreeMap<u32, String>,
    backends: BTreeMap<u32, (u32, IpAddr)>,
    ways: BTreeMap<u32, Option<Way>>,
    schedules: BTreeMap<u32, (Choice, Vec<u32>)>,
    backups: BTreeMap<u32, Vec<u32>>,
    loads: BTreeMap<u32, LoadLimits>,
    frontends: BTreeMap<Frontend, u32>,
    timeouts: BTreeMap<u8, Timeouts>,
    persistence: BTreeMap<u32, Persistence>,
    floods: BTreeMap<u32, FloodLimits>,
    policies: BTreeMap<u32, Policy>,
    tunnel_sources: BTreeSet<IpAddr>,
    translated: BTreeSet<IpAddr>,
    pools: BTreeMap<u32, Option<Pool>>,
}

/// A service as a packet would meet it.
#[derive(Debug, PartialEq)]
struct Served {
    name: String,
    timeouts: Timeouts,
    policy: Policy,
    /// Where the policy asks for it.
    persistence: Option<Persistence>,
    /// Likewise.
    flood: Option<FloodLimits>,
    choice: Choice,
    /// For each slot, what the packet would meet there.
    slots: Vec<Met>,
    backups: Vec<Met>,
    pool: Option<Pool>,
}

/// Address, way and load of a backend.
type Met = (IpAddr, Option<Way>, LoadLimits);

/// By frontend.
type Meaning = BTreeMap<Frontend, Served>;

impl Effect {
    fn apply(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::AssignBackend {
                    backend,
                    service,
                    address,
                } => {
                    assert!(!self.backends.contains_key(&backend), "number {backend} is taken");
                    self.backends.insert(backend, (service, address));
                    self.ways.insert(backend, None);
                    self.loads.insert(backend, LoadLimits::default());
                }
                Step::SetWay { backend, way } => {
                    assert!(self.backends.contains_key(&backend));
                    self.ways.insert(backend, way);
                }
                Step::NameService { service, name } => {
                    assert!(self.names.insert(service, name).is_none());
                    self.backups.insert(service, Vec::new());
                    self.pools.insert(service, None);
                    self.persistence.remove(&service);
                    self.floods.remove(&service);
                }
                Step::SetLoad { backend, limits } => {
                    assert!(
                        self.loads
                            .insert(backend, limits)
                            .is_some_and(|before| before != limits)
                    );
                }
                Step::SetSchedule { service, schedule } => {
                    self.schedules
                        .insert(service, (schedule.choice, schedule.table()));
                }
                Step::SetBackups { service, backups } => {
                    self.backups.insert(service, backups.table());
                }
                Step::SetFrontends(frontends) => self.frontends = frontends.services,
                Step::SetTimeouts { class, timeouts } => {
                    self.timeouts.insert(class, timeouts);
                }
                Step::SetTunnelSources(sources) => self.tunnel_sources = sources,
                Step::SetTranslated(backends) => self.translated = backends,
                // Retired backends keep theirs, which a fresh start does not know.
                Step::SetServerIds(_) => {}
                Step::SetPool { service, pool } => {
                    self.pools.insert(service, pool);
                }
                Step::SetPersistence { service, persistence } => {
                    assert_ne!(self.persistence.insert(service, persistence), Some(persistence));
                }
                Step::SetFlood { service, limits } => {
                    assert_ne!(self.floods.insert(service, limits), Some(limits));
                }
                Step::SetPolicy { service, policy } => {
                    assert!(self.timeouts.contains_key(&policy.timeout_class));
                    self.policies.insert(service, policy);
                }
                Step::ForgetBackend { backend } => {
                    self.backends.remove(&backend).expect("a backend that is there");
                }
                Step::ForgetService { service } => {
                    self.names.remove(&service).expect("a service that is there");
                }
            }
            // At no moment does a table name a backend that cannot be reached.
            for (frontend, service) in &self.frontends {
                let slots = self
                    .schedules
                    .get(service)
                    .into_iter()
                    .flat_map(|(_, slots)| slots);
                for backend in slots.chain(&self.backups[service]) {
                    assert!(
                        self.ways[backend].is_some(),
                        "{frontend} leads to an unreachable backend"
                    );
                }
            }
        }
    }

    fn meaning(&self) -> Meaning {
        let met = |backend: &u32| (self.backends[backend].1, self.ways[backend], self.loads[backend]);
        let service = |number: &u32| {
            let policy = self.policies[number];
            let (choice, slots) = &self.schedules[number];
            Served {
                name: self.names[number].clone(),
                timeouts: self.timeouts[&policy.timeout_class],
                persistence: policy
                    .flags
                    .has(PolicyFlags::PERSISTENT)
                    .then(|| self.persistence[number]),
                flood: policy
                    .flags
                    .has(PolicyFlags::LIMITED)
                    .then(|| self.floods[number]),
                policy: Policy {
                    timeout_class: 0,
                    ..policy
                },
                choice: *choice,
                slots: slots.iter().map(met).collect(),
                backups: self.backups[number].iter().map(met).collect(),
                pool: self.pools[number].clone(),
            }
        };
        self.frontends
            .iter()
            .map(|(&frontend, number)| (frontend, service(number)))
            .collect()
    }
}

fn backend() -> impl Strategy<Value = (u32, bool, u32)> {
    (
        0..3u32,
        proptest::bool::weighted(0.2),
        prop_oneof![3 => Just(0), 1 => 1..9u32],
    )
}

fn wish() -> impl Strategy<Value = Desired> {
    let backends = proptest::collection::btree_map(1..12u8, backend(), 0..6);
    let scheduler = proptest::sample::select(Scheduler::ALL);
    let services = proptest::collection::btree_map(0..5u16, (backends, 0..4u16, scheduler), 0..5);
    (services, proptest::collection::btree_set(1..12u8, 0..12)).prop_map(|(services, reachable)| Desired {
        services: services
            .into_iter()
            .map(|(n, (backends, timeouts, scheduler))| DesiredService {
                name: format!("s{n}"),
                frontends: vec![frontend(80 + n)],
                areas: Vec::new(),
                scheduling: Scheduling::new(scheduler, 31),
                timeouts: self::timeouts(timeouts),
                forward: [
                    Forward::Dr,
                    Forward::Tunnel(Encapsulation::Ipip),
                    Forward::Nat,
                    Forward::FullNat,
                ][usize::from(timeouts % 4)],
                pool: (timeouts % 4 == 3).then(|| Pool {
                    addresses: vec![IpAddr::from([192, 0, 2, n as u8])],
                    first_port: 1024,
                    last_port: 2047,
                }),
                connections: connections(timeouts),
                backends: backends
                    .into_iter()
                    .map(|(n, (weight, backup, upper))| DesiredBackend {
                        address: address(n),
                        weight,
                        port: backup.then_some(8080),
                        thresholds: Thresholds {
                            upper,
                            lower: upper / 2,
                        },
                        backup,
                        server_id: backup.then_some(n.into()),
                    })
                    .collect(),
            })
            .collect(),
        egress: reachable.into_iter().map(|n| (address(n), hop(n))).collect(),
        leases: BTreeMap::new(),
    })
}

/// What happens to the service `web` with these backends: address, weight, whether it is a backup. Slots and backups.
fn lists(backends: &[(u8, u32, bool)], reachable: &[u8], scheduler: Scheduler) -> (Vec<u32>, Vec<u32>) {
    let mut wish = desired(&[service("web", 80, &[])], reachable);
    wish.services[0].scheduling = Scheduling::new(scheduler, 31);
    wish.services[0].backends = backends
        .iter()
        .map(|&(n, weight, backup)| DesiredBackend {
            backup,
            ..DesiredBackend::new(address(n), weight)
        })
        .collect();
    let mut effect = Effect::default();
    effect.apply(planner().plan(&wish).unwrap());
    (effect.schedules[&0].1.clone(), effect.backups[&0].clone())
}

#[test]
fn backups_stand_by_until_nobody_else_is_left() {
    let backends = [
        (1, 100, false),
        (2, 0, false),
        (3, 100, true),
        (4, 50, true),
        (5, 0, true),
    ];
    for scheduler in [Scheduler::Rr, Scheduler::Wlc, Scheduler::Fo] {
        assert_eq!(
            lists(&backends, &[1, 2, 3, 4, 5], scheduler),
            (vec![0], vec![2, 3]),
            "{scheduler}"
        );
        assert_eq!(
            lists(&backends, &[2, 3, 4, 5], scheduler),
            (vec![2, 3], vec![]),
            "{scheduler}"
        );
        assert_eq!(
            lists(&backends, &[2, 5], scheduler),
            (vec![], vec![]),
            "{scheduler}"
        );
    }
}

#[test]
fn loads_are_said_where_somebody_goes_by_them() {
    let mut planner = planner();
    let loads = |steps: Vec<Step>| -> Vec<(u32, LoadLimits)> {
        let load = |step| match step {
            Step::SetLoad { backend, limits } => Some((backend, limits)),
            _ => None,
        };
        steps.into_iter().filter_map(load).collect()
    };
    let mut wish = desired(&[service("web", 80, &[1, 2])], &[1]);
    assert_eq!(loads(planner.plan(&wish).unwrap()), [], "nobody asks");

    wish.services[0].backends[0].thresholds.upper = 9;
    let counted = |weight, upper| LoadLimits {
        weight,
        upper,
        lower: 0,
        counted: true,
        kept: false,
    };
    assert_eq!(
        loads(planner.plan(&wish).unwrap()),
        [(0, counted(100, 9)), (1, counted(0, 0))],
        "one that cannot be reached has no weight"
    );
    wish.services[0].backends[0].thresholds.upper = 0;
    wish.services[0].scheduling = Scheduling::new(Scheduler::Lc, 251);
    assert_eq!(loads(planner.plan(&wish).unwrap()), [(0, counted(100, 0))]);
    wish.services[0].scheduling = Scheduling::new(Scheduler::Rr, 251);
    assert_eq!(
        loads(planner.plan(&wish).unwrap()),
        [(0, LoadLimits::default()), (1, LoadLimits::default())]
    );
}

#[test]
fn clients_are_kept_by_whoever_takes_connections() {
    let mut planner = planner();
    let mut effect = Effect::default();
    let mut wish = desired(&[service("web", 80, &[1, 2, 3])], &[1, 2, 3]);
    wish.services[0].connections = Connections {
        on_gone: OnGone::Reset,
        ..connections(1)
    };
    wish.services[0].backends[2].backup = true;
    let mut kept = |wish: &Desired| {
        effect.apply(planner.plan(wish).unwrap());
        let gone: Vec<_> = planner.gone().collect();
        let kept: Vec<u32> = effect
            .loads
            .iter()
            .filter(|(_, limits)| limits.kept)
            .map(|(number, _)| *number)
            .collect();
        (kept, gone)
    };
    assert_eq!(kept(&wish), (vec![0, 1], vec![]));
    wish.services[0].backends[0].weight = 0;
    assert_eq!(kept(&wish), (vec![1], vec![]), "it takes no new connections");
    wish.services[0].backends[0].weight = 1;
    assert_eq!(kept(&wish), (vec![0, 1], vec![]));
    wish.services[0].backends.remove(0);
    assert_eq!(kept(&wish), (vec![1], vec![(0, OnGone::Reset)]));
    wish.egress.clear();
    assert_eq!(kept(&wish).0, Vec::<u32>::new(), "none can be reached");
    wish.services[0].connections = Connections::default();
    assert_eq!(kept(&wish).1, Vec::new(), "as the service has it now");
}

proptest! {
    /// Whatever was in force before, what is in force afterwards is what was wished for.
    #[test]
    fn plans_end_where_a_fresh_start_would(wishes in proptest::collection::vec((wish(), any::<bool>()), 1..8)) {
        let (mut planner, mut effect) = (planner(), Effect::default());
        for (wish, census) in &wishes {
            effect.apply(planner.plan(wish).unwrap());
            if *census {
                effect.apply(planner.census(|_| false, |_| false));
            }
            let mut fresh = Effect::default();
            fresh.apply(self::planner().plan(wish).unwrap());
            prop_assert_eq!(effect.meaning(), fresh.meaning());
            prop_assert!(effect.tunnel_sources.is_superset(&fresh.tunnel_sources));
            prop_assert!(effect.translated.is_superset(&fresh.translated));
            prop_assert_eq!(planner.plan(wish).unwrap(), []);
        }
    }
}

#[test]
fn a_backend_that_only_others_have_flows_to_is_hosted_like_a_removed_one() {
    let mut planner = planner();
    planner.plan(&desired(&[service("web", 80, &[1])], &[1])).unwrap();
    let steps = planner.host("web", address(7), 0).unwrap();
    assert!(
        matches!(steps[..], [Step::AssignBackend { backend: 1, service: 0, address: at }] if at == address(7)),
        "{steps:?}"
    );
    assert_eq!(
        planner.host("web", address(7), 0),
        Ok(Vec::new()),
        "it has a number now"
    );
    assert_eq!(planner.host("web", address(1), 0), Ok(Vec::new()));
    assert_eq!(
        planner.host("mail", address(7), 0),
        Ok(Vec::new()),
        "nobody serves that here"
    );
    assert_eq!(planner.retired().collect::<Vec<_>>(), [(1, address(7))]);
    // It is reached like the others, and forgotten when its flows have ended.
    let steps = planner
        .plan(&desired(&[service("web", 80, &[1])], &[1, 7]))
        .unwrap();
    assert!(
        matches!(
            steps[..],
            [Step::SetWay {
                backend: 1,
                way: Some(_)
            }]
        ),
        "{steps:?}"
    );
    assert!(planner.census(|number| number == 1, |_| true).is_empty());
    assert!(planner.census(|_| false, |_| true).is_empty());
    assert_eq!(
        planner.census(|_| false, |_| true),
        [Step::ForgetBackend { backend: 1 }]
    );
}
