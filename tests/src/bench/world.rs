//! The daemon's program with services, backends and flows, to be measured.

use std::net::IpAddr;

use anyhow::{Result, bail, ensure};
use aya::programs::ProgramFd;
use lb_common::{
    abi::{Event, Link},
    flow_table::{Bucket, Clock, Entry, NewFlow, insert, lookup},
    hash::Seed,
    packet::{FlowKey, FlowKey4, FlowKey6, protocol},
    reason::Reason,
    tcp_state::FlowState,
};
use lb_userspace::{
    core::{
        model::{DEFAULT_TABLE_SIZE, DEFAULT_WEIGHT, Frontend, Protocol},
        plan::{Desired, DesiredService},
    },
    datapath::MapSizes,
};

use super::template::Template;
use crate::prog_run::{DIRECTOR_MAC, INGRESS, Rig};

/// The loaded program and what is in its maps.
pub struct World {
    rig: Rig,
    backends: u32,
    residents: Vec<Residents>,
}

/// Flows that are in the flow table all the time.
struct Residents {
    template: Template,
    flows: u32,
    state: FlowState,
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

/// What the program has counted so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Packets forwarded to backends.
    pub forwarded: u64,
    /// Flows entered into the flow table.
    pub created: u64,
    /// Flows that gave up their place.
    pub evicted: u64,
    /// Packets by number of the reason for which they were not forwarded.
    pub reasons: Vec<u64>,
}

impl World {
    /// Loads the program with maps of these sizes and puts `services` in force, each at these frontends and with this
    /// many backends of its own.
    ///
    /// # Errors
    /// What the daemon would say.
    pub fn new(sizes: &MapSizes, services: &[Vec<Frontend>], backends_each: u32) -> Result<Self> {
        let mut rig = Rig::new(sizes)?;
        rig.configure(&desired(services, backends_each)?)?;
        Ok(Self {
            rig,
            backends: backends_each * services.len() as u32,
            residents: Vec::new(),
        })
    }

    /// The program.
    ///
    /// # Errors
    /// Never.
    pub fn program(&mut self) -> Result<ProgramFd> {
        Ok(self.rig.kernel.program()?.fd()?.try_clone()?)
    }

    /// Gives the flow table `flows` flows of the template, to stay there; [`Self::settle`] enters them.
    pub fn inhabit(&mut self, template: &Template, flows: u32, state: FlowState) {
        self.residents.push(Residents {
            template: template.clone(),
            flows,
            state,
        });
    }

    /// Enters the flows that should be in the flow table and are not: at first all, later those whose place another took.
    ///
    /// A flow whose places are all taken evicts another, which is missing then and is entered the next time round; it has
    /// other places to go to. So a few times round is enough, if the table is not too full.
    ///
    /// # Errors
    /// When they do not fit.
    pub fn settle(&mut self) -> Result<()> {
        const TIMES: usize = 50;
        for _ in 0..TIMES {
            // A time round takes more than a jiffy, so that those that were just entered are not evicted first.
            let now = self.rig.kernel.jiffies()?;
            let mut missing = 0;
            for residents in &self.residents {
                missing += self.enter(residents, now)?;
            }
            if missing == 0 {
                return Ok(());
            }
        }
        bail!("the flows do not fit into the flow table, though it has twice as many places")
    }

    /// Enters those of the flows that are missing; their number.
    fn enter(&self, residents: &Residents, now: u64) -> Result<u32> {
        let settings = self.rig.kernel.settings();
        let clock = Clock {
            now,
            timeouts: &settings.timeouts,
        };
        let tables = &self.rig.kernel.tables;
        let mut missing = 0;
        for flow in 0..residents.flows {
            let (backend, state) = (flow % self.backends, residents.state);
            let entered = match Key::of(&residents.template, flow, &settings.flow_seed)? {
                Key::V4(key, hash) => enter(&tables.flows_v4, key, hash, backend, state, &clock),
                Key::V6(key, hash) => enter(&tables.flows_v6, key, hash, backend, state, &clock),
            };
            missing += u32::from(entered);
        }
        Ok(missing)
    }

    /// Removes flows of the template from the flow table, where they still are.
    ///
    /// # Errors
    /// When the packets are no flow's.
    pub fn remove(&self, template: &Template, flows: impl IntoIterator<Item = u32>) -> Result<()> {
        let seed = &self.rig.kernel.settings().flow_seed;
        let tables = &self.rig.kernel.tables;
        for flow in flows {
            match Key::of(template, flow, seed)? {
                Key::V4(key, hash) => remove(&tables.flows_v4, &key, hash),
                Key::V6(key, hash) => remove(&tables.flows_v6, &key, hash),
            }
        }
        Ok(())
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// When a map cannot be read.
    pub fn counted(&self) -> Result<Counted> {
        let totals = self.rig.kernel.totals()?;
        let mut forwarded = 0;
        for backend in 0..self.backends {
            forwarded += self.rig.kernel.backend_totals(backend)?.packets;
        }
        let evictions = [
            Event::EvictedExpired,
            Event::EvictedHalfOpen,
            Event::EvictedClosing,
            Event::EvictedIdleDatagram,
            Event::EvictedActive,
        ];
        Ok(Counted {
            forwarded,
            created: totals.event(Event::FlowCreated),
            evicted: evictions.iter().map(|&event| totals.event(event)).sum(),
            reasons: Reason::ALL.iter().map(|&reason| totals.reason(reason)).collect(),
        })
    }
}

impl Counted {
    /// What was counted since.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let reasons = self.reasons.iter().zip(&earlier.reasons);
        Self {
            forwarded: self.forwarded - earlier.forwarded,
            created: self.created - earlier.created,
            evicted: self.evicted - earlier.evicted,
            reasons: reasons.map(|(now, then)| now - then).collect(),
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

fn desired(services: &[Vec<Frontend>], backends_each: u32) -> Result<Desired> {
    let mut desired = Desired::default();
    for (number, frontends) in (0..).zip(services) {
        let first: u32 = number * backends_each;
        let mut backends = Vec::new();
        for backend in first..first + backends_each {
            let [_, b, c, d] = (backend + 1).to_be_bytes();
            ensure!(b < 255, "more backends than 10.0.0.0/8 has addresses");
            let address = IpAddr::from([10, b, c, d]);
            let link = Link {
                destination: [0x02, 0, 0xBB, b, c, d],
                source: DIRECTOR_MAC,
                ifindex: INGRESS,
            };
            desired.links.insert(address, link);
            backends.push((address, DEFAULT_WEIGHT));
        }
        desired.services.push(DesiredService {
            name: format!("service-{number}"),
            frontends: frontends.clone(),
            table_size: DEFAULT_TABLE_SIZE,
            backends,
        });
    }
    Ok(desired)
}

/// Enters a flow that is not in the table; whether it was not.
fn enter<E: Entry>(
    table: &[Bucket<E>],
    key: E::Key,
    hash: u64,
    backend: u32,
    state: FlowState,
    clock: &Clock<'_>,
) -> bool {
    let is_missing = lookup(table, &key, hash).is_none();
    if is_missing {
        let flow = NewFlow {
            key,
            hash,
            backend,
            state,
        };
        insert(table, &flow, clock);
    }
    is_missing
}

fn remove<E: Entry>(table: &[Bucket<E>], key: &E::Key, hash: u64) {
    if let Some(hit) = lookup(table, key, hash) {
        hit.entry.remove(hit.control);
    }
}
