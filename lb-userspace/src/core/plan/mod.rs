//! From what is in the maps to what should be there: a plan of steps, in an order in which no packet meets a half-made
//! state.
//!
//! The planner gives numbers to services and backends. A number stays with its (service, address) as long as flows may
//! refer to it: a backend that leaves the configuration is *retired*, keeps its number and its link, and is forgotten
//! only after no flow named it in two censuses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi::{
    FloodLimits, Keeper, LoadLimits, NO_LEASE, Persistence, Policy, PolicyFlags, ServerId, TIMEOUT_CLASSES,
    Timeouts, Way,
};

pub use self::step::Step;
use self::{
    classes::Classes,
    numbers::Numbers,
    schedules::{Candidate, Schedules},
};
use super::{
    model::{self, Area, Connections, Forward, Frontend, OnGone, Pool, Telling, Thresholds},
    neighbour::{Egress, Unresolved},
    schedule::{ScheduleSpec, Scheduling},
    seal::name_prefix,
    timeouts, way,
};

mod census;
mod classes;
mod guests;
mod numbers;
mod schedules;
mod step;
mod ways;

/// Censuses without a flow after which a retired backend is forgotten. One is not enough: a packet that was scheduled
/// before the retirement may enter its flow after the first census has passed that place.
const QUIET_CENSUSES: u32 = 2;

/// What the maps hold already, as a restarted daemon reads it back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Names of services by number.
    pub services: BTreeMap<u32, String>,
    /// Backends by number.
    pub backends: BTreeMap<u32, Assigned>,
    /// Timeouts by class; only classes that are in use.
    pub timeouts: BTreeMap<u8, Timeouts>,
}

/// A backend that has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assigned {
    /// Number of its service.
    pub service: u32,
    /// Its address.
    pub address: IpAddr,
    /// How packets get there at present.
    pub way: Option<Way>,
    /// What was said of its load.
    pub load: LoadLimits,
}

/// What should be in the maps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Services; names are unique.
    pub services: Vec<DesiredService>,
    /// What the kernel knows of addresses; nothing yet of one that is missing.
    pub egress: BTreeMap<IpAddr, Egress>,
    /// VIPs that directors move between them, with services or without, and the numbers of their groups' leases.
    pub leases: BTreeMap<IpAddr, u32>,
}

/// Where clients come in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontends {
    /// Number of the service that listens.
    pub services: BTreeMap<Frontend, u32>,
    /// Where more than one address and port lead to a service, and its number.
    pub areas: BTreeMap<Area, u32>,
    /// Every VIP, and the number of its group's lease, or [`NO_LEASE`].
    pub vips: BTreeMap<IpAddr, u32>,
    /// Addresses that translated packets come from: held like VIPs, and no service's.
    pub pools: BTreeSet<IpAddr>,
}

/// A service that should be in the maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredService {
    /// Unique name.
    pub name: String,
    /// Where clients come in.
    pub frontends: Vec<Frontend>,
    /// And where they come in that is more than one address and port.
    pub areas: Vec<Area>,
    /// How it chooses backends.
    pub scheduling: Scheduling,
    /// How long its flows live without a packet.
    pub timeouts: timeouts::Timeouts,
    /// How packets get to its backends.
    pub forward: Forward,
    /// Where its packets come from, with full NAT.
    pub pool: Option<Pool>,
    /// How its connections are treated.
    pub connections: Connections,
    /// Backends; addresses are unique.
    pub backends: Vec<DesiredBackend>,
}

/// A backend that should be in the maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DesiredBackend {
    /// Its address.
    pub address: IpAddr,
    /// Its effective weight: 0 takes no new flows.
    pub weight: u32,
    /// Port of its server, where packets are translated; `None`: that of the VIP.
    pub port: Option<u16>,
    /// How many flows it may have.
    pub thresholds: Thresholds,
    /// Whether it takes new flows only where no other can.
    pub backup: bool,
    /// What names it in QUIC's connection IDs.
    pub server_id: Option<u32>,
}

impl DesiredBackend {
    /// An ordinary backend.
    #[must_use]
    pub fn new(address: IpAddr, weight: u32) -> Self {
        Self {
            address,
            weight,
            port: None,
            thresholds: Thresholds::default(),
            backup: false,
            server_id: None,
        }
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// All numbers of backends are taken.
    #[error(
        "no room for backend {address} of service `{service}`: all {limit} places are taken, {retired} of them by \
         removed backends that still have flows; raise `backends` under [limits] and restart, or wait for those flows to end"
    )]
    TooManyBackends {
        /// The backend.
        address: IpAddr,
        /// Its service.
        service: String,
        /// Places there are.
        limit: u32,
        /// Places of retired backends.
        retired: usize,
    },
    /// All timeout classes are taken.
    #[error(
        "no room for the timeouts of service `{service}`: there can be {TIMEOUT_CLASSES} different sets at the same time, those \
         of connections that began under an earlier configuration included; give several services the same timeouts, or wait \
         for those connections to end"
    )]
    TooManyTimeouts {
        /// The service.
        service: String,
    },
    /// All numbers of services are taken.
    #[error("no room for service `{service}`: all {limit} places are taken")]
    TooManyServices {
        /// The service.
        service: String,
        /// Places there are.
        limit: u32,
    },
}

#[derive(Debug, Clone)]
struct KnownService {
    number: u32,
    /// What was last put in force; `None` when the maps' content is not known.
    schedule: Option<ScheduleSpec>,
    backups: Option<ScheduleSpec>,
    persistence: Option<Persistence>,
    flood: Option<FloodLimits>,
    policy: Option<Policy>,
    wanted: bool,
    /// The pool that the maps have; `None` where nobody knows.
    pool: Option<Option<Pool>>,
}

#[derive(Debug, Clone)]
struct KnownBackend {
    number: u32,
    /// `None` where only the way tells, and that says "here".
    forward: Option<Forward>,
    port: Option<u16>,
    server_id: Option<u32>,
    way: Option<Way>,
    /// The way was found in the maps, and the kernel has not said anything yet: it holds until then.
    inherited: bool,
    /// What was last said of its load.
    load: LoadLimits,
    /// What becomes of its connections once it is not wanted any more.
    on_gone: OnGone,
    wanted: bool,
    quiet_censuses: u32,
}

impl KnownBackend {
    /// Goes by what the kernel says of the address; the way, if it is another than before.
    fn follow(
        &mut self,
        address: IpAddr,
        egress: Option<&Egress>,
        vips: &BTreeSet<IpAddr>,
    ) -> Option<Option<Way>> {
        let way = match egress {
            None | Some(Egress::Unresolved(Unresolved::NotYetResolved)) if self.inherited => return None,
            None => None,
            Some(egress) => {
                self.inherited = false;
                // By whatever method flows of an earlier life went there, or came here.
                let forward = self.forward.unwrap_or(Forward::Dr);
                way::way(forward, address, self.port, egress, vips).ok()
            }
        };
        (way != self.way).then(|| {
            self.way = way;
            way
        })
    }
}

impl KnownService {
    /// Steps to these schedules from those in force. The backups come first: nobody is sent to them before the others are full.
    fn put_in_force(&mut self, Schedules { schedule, backups }: Schedules, steps: &mut Vec<Step>) {
        let service = self.number;
        if self.backups.as_ref() != Some(&backups) {
            self.backups = Some(backups.clone());
            steps.push(Step::SetBackups { service, backups });
        }
        if self.schedule.as_ref() != Some(&schedule) {
            self.schedule = Some(schedule.clone());
            steps.push(Step::SetSchedule { service, schedule });
        }
    }
}

/// What stands for a service in templates: the same on every director that has one of this name.
fn service_id(name: &str) -> u32 {
    u32::from_be_bytes(name_prefix(name))
}

/// Who keeps a backend for connections to come: clients where the configuration says so, or else destinations where the
/// scheduler does.
fn persistence(of: &DesiredService) -> Option<Persistence> {
    let (keeper, whose) = match of.connections.persistence {
        Some(clients) => (Keeper::Client, clients),
        None => (of.scheduling.scheduler.keeper()?, model::Persistence::default()),
    };
    Some(Persistence {
        keeper,
        service: service_id(&of.name),
        prefix_v4: whose.prefix_v4,
        prefix_v6: whose.prefix_v6,
    })
}

/// What the service wants beside its schedule, yes or no.
fn flags(of: &DesiredService) -> PolicyFlags {
    let wanted = [
        (schedules::has_thresholds(&of.backends), PolicyFlags::THRESHOLDS),
        (of.scheduling.fallback, PolicyFlags::FALLBACK),
        (of.connections.one_packet, PolicyFlags::ONE_PACKET),
        (persistence(of).is_some(), PolicyFlags::PERSISTENT),
        (of.connections.flood.limits().is_some(), PolicyFlags::LIMITED),
        (of.connections.sync == Telling::Off, PolicyFlags::UNTOLD),
        (
            of.connections.sync == Telling::FirstPacket,
            PolicyFlags::TOLD_EARLY,
        ),
    ];
    let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
    wanted.fold(PolicyFlags::default(), |all, (_, flag)| all.with(flag))
}

/// Keeps the numbers and knows what is in force.
#[derive(Debug, Clone)]
pub struct Planner {
    key: u64,
    hz: u32,
    limits: (u32, u32),
    service_numbers: Numbers,
    backend_numbers: Numbers,
    classes: Classes,
    services: BTreeMap<String, KnownService>,
    backends: BTreeMap<(u32, IpAddr), KnownBackend>,
    frontends: Option<Frontends>,
    tunnel_sources: Option<BTreeSet<IpAddr>>,
    translated: Option<BTreeSet<IpAddr>>,
    server_ids: Option<BTreeMap<ServerId, u32>>,
}

impl Planner {
    /// A planner for maps that hold `inventory`.
    ///
    /// `key` is the cluster's key for identities of backends (see [`backend_id`](super::schedule::backend_id)), `hz` how many jiffies make a
    /// second.
    #[must_use]
    pub fn new(key: u64, hz: u32, max_services: u32, max_backends: u32, inventory: &Inventory) -> Self {
        let service = |(&number, name): (&u32, &String)| {
            (
                name.clone(),
                KnownService {
                    number,
                    schedule: None,
                    backups: None,
                    persistence: None,
                    flood: None,
                    policy: None,
                    pool: None,
                    wanted: false,
                },
            )
        };
        let backend = |(&number, assigned): (&u32, &Assigned)| {
            let known = KnownBackend {
                number,
                forward: assigned.way.as_ref().and_then(way::method_of),
                port: match assigned.way {
                    Some(Way::Translated(_, server)) => server.port,
                    _ => None,
                },
                server_id: None,
                way: assigned.way,
                inherited: true,
                load: assigned.load,
                on_gone: OnGone::default(),
                wanted: false,
                quiet_censuses: 0,
            };
            ((assigned.service, assigned.address), known)
        };
        Self {
            key,
            hz,
            limits: (max_services, max_backends),
            service_numbers: Numbers::new(max_services, inventory.services.keys().copied()),
            backend_numbers: Numbers::new(max_backends, inventory.backends.keys().copied()),
            classes: Classes::new(&inventory.timeouts),
            services: inventory.services.iter().map(service).collect(),
            backends: inventory.backends.iter().map(backend).collect(),
            frontends: None,
            tunnel_sources: None,
            translated: None,
            server_ids: None,
        }
    }

    /// The steps from what is in force to `desired`. The planner takes them as done; if one fails, make a new planner
    /// from a new inventory.
    ///
    /// # Errors
    /// [`PlanError`]; nothing has changed then.
    pub fn plan(&mut self, desired: &Desired) -> Result<Vec<Step>, PlanError> {
        let mut next = self.clone();
        let steps = next.advance(desired)?;
        *self = next;
        Ok(steps)
    }

    fn advance(&mut self, desired: &Desired) -> Result<Vec<Step>, PlanError> {
        let mut steps = Vec::new();
        self.services
            .values_mut()
            .for_each(|service| service.wanted = false);
        self.backends
            .values_mut()
            .for_each(|backend| backend.wanted = false);
        self.classes.begin();

        let mut frontends = Frontends::default();
        let mut members = Vec::new();
        for service in &desired.services {
            let number = self.want_service(&service.name, &mut steps)?;
            for ((of, _), backend) in &mut self.backends {
                if *of == number {
                    backend.on_gone = service.connections.on_gone;
                }
            }
            self.want_policy(service, &mut steps)?;
            for backend in &service.backends {
                self.want_backend(number, service, backend, &mut steps)?;
            }
            self.want_pool(number, service, &mut steps);
            members.push((number, service));
            frontends
                .areas
                .extend(service.areas.iter().map(|&area| (area, number)));
            for &address in service.pool.iter().flat_map(|pool| &pool.addresses) {
                frontends.pools.insert(address);
                frontends.vips.insert(address, NO_LEASE);
            }
            for &frontend in &service.frontends {
                frontends.services.insert(frontend, number);
                frontends.vips.insert(frontend.vip, NO_LEASE);
            }
        }
        let single = frontends.areas.keys().filter_map(Area::vip);
        frontends.vips.extend(single.map(|vip| (vip, NO_LEASE)));
        frontends.vips.extend(&desired.leases);
        self.unwant_clients(&mut steps);
        let vips = frontends.vips.keys().copied().collect();
        // Ways that appear come before the tables that use them, ways that vanish after the tables that still did.
        let (mut appeared, mut vanished) = (Vec::new(), Vec::new());
        for ((_, address), backend) in &mut self.backends {
            if let Some(way) = backend.follow(*address, desired.egress.get(address), &vips) {
                let step = Step::SetWay {
                    backend: backend.number,
                    way,
                };
                if way.is_some() {
                    appeared.push(step);
                } else {
                    vanished.push(step);
                }
            }
        }
        steps.append(&mut appeared);
        self.follow_tunnels(&mut steps);
        self.follow_translations(&mut steps);
        self.follow_server_ids(&mut steps);
        let mut schedules = Vec::new();
        for (number, service) in members {
            let candidates = self.candidates(number, service);
            self.want_loads(service, &candidates, number, &mut steps);
            let schedules_of = Schedules::of(&service.scheduling, &candidates, self.key);
            schedules.push((service.name.as_str(), schedules_of));
        }
        for (name, schedules) in schedules {
            if let Some(service) = self.services.get_mut(name) {
                service.put_in_force(schedules, &mut steps);
            }
        }
        if self.frontends.as_ref() != Some(&frontends) {
            steps.push(Step::SetFrontends(frontends.clone()));
            self.frontends = Some(frontends);
        }
        steps.append(&mut vanished);
        for service in self.services.values_mut().filter(|service| !service.wanted) {
            service.put_in_force(Schedules::none(), &mut steps);
        }
        Ok(steps)
    }

    /// Backends of a service, which have numbers and ways: those that cannot be reached take nothing.
    fn candidates<'a>(&self, number: u32, service: &'a DesiredService) -> Vec<Candidate<'a>> {
        let candidate = |backend: &'a DesiredBackend| {
            let known = self.backends.get(&(number, backend.address))?;
            Some(Candidate {
                number: known.number,
                weight: if known.way.is_some() { backend.weight } else { 0 },
                backend,
            })
        };
        service.backends.iter().filter_map(candidate).collect()
    }

    fn want_service(&mut self, name: &str, steps: &mut Vec<Step>) -> Result<u32, PlanError> {
        if let Some(service) = self.services.get_mut(name) {
            service.wanted = true;
            return Ok(service.number);
        }
        let number = self
            .service_numbers
            .take()
            .ok_or_else(|| PlanError::TooManyServices {
                service: name.to_owned(),
                limit: self.limits.0,
            })?;
        steps.push(Step::NameService {
            service: number,
            name: name.to_owned(),
        });
        let known = KnownService {
            number,
            schedule: None,
            backups: Some(ScheduleSpec::NOBODY),
            persistence: None,
            flood: None,
            policy: None,
            // The name says that nothing was there.
            pool: Some(None),
            wanted: true,
        };
        self.services.insert(name.to_owned(), known);
        Ok(number)
    }

    fn want_policy(&mut self, of: &DesiredService, steps: &mut Vec<Step>) -> Result<(), PlanError> {
        let class = self.classes.want(&of.timeouts.in_jiffies(self.hz), steps);
        let policy = Policy {
            timeout_class: class.ok_or_else(|| PlanError::TooManyTimeouts {
                service: of.name.clone(),
            })?,
            server_id: of.connections.server_id_length,
            unknown: of.connections.on_unknown.into(),
            hash: of.scheduling.hash_fields(),
            flags: flags(of),
        };
        let Some(service) = self.services.get_mut(&of.name) else {
            return Ok(());
        };
        let persistence = persistence(of);
        let number = service.number;
        if let Some(persistence) = persistence
            && service.persistence != Some(persistence)
        {
            service.persistence = Some(persistence);
            steps.push(Step::SetPersistence {
                service: number,
                persistence,
            });
        }
        if let Some(limits) = of.connections.flood.limits()
            && service.flood != Some(limits)
        {
            service.flood = Some(limits);
            steps.push(Step::SetFlood {
                service: number,
                limits,
            });
        }
        if service.policy != Some(policy) {
            service.policy = Some(policy);
            steps.push(Step::SetPolicy {
                service: number,
                policy,
            });
        }
        Ok(())
    }

    /// Says what backends can bear, where it matters and is not what was said last.
    fn want_loads(
        &mut self,
        of: &DesiredService,
        candidates: &[Candidate<'_>],
        service: u32,
        steps: &mut Vec<Step>,
    ) {
        let counted = schedules::is_counted(&of.scheduling, candidates);
        for candidate in candidates {
            let thresholds = candidate.backend.thresholds;
            // Whoever takes no new flows keeps no client, and a backup only serves while it has to.
            let takes_clients = candidate.weight > 0 && !candidate.backend.backup;
            let kept = persistence(of).is_some() && takes_clients;
            // Where nobody asks, there is nothing to say.
            let limits = if counted {
                LoadLimits {
                    weight: candidate.weight,
                    upper: thresholds.upper,
                    lower: thresholds.lower,
                    counted,
                    kept,
                }
            } else {
                LoadLimits {
                    kept,
                    ..LoadLimits::default()
                }
            };
            if let Some(known) = self.backends.get_mut(&(service, candidate.backend.address))
                && known.load != limits
            {
                known.load = limits;
                steps.push(Step::SetLoad {
                    backend: known.number,
                    limits,
                });
            }
        }
    }

    /// Backends that are not wanted any more keep no clients.
    fn unwant_clients(&mut self, steps: &mut Vec<Step>) {
        let retired = self
            .backends
            .values_mut()
            .filter(|backend| !backend.wanted && backend.load.kept);
        for backend in retired {
            backend.load.kept = false;
            steps.push(Step::SetLoad {
                backend: backend.number,
                limits: backend.load,
            });
        }
    }

    fn want_backend(
        &mut self,
        service: u32,
        of: &DesiredService,
        wanted: &DesiredBackend,
        steps: &mut Vec<Step>,
    ) -> Result<(), PlanError> {
        let address = wanted.address;
        if let Some(backend) = self.backends.get_mut(&(service, address)) {
            backend.wanted = true;
            backend.quiet_censuses = 0;
            backend.forward = Some(of.forward);
            backend.port = wanted.port;
            backend.server_id = wanted.server_id;
            return Ok(());
        }
        let number = self
            .backend_numbers
            .take()
            .ok_or_else(|| PlanError::TooManyBackends {
                address,
                service: of.name.clone(),
                limit: self.limits.1,
                retired: self.backends.values().filter(|backend| !backend.wanted).count(),
            })?;
        steps.push(Step::AssignBackend {
            backend: number,
            service,
            address,
        });
        let known = KnownBackend {
            number,
            forward: Some(of.forward),
            port: wanted.port,
            server_id: wanted.server_id,
            way: None,
            inherited: false,
            load: LoadLimits::default(),
            on_gone: of.connections.on_gone,
            wanted: true,
            quiet_censuses: 0,
        };
        self.backends.insert((service, address), known);
        Ok(())
    }

    /// Addresses of retired backends: flows still go there, so their links are still wanted.
    pub fn retired(&self) -> impl Iterator<Item = (u32, IpAddr)> + '_ {
        self.backends
            .iter()
            .filter(|(_, backend)| !backend.wanted)
            .map(|((_, address), backend)| (backend.number, *address))
    }

    /// Numbers of retired backends whose connections are to end, and how.
    pub fn gone(&self) -> impl Iterator<Item = (u32, OnGone)> + '_ {
        self.backends
            .values()
            .filter(|backend| !backend.wanted && backend.on_gone != OnGone::Keep)
            .map(|backend| (backend.number, backend.on_gone))
    }

    /// Number of a service.
    #[must_use]
    pub fn service_number(&self, name: &str) -> Option<u32> {
        self.services.get(name).map(|service| service.number)
    }

    /// Number of a backend.
    #[must_use]
    pub fn backend_number(&self, service: u32, address: IpAddr) -> Option<u32> {
        self.backends
            .get(&(service, address))
            .map(|backend| backend.number)
    }
}

#[cfg(test)]
mod tests;
