//! The services that the fixtures meet: one program for all of them, since loading it takes a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use lb_common::abi::{JournalReader, NO_LEASE};
use lb_tests::prog_run::{INGRESS, Rig, SIZES, backend_mac, on_link};
use lb_userspace::core::{
    model::{Connections, Encapsulation, Flood, Forward, Frontend, OnUnknown, Protocol, Thresholds},
    neighbour::Egress,
    plan::{Desired, DesiredBackend, DesiredService, Frontends, Step},
    schedule::{Scheduler, Scheduling},
    timeouts::Timeouts,
};

use crate::packets::{VIP4, VIP6};

/// Group of VIPs that this director holds.
const HELD: u8 = 3;
/// Group of VIPs that it does not hold.
const LAPSED: u8 = 4;
/// Group of VIPs whose lease a test sets.
pub(crate) const ENDING: u8 = 5;

/// VIPs without a service. A few wrong bits do not make one of them out of another VIP.
pub(crate) const HELD4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
pub(crate) const HELD6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0xee, 0, 0, 0xff, 0x20);
pub(crate) const LAPSED4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 21);
pub(crate) const LAPSED6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0xee, 0, 0, 0xff, 0x21);
pub(crate) const ENDING4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 22);

fn leases() -> BTreeMap<IpAddr, u32> {
    BTreeMap::from([
        (HELD4.into(), HELD.into()),
        (HELD6.into(), HELD.into()),
        (LAPSED4.into(), LAPSED.into()),
        (LAPSED6.into(), LAPSED.into()),
        (ENDING4.into(), ENDING.into()),
    ])
}

/// What packets note for other directors.
pub(crate) struct Journal(Vec<JournalReader>);

impl Journal {
    pub(crate) fn from_now(rig: &Rig) -> Self {
        Self(
            rig.kernel
                .tables
                .journal
                .iter()
                .map(JournalReader::from_now)
                .collect(),
        )
    }

    /// How many flows were noted since the last time.
    pub(crate) fn noted(&mut self, rig: &Rig) -> usize {
        let rings = rig.kernel.tables.journal.iter();
        let readers = self.0.iter_mut().zip(rings);
        readers
            .map(|(reader, ring)| std::iter::from_fn(|| reader.next(ring)).count())
            .sum()
    }
}

/// A service on both VIPs with at most one backend, 10.0.0.`backend`.
pub(crate) struct Service {
    pub(crate) port: u16,
    protocol: Protocol,
    pub(crate) backend: u8,
    ifindex: u32,
    forward: Forward,
}

const fn service(port: u16, protocol: Protocol, backend: u8, ifindex: u32) -> Service {
    Service {
        port,
        protocol,
        backend,
        ifindex,
        forward: Forward::Dr,
    }
}

/// On the link that packets come in by.
pub(crate) const WEB: Service = service(80, Protocol::Tcp, 1, INGRESS);
/// On the link that packets come in by.
pub(crate) const DNS: Service = service(53, Protocol::Udp, 2, INGRESS);
/// On another link.
pub(crate) const ELSEWHERE: Service = service(81, Protocol::Tcp, 3, 7);
/// Its backend's link vanished a moment ago; the schedule does not know it yet.
pub(crate) const UNRESOLVED: Service = service(82, Protocol::Tcp, 4, INGRESS);
/// Nobody serves it.
pub(crate) const EMPTY: Service = service(83, Protocol::Tcp, 0, INGRESS);
/// Its backend was forgotten, and the schedule still names it: what a faulty daemon would do.
pub(crate) const GONE: Service = service(84, Protocol::Tcp, 5, INGRESS);
/// Its number lies outside the service map: what a faulty daemon would do.
pub(crate) const OUTSIDE: Service = service(85, Protocol::Tcp, 6, INGRESS);

/// Its backend may have one connection at a time.
pub(crate) const NARROW: Service = service(86, Protocol::Tcp, 7, INGRESS);

/// Segments of connections that it does not know are reset.
pub(crate) const STRICT: Service = service(87, Protocol::Tcp, 8, INGRESS);
/// Segments of connections that it does not know are dropped.
pub(crate) const SILENT: Service = service(88, Protocol::Tcp, 9, INGRESS);

/// By tunnel.
pub(crate) const TUNNELLED: Service = Service {
    forward: Forward::Tunnel(Encapsulation::Ipip),
    ..service(89, Protocol::Tcp, 10, INGRESS)
};
/// A client may begin one connection a second.
pub(crate) const CALM: Service = service(90, Protocol::Tcp, 11, INGRESS);

const ALL: [Service; 12] = [
    WEB, DNS, ELSEWHERE, UNRESOLVED, EMPTY, GONE, OUTSIDE, NARROW, STRICT, SILENT, TUNNELLED, CALM,
];

/// Address of the n-th backend.
pub(crate) fn address(backend: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, backend])
}

impl Service {
    fn frontends(&self) -> Vec<Frontend> {
        let vips = [IpAddr::V4(VIP4), IpAddr::V6(VIP6)];
        vips.map(|vip| Frontend {
            vip,
            port: self.port,
            protocol: self.protocol,
        })
        .to_vec()
    }

    fn desired(&self) -> DesiredService {
        let backend = (self.backend > 0).then(|| DesiredBackend {
            thresholds: Thresholds {
                upper: u32::from(self.port == NARROW.port),
                lower: 0,
            },
            ..DesiredBackend::new(address(self.backend), 100)
        });
        DesiredService {
            name: format!("port-{}", self.port),
            frontends: self.frontends(),
            areas: Vec::new(),
            scheduling: Scheduling::new(Scheduler::Maglev, 13),
            timeouts: Timeouts::default(),
            forward: self.forward,
            pool: None,
            connections: Connections {
                on_unknown: match self.port {
                    port if port == STRICT.port => OnUnknown::Reset,
                    port if port == SILENT.port => OnUnknown::Drop,
                    _ => OnUnknown::Schedule,
                },
                flood: Flood {
                    syn_rate: None,
                    source_rate: NonZeroU32::new((self.port == CALM.port).into()),
                },
                ..Connections::default()
            },
            backends: backend.into_iter().collect(),
        }
    }

    fn egress(&self) -> (IpAddr, Egress) {
        let address = address(self.backend);
        let egress = on_link(address, backend_mac(self.backend), self.ifindex);
        (address, egress)
    }
}

/// These services, as the daemon would want them.
pub(crate) fn desired(services: &[Service]) -> Desired {
    Desired {
        services: services.iter().map(Service::desired).collect(),
        egress: services.iter().map(Service::egress).collect(),
        leases: leases(),
    }
}

/// The rig with all services, for one test at a time; its flow tables are empty.
pub(crate) fn rig() -> MutexGuard<'static, Rig> {
    static RIG: OnceLock<Mutex<Rig>> = OnceLock::new();
    let rig = RIG.get_or_init(|| Mutex::new(build()));
    // A test that failed has nothing to hide from the next.
    let rig = rig.lock().unwrap_or_else(PoisonError::into_inner);
    rig.forget_flows();
    rig
}

fn build() -> Rig {
    let mut rig = Rig::new(&SIZES).expect("the tests of the program need root");
    rig.configure(&desired(&ALL)).expect("the services fit");
    let tables = &mut rig.kernel.tables;
    let backend = |inventory: &lb_userspace::core::plan::Inventory, service: &Service| {
        let found = inventory
            .backends
            .iter()
            .find(|(_, b)| b.address == address(service.backend));
        *found.expect("every backend has a number").0
    };
    let inventory = tables.inventory();
    let frontends: BTreeMap<Frontend, u32> = ALL
        .iter()
        .flat_map(|service| {
            let name = service.desired().name;
            let (&number, _) = inventory
                .services
                .iter()
                .find(|(_, found)| **found == name)
                .expect("every service has a number");
            let number = if service.port == OUTSIDE.port {
                SIZES.services
            } else {
                number
            };
            service.frontends().into_iter().map(move |f| (f, number))
        })
        .collect();
    let steps = [
        Step::SetWay {
            backend: backend(&inventory, &UNRESOLVED),
            way: None,
        },
        Step::ForgetBackend {
            backend: backend(&inventory, &GONE),
        },
        Step::SetFrontends(Frontends {
            vips: [IpAddr::from(VIP4), VIP6.into()]
                .map(|vip| (vip, NO_LEASE))
                .into_iter()
                .chain(leases())
                .collect(),
            areas: BTreeMap::new(),
            services: frontends,
            pools: BTreeSet::new(),
        }),
    ];
    for step in steps {
        tables.apply(&step).expect("the steps are possible");
    }
    tables.leases[0].set(HELD, u64::MAX);
    rig
}
