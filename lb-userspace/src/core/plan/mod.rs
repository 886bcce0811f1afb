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

use lb_common::abi::{NO_LEASE, Policy, TIMEOUT_CLASSES, Timeouts, Way};

use self::{classes::Classes, numbers::Numbers};
use super::{
    maglev,
    model::{Forward, Frontend},
    neighbour::{Egress, Unresolved},
    timeouts, way,
};

mod classes;
mod numbers;

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
    /// Every VIP, and the number of its group's lease, or [`NO_LEASE`].
    pub vips: BTreeMap<IpAddr, u32>,
}

/// A service that should be in the maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredService {
    /// Unique name.
    pub name: String,
    /// Where clients come in.
    pub frontends: Vec<Frontend>,
    /// Slots of the schedule table.
    pub table_size: u32,
    /// How long its flows live without a packet.
    pub timeouts: timeouts::Timeouts,
    /// How packets get to its backends.
    pub forward: Forward,
    /// Backends and their effective weights: 0 takes no new flows.
    pub backends: Vec<(IpAddr, u32)>,
}

/// One change to the maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The number belongs to this backend from now on; unresolved.
    AssignBackend {
        /// Number of the backend.
        backend: u32,
        /// Number of its service.
        service: u32,
        /// Its address.
        address: IpAddr,
    },
    /// Packets get to the backend like this, or not at all.
    SetWay {
        /// Number of the backend.
        backend: u32,
        /// How they get there.
        way: Option<Way>,
    },
    /// The number belongs to this service from now on.
    NameService {
        /// Number of the service.
        service: u32,
        /// Its name.
        name: String,
    },
    /// The timeouts of this class, which no flow is of yet.
    SetTimeouts {
        /// Number of the class.
        class: u8,
        /// By number of the state, in jiffies.
        timeouts: Timeouts,
    },
    /// The service works like this from now on.
    SetPolicy {
        /// Number of the service.
        service: u32,
        /// What it wants beside its schedule.
        policy: Policy,
    },
    /// The service chooses by this table from now on.
    SetSchedule {
        /// Number of the service.
        service: u32,
        /// The table.
        schedule: ScheduleSpec,
    },
    /// Tunnels come from these addresses of this machine: errors to them are looked at.
    SetTunnelSources(BTreeSet<IpAddr>),
    /// These frontends are in force from now on, all at once.
    SetFrontends(Frontends),
    /// No flow names this backend any more.
    ForgetBackend {
        /// Number of the backend.
        backend: u32,
    },
    /// The service is gone, and so are its backends.
    ForgetService {
        /// Number of the service.
        service: u32,
    },
}

/// What a schedule table is computed from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScheduleSpec {
    /// Slots.
    pub table_size: u32,
    /// Number of each backend and what Maglev knows of it.
    pub entries: Vec<(u32, maglev::Entry)>,
}

impl ScheduleSpec {
    /// Length of the table.
    #[must_use]
    pub fn slots(&self) -> u32 {
        let any = self.entries.iter().any(|(_, entry)| entry.weight > 0);
        if any { self.table_size } else { 0 }
    }

    /// The table: the number of a backend for each slot; empty when no backend has a weight.
    #[must_use]
    pub fn table(&self) -> Vec<u32> {
        let entries: Vec<_> = self.entries.iter().map(|(_, entry)| *entry).collect();
        let mut table = maglev::populate(&entries, self.table_size);
        for slot in &mut table {
            *slot = self.entries[*slot as usize].0;
        }
        table
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
    policy: Option<Policy>,
    wanted: bool,
}

#[derive(Debug, Clone)]
struct KnownBackend {
    number: u32,
    /// `None` where only the way tells, and that says "here".
    forward: Option<Forward>,
    way: Option<Way>,
    /// The way was found in the maps, and the kernel has not said anything yet: it holds until then.
    inherited: bool,
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
                way::way(forward, address, egress, vips).ok()
            }
        };
        (way != self.way).then(|| {
            self.way = way;
            way
        })
    }
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
}

impl Planner {
    /// A planner for maps that hold `inventory`.
    ///
    /// `key` is the cluster's key for identities of backends (see [`maglev::backend_id`]), `hz` how many jiffies make a
    /// second.
    #[must_use]
    pub fn new(key: u64, hz: u32, max_services: u32, max_backends: u32, inventory: &Inventory) -> Self {
        let service = |(&number, name): (&u32, &String)| {
            (
                name.clone(),
                KnownService {
                    number,
                    schedule: None,
                    policy: None,
                    wanted: false,
                },
            )
        };
        let backend = |(&number, assigned): (&u32, &Assigned)| {
            let known = KnownBackend {
                number,
                forward: assigned.way.as_ref().and_then(way::method_of),
                way: assigned.way,
                inherited: true,
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
            self.want_policy(service, &mut steps)?;
            for &(address, _) in &service.backends {
                self.want_backend(number, service, address, &mut steps)?;
            }
            members.push((number, service));
            for &frontend in &service.frontends {
                frontends.services.insert(frontend, number);
                frontends.vips.insert(frontend.vip, NO_LEASE);
            }
        }
        frontends.vips.extend(&desired.leases);
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
        let schedules: Vec<_> = members
            .into_iter()
            .map(|(number, service)| (service.name.clone(), self.schedule(number, service)))
            .collect();
        for (name, spec) in schedules {
            let Some(service) = self.services.get_mut(&name) else {
                continue;
            };
            if service.schedule.as_ref() != Some(&spec) {
                steps.push(Step::SetSchedule {
                    service: service.number,
                    schedule: spec.clone(),
                });
                service.schedule = Some(spec);
            }
        }
        if self.frontends.as_ref() != Some(&frontends) {
            steps.push(Step::SetFrontends(frontends.clone()));
            self.frontends = Some(frontends);
        }
        steps.append(&mut vanished);
        for service in self.services.values_mut().filter(|service| !service.wanted) {
            if service.schedule != Some(ScheduleSpec::default()) {
                service.schedule = Some(ScheduleSpec::default());
                steps.push(Step::SetSchedule {
                    service: service.number,
                    schedule: ScheduleSpec::default(),
                });
            }
        }
        Ok(steps)
    }

    /// Errors about tunnels are looked for where tunnels come from.
    fn follow_tunnels(&mut self, steps: &mut Vec<Step>) {
        let ways = self.backends.values().filter_map(|backend| backend.way);
        let sources: BTreeSet<IpAddr> = ways
            .filter_map(|way| match way {
                Way::Tunnel(_, tunnel) => Some(tunnel.source),
                Way::Direct(_) | Way::Local => None,
            })
            .collect();
        if self.tunnel_sources.as_ref() != Some(&sources) {
            steps.push(Step::SetTunnelSources(sources.clone()));
            self.tunnel_sources = Some(sources);
        }
    }

    /// The table of a service whose backends have numbers and ways: those that cannot be reached get nothing.
    fn schedule(&self, number: u32, service: &DesiredService) -> ScheduleSpec {
        let entry = |&(address, weight): &(IpAddr, u32)| {
            let backend = self.backends.get(&(number, address))?;
            let entry = maglev::Entry {
                id: maglev::backend_id(self.key, address, 0),
                weight: if backend.way.is_some() { weight } else { 0 },
            };
            Some((backend.number, entry))
        };
        ScheduleSpec {
            table_size: service.table_size,
            entries: service.backends.iter().filter_map(entry).collect(),
        }
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
            policy: None,
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
        };
        if let Some(service) = self.services.get_mut(&of.name)
            && service.policy != Some(policy)
        {
            service.policy = Some(policy);
            steps.push(Step::SetPolicy {
                service: service.number,
                policy,
            });
        }
        Ok(())
    }

    fn want_backend(
        &mut self,
        service: u32,
        of: &DesiredService,
        address: IpAddr,
        steps: &mut Vec<Step>,
    ) -> Result<(), PlanError> {
        if let Some(backend) = self.backends.get_mut(&(service, address)) {
            backend.wanted = true;
            backend.quiet_censuses = 0;
            backend.forward = Some(of.forward);
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
            way: None,
            inherited: false,
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

    /// Takes note of a census (whether any flow names this backend; whether any is of this timeout class) and forgets what
    /// nobody needs.
    pub fn census(
        &mut self,
        has_flows: impl Fn(u32) -> bool,
        class_has_flows: impl Fn(u8) -> bool,
    ) -> Vec<Step> {
        self.classes.census(class_has_flows);
        let mut steps = Vec::new();
        self.backends.retain(|_, backend| {
            if backend.wanted || has_flows(backend.number) {
                backend.quiet_censuses = 0;
                return true;
            }
            backend.quiet_censuses += 1;
            if backend.quiet_censuses < QUIET_CENSUSES {
                return true;
            }
            self.backend_numbers.give_back(backend.number);
            steps.push(Step::ForgetBackend {
                backend: backend.number,
            });
            false
        });
        let populated: BTreeSet<u32> = self.backends.keys().map(|(service, _)| *service).collect();
        self.services.retain(|_, service| {
            let keep = service.wanted || populated.contains(&service.number);
            if !keep {
                self.service_numbers.give_back(service.number);
                steps.push(Step::ForgetService {
                    service: service.number,
                });
            }
            keep
        });
        if self.tunnel_sources.is_some() {
            self.follow_tunnels(&mut steps);
        }
        steps
    }
}

#[cfg(test)]
mod tests;
