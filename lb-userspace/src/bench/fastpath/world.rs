//! The daemon's program with services, backends and flows, to be measured.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Result, bail, ensure};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions};
use lb_common::{
    abi::{BackendLoad, Event},
    flow_state::FlowState,
    flow_table::{
        Bucket, Clock, Control, Entry, Insertion, NewFlow, Target, TranslationEntry, insert, lookup,
        translation_at,
    },
    hash::Seed,
    packet::{FlowKey, FlowKey4, FlowKey6, protocol},
    reason::Reason,
};

use crate::{
    bench::{
        front,
        template::{DIRECTOR_MAC, Template},
    },
    core::{
        model::{Connections, DEFAULT_TABLE_SIZE, DEFAULT_WEIGHT, Forward, Frontend, Protocol},
        neighbour::{Egress, Mac, NextHop},
        plan::{Desired, DesiredBackend, DesiredService, Inventory, Planner},
        schedule::{Scheduler, Scheduling},
        timeouts::Timeouts,
    },
    datapath::{Ending, Kernel, MapSizes, end_flow},
};

/// Interface that packets come in by unless they are told, and that backends are behind: the loopback device of the namespace.
const LOOPBACK: u32 = 1;
/// Address of a director that is made up.
const DIRECTOR: [u8; 4] = [10, 0, 0, 254];
/// Bytes that the program may put before a packet.
const HEADROOM: usize = 256;

/// The ways in which a flow gives up its place.
const EVICTIONS: [Event; 5] = [
    Event::EvictedExpired,
    Event::EvictedHalfOpen,
    Event::EvictedClosing,
    Event::EvictedIdleDatagram,
    Event::EvictedActive,
];

/// The loaded program and what is in its maps.
pub struct World {
    kernel: Kernel,
    planner: Planner,
    /// The interface that packets come in by; `None`: loopback.
    interface: Option<u32>,
    /// Numbers of the backends.
    backends: Vec<u32>,
    residents: Vec<Resident>,
    /// How many flows the program had evicted when all residents were last known to be in the table.
    settled: Option<u64>,
}

/// A flow that is in the flow table all the time.
struct Resident {
    key: Key,
    target: Target,
    state: FlowState,
    class: u8,
}

/// Bytes that so many residents take.
#[must_use]
pub fn bytes(residents: u32) -> u64 {
    u64::from(residents) * size_of::<Resident>() as u64
}

/// What became of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// XDP action (`enum xdp_action` of linux/bpf.h).
    pub action: u32,
    /// The packet as the program left it.
    pub packet: Vec<u8>,
}

/// What the program has counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// Packets forwarded to backends.
    pub forwarded: u64,
    /// Replies sent back to clients.
    pub returned: u64,
    /// Flows entered into the flow table.
    pub created: u64,
    /// Flows that gave up their place.
    pub evicted: u64,
    /// Packets by the reason for which they were not forwarded; none is zero.
    pub reasons: BTreeMap<Reason, u64>,
}

impl World {
    /// Loads the program with maps of these sizes and puts `services` in force, each at these frontends and with this
    /// many backends of its own, to which packets get by this method.
    ///
    /// # Errors
    /// What the daemon would say.
    pub fn new(
        sizes: &MapSizes,
        services: &[Vec<Frontend>],
        backends_each: u32,
        forward: Forward,
    ) -> Result<Self> {
        Self::with_slots(sizes, services, backends_each, forward, DEFAULT_TABLE_SIZE)
    }

    /// The same with another number of slots, a prime, in each service's schedule.
    ///
    /// # Errors
    /// What the daemon would say.
    pub fn with_slots(
        sizes: &MapSizes,
        services: &[Vec<Frontend>],
        backends_each: u32,
        forward: Forward,
        slots: u32,
    ) -> Result<Self> {
        Self::of(Kernel::open(sizes, None, None)?, sizes).configured(services, backends_each, forward, slots)
    }

    /// A world like this one with another form of the program, with maps of these sizes of its own.
    ///
    /// # Errors
    /// What the daemon would say.
    pub fn variant(
        &self,
        object: &[u8],
        sizes: &MapSizes,
        services: &[Vec<Frontend>],
        backends_each: u32,
    ) -> Result<Self> {
        Self::of(self.kernel.variant(object, sizes)?, sizes).configured(
            services,
            backends_each,
            Forward::Dr,
            DEFAULT_TABLE_SIZE,
        )
    }

    /// What is in force in this datapath already, with packets that come in by the interface of this index.
    #[must_use]
    pub fn living(kernel: Kernel, sizes: &MapSizes, interface: u32) -> Self {
        let inventory = kernel.tables.inventory();
        Self {
            interface: Some(interface),
            backends: inventory.backends.keys().copied().collect(),
            ..Self::with(kernel, sizes, &inventory)
        }
    }

    fn of(kernel: Kernel, sizes: &MapSizes) -> Self {
        Self::with(kernel, sizes, &Inventory::default())
    }

    fn with(kernel: Kernel, sizes: &MapSizes, inventory: &Inventory) -> Self {
        let planner = Planner::new(1, kernel.clock().hz(), sizes.services, sizes.backends, inventory);
        Self {
            kernel,
            planner,
            interface: None,
            backends: Vec::new(),
            residents: Vec::new(),
            settled: None,
        }
    }

    fn configured(
        mut self,
        services: &[Vec<Frontend>],
        backends_each: u32,
        forward: Forward,
        slots: u32,
    ) -> Result<Self> {
        self.configure(services, backends_each, forward, slots)?;
        Ok(self)
    }

    /// Puts other services in force, or the same with other backends.
    ///
    /// # Errors
    /// What the daemon would say.
    pub fn configure(
        &mut self,
        services: &[Vec<Frontend>],
        backends_each: u32,
        forward: Forward,
        slots: u32,
    ) -> Result<()> {
        let mut desired = desired(services, backends_each, forward)?;
        for service in &mut desired.services {
            service.scheduling = Scheduling::new(Scheduler::Maglev, slots);
        }
        for step in self.planner.plan(&desired)? {
            self.kernel.tables.apply(&step)?;
        }
        self.backends = (0..backends_each * services.len() as u32).collect();
        Ok(())
    }

    /// The datapath.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// The interface that packets come in by, if it is not loopback.
    #[must_use]
    pub fn interface(&self) -> Option<u32> {
        self.interface
    }

    /// The program.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn program(&mut self) -> Result<ProgramFd> {
        Ok(self.kernel.program()?.fd()?.try_clone()?)
    }

    /// Lets the first `flows` flows of the template live in the flow table; [`Self::settle`] enters them.
    ///
    /// # Errors
    /// When the packets are no flow's.
    pub fn inhabit(&mut self, template: &Template, flows: u32, state: FlowState) -> Result<()> {
        for flow in 0..flows {
            self.residents.push(Resident {
                key: Key::of(template, flow, &self.kernel.settings().flow_seed)?,
                target: Target::Backend(self.backends[flow as usize % self.backends.len()]),
                state,
                // The only one: all services have the default timeouts.
                class: 0,
            });
        }
        self.settled = None;
        Ok(())
    }

    /// Lets the program itself make the template's first flow.
    ///
    /// # Errors
    /// When it does not forward the packet.
    pub fn open(&mut self, template: &Template) -> Result<()> {
        let before = self.counted()?;
        self.send(template, 0)?;
        let counted = self.counted()?.since(&before);
        ensure!(counted.forwarded == 1, "no flow was made: {counted:?}");
        Ok(())
    }

    /// Lets this flow, which the program has made, live in the flow table as one whose client and server have shaken hands;
    /// whether it is there.
    ///
    /// # Errors
    /// When its packets are no flow's.
    pub fn settle_in(&mut self, template: &Template, flow: u32) -> Result<bool> {
        let tables = &self.kernel.tables;
        let key = Key::of(template, flow, &self.kernel.settings().flow_seed)?;
        let control = match &key {
            Key::V4(key, hash) => establish(&tables.flows_v4, &tables.translations_v4, key, *hash),
            Key::V6(key, hash) => establish(&tables.flows_v6, &tables.translations_v6, key, *hash),
        };
        let Some(control) = control else {
            return Ok(false);
        };
        self.residents.push(Resident {
            key,
            target: control.target(),
            state: control.state(),
            class: control.class(),
        });
        Ok(true)
    }

    /// Enters the residents that are not in the flow table: at first all, later those whose place another flow took, once
    /// more than a share of `tolerated` may be missing.
    ///
    /// A flow whose places are all taken evicts another, which is entered the next time round, and has other places to go
    /// to. So a few times round are enough, if the table is not too full.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn settle(&mut self, tolerated: f64) -> Result<()> {
        const TIMES: u64 = 50;
        let evicted = self.evicted()?;
        let tolerated = (tolerated * self.residents.len() as f64) as u64;
        if self.settled.is_some_and(|then| evicted - then <= tolerated) {
            return Ok(());
        }
        let now = self.kernel.jiffies()?;
        for time in 0..TIMES {
            // Those that were just entered must not be the first to be evicted. A stamp from the future does no harm.
            if !self.enter_missing(now + time) {
                self.settled = Some(evicted);
                return Ok(());
            }
        }
        bail!("{} flows do not fit into the flow table", self.residents.len())
    }

    /// Goes once round the residents; whether any was evicted.
    fn enter_missing(&self, now: u64) -> bool {
        let clock = Clock {
            now,
            timeouts: &self.kernel.tables.timeouts[0],
        };
        let tables = &self.kernel.tables;
        let mut evicted = false;
        for resident in &self.residents {
            evicted |= match &resident.key {
                Key::V4(key, hash) => enter(&tables.flows_v4, resident, key, *hash, &clock),
                Key::V6(key, hash) => enter(&tables.flows_v6, resident, key, *hash, &clock),
            };
        }
        evicted
    }

    /// Flows that the program evicted so far.
    fn evicted(&self) -> Result<u64> {
        let totals = self.kernel.totals()?;
        Ok(EVICTIONS.iter().map(|&event| totals.event(event)).sum())
    }

    /// How many flows gave up their place so far, by the name of the event.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn evictions(&self) -> Result<Vec<(String, u64)>> {
        let totals = self.kernel.totals()?;
        let count = |event: Event| (event.slug().to_owned(), totals.event(event));
        Ok(EVICTIONS.into_iter().map(count).collect())
    }

    /// The backend of the template's flow with this number, if the flow is in the table.
    ///
    /// # Errors
    /// When its packets are no flow's.
    pub fn backend_of(&self, template: &Template, flow: u32) -> Result<Option<u32>> {
        let tables = &self.kernel.tables;
        let control = match Key::of(template, flow, &self.kernel.settings().flow_seed)? {
            Key::V4(key, hash) => lookup(&**tables.flows_v4, &key, hash).map(|hit| hit.control),
            Key::V6(key, hash) => lookup(&**tables.flows_v6, &key, hash).map(|hit| hit.control),
        };
        Ok(control.and_then(|control| control.backend()))
    }

    /// Runs the program on one packet of the template's flow with this number.
    ///
    /// # Errors
    /// When the kernel does not take the packet.
    pub fn send(&mut self, template: &Template, flow: u32) -> Result<Passage> {
        let input = template.packet(flow);
        let mut packet = vec![0; input.len() + HEADROOM];
        let mut options = TestRunOptions::new();
        let context = front::context(input.len(), self.interface.unwrap_or(LOOPBACK));
        options.data_in = Some(&input);
        options.data_out = Some(&mut packet);
        if self.interface.is_some() {
            options.ctx_in = Some(context.as_flattened());
        }
        let result = self.kernel.program()?.test_run(options)?;
        packet.truncate(result.data_size_out as usize);
        Ok(Passage {
            action: result.return_value,
            packet,
        })
    }

    /// Empties the flow tables, and with them the counts of flows.
    pub fn forget_flows(&self) {
        self.kernel.tables.forget_counts();
        self.kernel.tables.forget_flows();
    }

    /// Removes flows of the template from the flow table, where they still are.
    ///
    /// # Errors
    /// When the packets are no flow's.
    pub fn remove(&self, template: &Template, flows: impl IntoIterator<Item = u32>) -> Result<()> {
        let seed = &self.kernel.settings().flow_seed;
        let tables = &self.kernel.tables;
        for flow in flows {
            match Key::of(template, flow, seed)? {
                Key::V4(key, hash) => {
                    remove(
                        &tables.flows_v4,
                        &tables.translations_v4,
                        &tables.loads,
                        &key,
                        hash,
                    );
                }
                Key::V6(key, hash) => {
                    remove(
                        &tables.flows_v6,
                        &tables.translations_v6,
                        &tables.loads,
                        &key,
                        hash,
                    );
                }
            }
        }
        Ok(())
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn counted(&self) -> Result<Counted> {
        let totals = self.kernel.totals()?;
        let (mut forwarded, mut returned) = (0, 0);
        for &backend in &self.backends {
            let totals = self.kernel.backend_totals(backend)?;
            forwarded += totals.packets;
            returned += totals.replies;
        }
        let reasons = Reason::ALL.iter().map(|&reason| (reason, totals.reason(reason)));
        Ok(Counted {
            forwarded,
            returned,
            created: totals.event(Event::FlowCreated),
            evicted: self.evicted()?,
            reasons: reasons.filter(|(_, packets)| *packets > 0).collect(),
        })
    }
}

impl Counted {
    /// What was counted since.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let reasons = self.reasons.iter().map(|(reason, packets)| {
            let before = earlier.reasons.get(reason).copied().unwrap_or(0);
            (*reason, packets - before)
        });
        Self {
            forwarded: self.forwarded - earlier.forwarded,
            returned: self.returned - earlier.returned,
            created: self.created - earlier.created,
            evicted: self.evicted - earlier.evicted,
            reasons: reasons.filter(|(_, packets)| *packets > 0).collect(),
        }
    }
}

/// The frontends that packets of the template's first flows go to, one a service.
///
/// # Errors
/// When the packets are no flow's.
pub fn frontends(template: &Template, services: u16) -> Result<Vec<Frontend>> {
    let frontend = |key: FlowKey| Frontend {
        vip: key.destination,
        port: key.destination_port,
        protocol: if key.protocol == protocol::UDP {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
    };
    (0..services.into())
        .map(|flow| template.key(flow).map(frontend))
        .collect()
}

/// What is to be in force: services at these frontends, with backends on the loopback device.
///
/// # Errors
/// When there are more backends than addresses.
pub fn desired(services: &[Vec<Frontend>], backends_each: u32, forward: Forward) -> Result<Desired> {
    let mut desired = Desired::default();
    for (number, frontends) in (0..).zip(services) {
        let first: u32 = number * backends_each;
        let mut backends = Vec::new();
        for backend in first..first + backends_each {
            let [a, b, c, d] = (backend + 1).to_be_bytes();
            ensure!(a == 0, "more backends than 10.0.0.0/8 has addresses");
            let address = IpAddr::from([10, b, c, d]);
            let hop = NextHop {
                ifindex: LOOPBACK,
                ifname: format!("if{LOOPBACK}"),
                source_mac: Mac(DIRECTOR_MAC),
                dest_mac: Mac([0x02, 0, 0xBB, b, c, d]),
                via: address,
                source: Some(DIRECTOR.into()),
                mtu: 1500,
            };
            desired.egress.insert(address, Egress::Resolved(hop));
            backends.push(DesiredBackend::new(address, DEFAULT_WEIGHT));
        }
        desired.services.push(DesiredService {
            name: format!("service-{number}"),
            frontends: frontends.clone(),
            areas: Vec::new(),
            scheduling: Scheduling::new(Scheduler::Maglev, DEFAULT_TABLE_SIZE),
            timeouts: Timeouts::default(),
            forward,
            pool: None,
            connections: Connections::default(),
            backends,
        });
    }
    Ok(desired)
}

/// Key of a flow and its hash.
enum Key {
    V4(FlowKey4, u64),
    V6(FlowKey6, u64),
}

impl Key {
    fn of(template: &Template, flow: u32, seed: &Seed) -> Result<Self> {
        let key = template.key(flow)?;
        match (key.to_v4(), key.to_v6()) {
            (Some(key), _) => Ok(Self::V4(key, key.hash(seed))),
            (_, Some(key)) => Ok(Self::V6(key, key.hash(seed))),
            (None, None) => bail!("flow {flow} goes from one address family to the other"),
        }
    }
}

/// Enters a flow that is not in the table; whether another had to go for it.
fn enter<E: Entry>(
    table: &[Bucket<E>],
    resident: &Resident,
    key: &E::Key,
    hash: u64,
    clock: &Clock<'_>,
) -> bool {
    if lookup(table, key, hash).is_some() {
        return false;
    }
    let flow = NewFlow {
        key: *key,
        hash,
        target: resident.target,
        state: resident.state,
        class: resident.class,
    };
    insert(table, &flow, clock) != Insertion::Inserted
}

fn remove<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    table: &[Bucket<E>],
    translations: &[Bucket<T>],
    loads: &[BackendLoad],
    key: &E::Key,
    hash: u64,
) {
    if let Some(hit) = lookup(table, key, hash) {
        end_flow(hit.entry, hit.control, translations, loads, |_| {
            Some(Ending::Forget)
        });
    }
}

/// Makes a TCP flow an established one; what the entry says then, if it is there.
fn establish<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    table: &[Bucket<E>],
    translations: &[Bucket<T>],
    key: &E::Key,
    hash: u64,
) -> Option<Control> {
    let hit = lookup(table, key, hash)?;
    if hit.control.state() != FlowState::SynRecv {
        return Some(hit.control);
    }
    let control = hit.control.with_state(FlowState::Established);
    let is_changed = hit.entry.change(hit.control, control);
    if let Target::Translation(place) = control.target()
        && let Some(translation) = translation_at(translations, place, key)
    {
        let seen = translation.control;
        translation
            .entry
            .change(seen, seen.with_state(FlowState::Established));
    }
    is_changed.then_some(control)
}
