//! The maps as memory, and the steps of a plan on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lb_common::{
    abi::{
        AddressSet, AreaEntry, BackendEntry, BackendLoad, ClaimTable, FloodLimits, Frontend4, Frontend6,
        FrontendBucket, FrontendEntry, FrontendsFull, JournalRing, LeaseTable, Persistence, Policy, Pool,
        Runtime, SLOTS_PER_LINE, Schedule, ServerIdLine, ServiceEntry, ServiceName, SlotLine, Strangers,
        TIMEOUT_CLASSES, TimeoutTable, build,
    },
    flow_table::{Bucket, Entry4, Entry6, Translation4, Translation6},
    hash::Seed,
    packet::protocol,
};

use super::{
    Region,
    server_ids::{NoRoom, set_server_ids},
};
use crate::core::{
    model::Area,
    plan::{Assigned, Frontends, Inventory, Step},
    schedule::ScheduleSpec,
    slots::{NoSpace, SlotAllocator, SlotRange},
};

/// How long a packet may go on using what it read before a change. A packet is under way for microseconds; this allows
/// for a virtual CPU that is not scheduled for a while.
const GRACE: Duration = Duration::from_millis(20);

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// No room for a schedule table.
    #[error("service number {service}: {source}")]
    NoSlots {
        /// The service.
        service: u32,
        /// Why.
        source: NoSpace,
    },
    /// No room for the frontends.
    #[error("too many frontends: {count} do not fit into a table of {places} places")]
    Frontends {
        /// How many there are.
        count: usize,
        /// Places of the table.
        places: usize,
    },
    /// No room for a server ID.
    #[error(transparent)]
    ServerIds(#[from] NoRoom),
    /// A number outside the map.
    #[error("the plan names {what} {number}, and there are only {limit}: a fault of the planner")]
    OutOfRange {
        /// Kind of number.
        what: &'static str,
        /// The number.
        number: u32,
        /// Elements of the map.
        limit: usize,
    },
}

/// The maps of the packet path.
#[derive(Debug)]
pub struct Tables {
    /// What changes while the program runs.
    pub runtime: Region<Runtime>,
    /// Which addresses may be VIPs.
    pub vip_filter: Region<AddressSet>,
    /// What concerns us of packets to others.
    pub strangers: Region<Strangers>,
    /// IPv4 frontends: two generations.
    pub frontends_v4: Region<FrontendBucket<Frontend4>>,
    /// IPv6 frontends: two generations.
    pub frontends_v6: Region<FrontendBucket<Frontend6>>,
    /// Frontends that are more than one address and port: two generations.
    pub areas: Region<AreaEntry>,
    /// Services by number.
    pub services: Region<ServiceEntry>,
    /// Names of services by number.
    pub service_names: Region<ServiceName>,
    /// Timeouts by class and state; shared with whoever walks the flows.
    pub timeouts: Arc<Region<TimeoutTable>>,
    /// Schedule tables.
    pub slots: Region<SlotLine>,
    /// Backends by number.
    pub backends: Region<BackendEntry>,
    /// How busy backends are, by number; shared with whoever walks the flows.
    pub loads: Arc<Region<BackendLoad>>,
    /// IPv4 flows; shared with whoever walks them.
    pub flows_v4: Arc<Region<Bucket<Entry4>>>,
    /// IPv6 flows; shared with whoever walks them.
    pub flows_v6: Arc<Region<Bucket<Entry6>>>,
    /// Translations of IPv4 flows; shared with whoever walks the flows.
    pub translations_v4: Arc<Region<Bucket<Translation4>>>,
    /// Translations of IPv6 flows; shared with whoever walks the flows.
    pub translations_v6: Arc<Region<Bucket<Translation6>>>,
    /// Which backends QUIC's connection IDs name.
    pub server_ids: Region<ServerIdLine>,
    /// Pools by number of the service.
    pub pools: Region<Pool>,
    /// Leases of groups of VIPs; shared with the HA thread, which writes them.
    pub leases: Arc<Region<LeaseTable>>,
    /// Others that claimed VIPs; shared with the HA thread.
    pub claims: Arc<Region<ClaimTable>>,
    /// What packets note of flows, by CPU; shared with the sync thread, which reads it.
    pub journal: Arc<Region<JournalRing>>,
    /// Key of the frontend table's hash.
    pub seed: Seed,
    /// What only the writer needs to know.
    pub books: Books,
}

/// What the one writer of the tables remembers between steps.
#[derive(Debug)]
pub struct Books {
    allocator: SlotAllocator,
    /// Ranges that packets may still be reading, and since when nobody new does.
    retired: Vec<(Instant, SlotRange)>,
    vips: BTreeSet<IpAddr>,
    flipped: Option<Instant>,
}

impl Books {
    /// Books for tables in which these schedules are in force.
    ///
    /// # Errors
    /// The services whose schedules cannot be: they overlap or lie outside.
    pub fn new(slots: &[SlotLine], services: &[ServiceEntry]) -> Result<Self, String> {
        let capacity = slots.len() as u32 * SLOTS_PER_LINE;
        let schedules = services
            .iter()
            .flat_map(|service| [service.schedule(), service.backups()]);
        let used = schedules.filter_map(range);
        let allocator = SlotAllocator::with_used(capacity, used).map_err(|error| error.to_string())?;
        Ok(Self {
            allocator,
            retired: Vec::new(),
            vips: BTreeSet::new(),
            flipped: None,
        })
    }
}

impl Tables {
    /// What the maps hold already.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        let services = (0..)
            .zip(self.service_names.iter())
            .filter_map(|(n, name)| Some((n, name.get()?)));
        let assigned = |(entry, load): (&BackendEntry, &BackendLoad)| {
            Some(Assigned {
                service: entry.service(),
                address: entry.address()?,
                way: entry.way(),
                load: load.limits(),
            })
        };
        let backends = (0..)
            .zip(self.backends.iter().zip(self.loads.iter()))
            .filter_map(|(n, entries)| Some((n, assigned(entries)?)));
        let timeouts = (0..TIMEOUT_CLASSES as u8)
            .map(|class| (class, self.timeouts[0].class(class)))
            .filter(|(_, timeouts)| timeouts.iter().any(|&timeout| timeout > 0));
        Inventory {
            services: services.collect(),
            backends: backends.collect(),
            timeouts: timeouts.collect(),
        }
    }

    /// Carries out one step.
    ///
    /// # Errors
    /// [`StepError`]; what was in force before the step still is.
    pub fn apply(&mut self, step: &Step) -> Result<(), StepError> {
        match step {
            Step::AssignBackend {
                backend,
                service,
                address,
            } => {
                element(&self.loads, "backend", *backend)?.clear();
                self.backend(*backend)?.assign(*address, *service);
            }
            Step::SetWay { backend, way } => self.backend(*backend)?.set_way(way.as_ref()),
            Step::NameService { service, name } => {
                let entry = element(&self.services, "service", *service)?;
                entry.set_schedule(Schedule::default());
                entry.set_backups(Schedule::default());
                entry.set_policy(Policy::default());
                entry.set_persistence(Persistence::default());
                entry.set_flood(FloodLimits::default());
                element(&self.pools, "service", *service)?.set([], 0, 0);
                element(&self.service_names, "service", *service)?.set(name);
            }
            Step::SetTimeouts { class, timeouts } => self.timeouts[0].set_class(*class, timeouts),
            Step::SetPersistence { service, persistence } => {
                element(&self.services, "service", *service)?.set_persistence(*persistence);
            }
            Step::SetFlood { service, limits } => {
                element(&self.services, "service", *service)?.set_flood(*limits);
            }
            Step::SetPolicy { service, policy } => {
                element(&self.services, "service", *service)?.set_policy(*policy);
            }
            Step::SetPool { service, pool } => {
                let entry = element(&self.pools, "service", *service)?;
                match pool {
                    Some(pool) => {
                        let count = u32::from(pool.last_port - pool.first_port) + 1;
                        entry.set(pool.addresses.iter().copied(), pool.first_port, count);
                    }
                    None => entry.set([], 0, 0),
                }
            }
            Step::SetServerIds(ids) => {
                set_server_ids(&self.server_ids, ids)?;
            }
            Step::SetTranslated(backends) => self.strangers[0].set_translated(backends.iter().copied()),
            Step::SetTunnelSources(sources) => {
                self.strangers[0].set_tunnel_sources(sources.iter().copied());
            }
            Step::SetLoad { backend, limits } => {
                element(&self.loads, "backend", *backend)?.set_limits(limits);
            }
            Step::SetSchedule { service, schedule } => {
                let new = self.write(*service, schedule)?;
                let entry = element(&self.services, "service", *service)?;
                let old = entry.schedule();
                entry.set_schedule(new);
                self.retire(old);
            }
            Step::SetBackups { service, backups } => {
                let new = self.write(*service, backups)?;
                let entry = element(&self.services, "service", *service)?;
                let old = entry.backups();
                entry.set_backups(new);
                self.retire(old);
            }
            Step::SetFrontends(frontends) => self.set_frontends(frontends)?,
            Step::ForgetBackend { backend } => self.backend(*backend)?.clear(),
            Step::ForgetService { service } => element(&self.service_names, "service", *service)?.clear(),
        }
        Ok(())
    }

    /// Makes sure that there will be room for every schedule of these steps, taken one after the other.
    ///
    /// # Errors
    /// [`StepError::NoSlots`] for the first that will not fit; nothing has changed.
    pub fn ensure_room(&self, steps: &[Step]) -> Result<(), StepError> {
        let mut allocator = self.books.allocator.clone();
        for &(_, range) in &self.books.retired {
            free(&mut allocator, range);
        }
        let mut ranges = BTreeMap::new();
        for step in steps {
            let (service, spec, of) = match step {
                Step::SetSchedule { service, schedule } => (
                    *service,
                    schedule,
                    ServiceEntry::schedule as fn(&ServiceEntry) -> Schedule,
                ),
                Step::SetBackups { service, backups } => (
                    *service,
                    backups,
                    ServiceEntry::backups as fn(&ServiceEntry) -> Schedule,
                ),
                _ => continue,
            };
            let place = (service, matches!(step, Step::SetBackups { .. }));
            let old = match ranges.remove(&place) {
                Some(range) => range,
                None => range(of(element(&self.services, "service", service)?)),
            };
            let new = match spec.slots() {
                0 => None,
                slots => Some(
                    allocator
                        .allocate(slots)
                        .map_err(|source| StepError::NoSlots { service, source })?,
                ),
            };
            if let Some(old) = old {
                free(&mut allocator, old);
            }
            ranges.insert(place, new);
        }
        Ok(())
    }

    fn backend(&self, number: u32) -> Result<&BackendEntry, StepError> {
        element(&self.backends, "backend", number)
    }

    /// Writes a new schedule beside the old one; one store puts it in force.
    fn write(&mut self, service: u32, spec: &ScheduleSpec) -> Result<Schedule, StepError> {
        let table = spec.table();
        if table.is_empty() {
            return Ok(Schedule::default());
        }
        let range = self
            .allocate(table.len() as u32)
            .map_err(|source| StepError::NoSlots { service, source })?;
        for (slot, &backend) in (range.start..).zip(&table) {
            let line = element(&self.slots, "slot line", slot / SLOTS_PER_LINE)?;
            line.slots[(slot % SLOTS_PER_LINE) as usize].store(backend);
        }
        Ok(Schedule {
            base: range.start,
            length: range.len,
            choice: spec.choice,
        })
    }

    /// Nobody new reads this schedule.
    fn retire(&mut self, old: Schedule) {
        self.books
            .retired
            .extend(range(old).map(|range| (Instant::now(), range)));
    }

    fn allocate(&mut self, length: u32) -> Result<SlotRange, NoSpace> {
        self.release(Instant::now());
        match self.books.allocator.allocate(length) {
            Ok(range) => Ok(range),
            Err(error) => {
                let Some(&(newest, _)) = self.books.retired.last() else {
                    return Err(error);
                };
                thread::sleep(GRACE.saturating_sub(newest.elapsed()));
                self.release(newest + GRACE);
                self.books.allocator.allocate(length)
            }
        }
    }

    /// Takes back the ranges that no packet can be reading any more.
    fn release(&mut self, now: Instant) {
        let (done, waiting) = self
            .books
            .retired
            .iter()
            .partition(|(since, _)| now.duration_since(*since) >= GRACE);
        self.books.retired = waiting;
        let done: Vec<(Instant, SlotRange)> = done;
        for (_, range) in done {
            free(&mut self.books.allocator, range);
        }
    }

    /// Writes the idle generation in full, and flips.
    fn set_frontends(&mut self, frontends: &Frontends) -> Result<(), StepError> {
        if let Some(flipped) = self.books.flipped {
            // The idle generation was in force a moment ago, and a packet may still be reading it.
            thread::sleep(GRACE.saturating_sub(flipped.elapsed()));
        }
        let generation = self.runtime[0].generation.load() & 1 ^ 1;
        for idle in [
            fill(&self.frontends_v4, generation, &self.seed, frontends),
            fill(&self.frontends_v6, generation, &self.seed, frontends),
        ] {
            idle.map_err(|FrontendsFull| StepError::Frontends {
                count: frontends.services.len(),
                places: self.frontends_v4.len() / 2 * lb_common::abi::WAYS,
            })?;
        }
        let mut areas: Vec<(&Area, u32)> = frontends
            .areas
            .iter()
            .map(|(area, &service)| (area, service))
            .collect();
        areas.sort_by_key(|(area, _)| area.rank());
        let (first, second) = self.areas.split_at(self.areas.len() / 2);
        let idle = if generation == 0 { first } else { second };
        for (entry, (area, service)) in idle.iter().zip(&areas) {
            entry.set(&area.bounds(), *service);
        }
        let runtime = &self.runtime[0];
        let shift = generation * 32;
        let count = areas.len().min(idle.len()) as u64;
        let other = runtime.areas.load() & !(u64::from(u32::MAX) << shift);
        runtime.areas.publish(other | count << shift);
        let wide = areas.iter().any(|(area, _)| area.vip().is_none());
        if wide {
            runtime.wide.publish(1);
        }
        // Packets to an address of a pool are replies; whoever asks for its MAC address is answered as for a VIP.
        let served = || {
            let vips = frontends.vips.keys().copied();
            vips.filter(|vip| !frontends.pools.contains(vip))
        };
        for vip in served() {
            self.vip_filter[0].insert(vip);
        }
        self.runtime[0].generation.publish(generation);
        if !wide {
            self.runtime[0].wide.publish(0);
        }
        self.vip_filter[0].replace(served());
        self.books.vips = frontends.vips.keys().copied().collect();
        self.books.flipped = Some(Instant::now());
        Ok(())
    }

    /// How many slots of the service's table each backend has.
    #[must_use]
    pub fn slot_counts(&self, service: u32) -> BTreeMap<u32, u32> {
        let schedule = self
            .services
            .get(service as usize)
            .map(ServiceEntry::schedule)
            .unwrap_or_default();
        let mut counts = vec![0; self.backends.len()];
        for slot in schedule.base..schedule.base + schedule.length {
            let line = &self.slots[(slot / SLOTS_PER_LINE) as usize];
            let backend = line.slots[(slot % SLOTS_PER_LINE) as usize].load();
            if let Some(count) = counts.get_mut(backend as usize) {
                *count += 1;
            }
        }
        (0..).zip(counts).filter(|(_, count)| *count > 0).collect()
    }

    /// The VIPs in force.
    #[must_use]
    pub fn vips(&self) -> &BTreeSet<IpAddr> {
        &self.books.vips
    }
}

/// The range of a schedule; none of one that is empty.
fn range(schedule: Schedule) -> Option<SlotRange> {
    (schedule.length > 0).then_some(SlotRange {
        start: schedule.base,
        len: schedule.length,
    })
}

/// Takes back a range that was in force.
fn free(allocator: &mut SlotAllocator, range: SlotRange) {
    let freed = allocator.free(range);
    debug_assert!(freed.is_ok(), "a range that was in force was allocated");
}

/// Writes one generation of one family: the frontends, and each VIP once more for echo requests and its group.
fn fill<E: FrontendEntry>(
    table: &[FrontendBucket<E>],
    generation: u64,
    seed: &Seed,
    frontends: &Frontends,
) -> Result<(), FrontendsFull> {
    let (first, second) = table.split_at(table.len() / 2);
    let idle = if generation == 0 { first } else { second };
    let listening = frontends.services.iter().filter_map(|(frontend, &service)| {
        Some((
            E::key_of(frontend.vip, frontend.port, frontend.protocol.number())?,
            service,
        ))
    });
    let vips = frontends.vips.iter().filter_map(|(&vip, &group)| {
        let icmp = if vip.is_ipv4() {
            protocol::ICMP
        } else {
            protocol::ICMPV6
        };
        Some((E::key_of(vip, 0, icmp)?, group))
    });
    build(idle, seed, listening.chain(vips))
}

fn element<'a, T>(region: &'a [T], what: &'static str, number: u32) -> Result<&'a T, StepError> {
    region.get(number as usize).ok_or(StepError::OutOfRange {
        what,
        number,
        limit: region.len(),
    })
}

#[cfg(test)]
mod tests;
