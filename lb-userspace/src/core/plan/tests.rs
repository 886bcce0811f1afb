use proptest::prelude::*;

use super::*;
use crate::core::model::Protocol;

fn link(n: u8) -> Link {
    Link {
        destination: [2, 0, 0, 0, 0, n],
        source: [2, 0, 0, 0, 1, 0],
        ifindex: 2,
    }
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

fn service(name: &str, port: u16, backends: &[u8]) -> DesiredService {
    DesiredService {
        name: name.to_owned(),
        frontends: vec![frontend(port)],
        table_size: 251,
        backends: backends.iter().map(|&n| (address(n), 100)).collect(),
    }
}

fn desired(services: &[DesiredService], reachable: &[u8]) -> Desired {
    Desired {
        services: services.to_vec(),
        links: reachable.iter().map(|&n| (address(n), link(n))).collect(),
    }
}

fn planner() -> Planner {
    Planner::new(7, 16, 64, &Inventory::default())
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
            Step::SetLink { .. } => "link",
            Step::SetSchedule { .. } => "schedule",
            Step::SetFrontends(_) => "frontends",
            Step::ForgetBackend { .. } | Step::ForgetService { .. } => "forget",
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "name",
            "assign",
            "assign",
            "link",
            "link",
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
        Step::SetLink {
            backend: 1,
            link: None,
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
    assert_eq!(planner.census(|_| false), []);
    assert_eq!(
        planner.census(|backend| backend == 0),
        [],
        "a flow appeared after all"
    );
    assert_eq!(planner.census(|_| false), []);
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
    assert_eq!(planner.census(|_| false), [Step::ForgetBackend { backend: 0 }]);
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
        schedule: ScheduleSpec::default(),
    };
    assert_eq!(steps, [Step::SetFrontends(BTreeMap::new()), gone]);
    assert_eq!(planner.census(|_| false), []);
    let steps = planner.census(|_| false);
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
                    link: Some(link(1)),
                },
            ),
            (
                6,
                Assigned {
                    service: 3,
                    address: address(9),
                    link: Some(link(9)),
                },
            ),
        ]),
    };
    let mut planner = Planner::new(7, 16, 64, &inventory);
    let steps = planner
        .plan(&desired(&[service("web", 80, &[1, 2])], &[1, 2, 9]))
        .unwrap();
    assert_eq!(
        steps[0],
        Step::AssignBackend {
            backend: 0,
            service: 3,
            address: address(2)
        }
    );
    assert_eq!(
        steps[1],
        Step::SetLink {
            backend: 0,
            link: Some(link(2))
        }
    );
    assert!(matches!(steps[2], Step::SetSchedule { service: 3, .. }));
    assert!(matches!(steps[3], Step::SetFrontends(_)));
    assert_eq!(steps.len(), 4);
    assert_eq!(planner.retired().collect::<Vec<_>>(), [(6, address(9))]);
}

#[test]
fn no_room_is_an_error_and_changes_nothing() {
    let mut planner = Planner::new(7, 16, 2, &Inventory::default());
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
    links: BTreeMap<u32, Option<Link>>,
    schedules: BTreeMap<u32, Vec<u32>>,
    frontends: BTreeMap<Frontend, u32>,
}

/// For each frontend: the service's name, and for each slot the address and link of the backend.
type Meaning = BTreeMap<Frontend, (String, Vec<(IpAddr, Option<Link>)>)>;

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
                    self.links.insert(backend, None);
                }
                Step::SetLink { backend, link } => {
                    assert!(self.backends.contains_key(&backend));
                    self.links.insert(backend, link);
                }
                Step::NameService { service, name } => assert!(self.names.insert(service, name).is_none()),
                Step::SetSchedule { service, schedule } => {
                    self.schedules.insert(service, schedule.table());
                }
                Step::SetFrontends(frontends) => self.frontends = frontends,
                Step::ForgetBackend { backend } => {
                    self.backends.remove(&backend).expect("a backend that is there");
                }
                Step::ForgetService { service } => {
                    self.names.remove(&service).expect("a service that is there");
                }
            }
            // At no moment does a table name a backend that cannot be reached.
            for (frontend, service) in &self.frontends {
                for backend in self.schedules.get(service).into_iter().flatten() {
                    assert!(
                        self.links[backend].is_some(),
                        "{frontend} leads to an unreachable backend"
                    );
                }
            }
        }
    }

    fn meaning(&self) -> Meaning {
        let slot = |backend: &u32| (self.backends[backend].1, self.links[backend]);
        let service = |number: &u32| {
            (
                self.names[number].clone(),
                self.schedules[number].iter().map(slot).collect(),
            )
        };
        self.frontends
            .iter()
            .map(|(&frontend, number)| (frontend, service(number)))
            .collect()
    }
}

fn wish() -> impl Strategy<Value = Desired> {
    let backends = proptest::collection::btree_map(1..12u8, 0..3u32, 0..6);
    let services = proptest::collection::btree_map(0..5u16, backends, 0..5);
    (services, proptest::collection::btree_set(1..12u8, 0..12)).prop_map(|(services, reachable)| Desired {
        services: services
            .into_iter()
            .map(|(n, backends)| DesiredService {
                name: format!("s{n}"),
                frontends: vec![frontend(80 + n)],
                table_size: 31,
                backends: backends
                    .into_iter()
                    .map(|(n, weight)| (address(n), weight))
                    .collect(),
            })
            .collect(),
        links: reachable.into_iter().map(|n| (address(n), link(n))).collect(),
    })
}

proptest! {
    /// Whatever was in force before, what is in force afterwards is what was wished for.
    #[test]
    fn plans_end_where_a_fresh_start_would(wishes in proptest::collection::vec((wish(), any::<bool>()), 1..8)) {
        let (mut planner, mut effect) = (planner(), Effect::default());
        for (wish, census) in &wishes {
            effect.apply(planner.plan(wish).unwrap());
            if *census {
                effect.apply(planner.census(|_| false));
            }
            let mut fresh = Effect::default();
            fresh.apply(self::planner().plan(wish).unwrap());
            prop_assert_eq!(effect.meaning(), fresh.meaning());
            prop_assert_eq!(planner.plan(wish).unwrap(), []);
        }
    }
}
