//! What it costs to be large: `cargo xtask bench scale`.
//!
//! Packets in memory, as in [`fastpath`](super::fastpath): of more and more flows, to more and more services, with more and more
//! backends, and on more and more CPUs at once; and what becomes of connections when there are more than the flow table holds.

pub mod pressure;
pub mod report;

use std::{
    collections::BTreeMap,
    sync::{Barrier, PoisonError, RwLock},
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use lb_common::{abi::SLOTS_PER_LINE, flow_state::FlowState};
use lb_userspace::{
    core::model::{Forward, Limits},
    datapath::MapSizes,
};
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};

use self::{
    pressure::Pressure,
    report::{Report, Row, Settings},
};
use super::{
    front::{Floor, Front, Target, Wrapping},
    machine::{self, Machine},
    measure::{Case, Effort, Expected, Scene, Subject, measure},
    memory::Memory,
    stats::Summary,
    template::{Order, Payload, Template},
    world::{World, frontends},
};

const VIP: [u8; 4] = [192, 0, 2, 10];
const PORT: u16 = 80;
const KNOWN: [u8; 2] = [198, 18];
const NEW: [u8; 2] = [198, 19];

const SWAP: &str = "MAC swap + TX";
const ESTABLISHED: &str = "established";
const NEW_FLOW: &str = "new flow";

/// Powers of two, since some bits of a flow's number choose its service.
const SERVICES: [u16; 5] = [1, 16, 128, 1024, 8192];
const BACKENDS: [u32; 5] = [1, 10, 100, 1000, 10_000];
/// Backends of each service where there are many services.
const EACH: u32 = 2;
/// Slots of a service's schedule: many services share the memory, and many backends want some each.
const FEW_SLOTS: u32 = 1021;
const MANY_SLOTS: u32 = 1_000_003;
/// Flows in the table where it is not their number that grows.
const RESIDENTS: u32 = 1 << 18;
/// Flows that packets are drawn from there: what is in the caches should be the tables that grow.
const DRAWN: u32 = 10_000;
/// CPU time of a turn, in nanoseconds.
const TURN: f64 = 40e6;
/// Packets that each CPU forwards where several do.
const PACKETS: u32 = 2_000_000;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most flows; their table has twice as many places.
    pub flows: u32,
    /// Times that each case has its turn.
    pub rounds: usize,
    /// Places of the flow table that is overfilled.
    pub places: u32,
}

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// When the program does not load, or does something else than what is measured.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report> {
    ensure!(options.rounds > 0, "without a round there is no result");
    ensure!(
        options.flows >= DRAWN,
        "the number of flows must be {DRAWN} or more, not {}",
        options.flows
    );
    let usable = usable_cpus()?;
    let machine = Machine::describe(machine::pin(None)?)?;
    tell("more and more flows");
    let (mut rows, memory) = by_flows(options)?;
    for services in SERVICES {
        tell(&format!("{services} services"));
        rows.extend(by_services(services, options)?);
    }
    for backends in BACKENDS {
        tell(&format!("{backends} backends"));
        rows.extend(by_backends(backends, options)?);
    }
    tell("more and more CPUs");
    rows.extend(by_cpus(&usable, options)?);
    let mut pressures = Vec::new();
    for share in pressure::SHARES {
        tell(&format!("a flow table with {:.0} % of its places", share * 100.0));
        pressures.push(Pressure::measure(options.places, share)?);
    }
    Ok(Report {
        machine,
        settings: Settings {
            flows: options.flows,
            rounds: options.rounds,
            places: options.places,
        },
        rows: report::compared(rows),
        memory,
        pressures,
    })
}

fn known() -> Result<Template> {
    Template::v4(KNOWN, VIP, Payload::TcpAck(PORT))
}

fn sizes(flows: u32, limits: Limits) -> MapSizes {
    MapSizes::new(&Limits {
        flows_v4: flows * 2,
        flows_v6: 4,
        ..limits
    })
}

fn case(name: &str, subject: Subject, template: &Template, flows: u32, expected: Expected) -> Case {
    Case {
        name: name.to_owned(),
        subject,
        wrapping: Wrapping::Bare,
        template: template.clone(),
        flows,
        expected,
        floor: None,
        target: None,
        small: None,
    }
}

fn floor() -> Result<Case> {
    let floor = Subject::Floor(Floor::Swap);
    Ok(case(SWAP, floor, &known()?, 1, Expected::Forwarded))
}

fn director(name: &str, template: &Template, flows: u32, expected: Expected) -> Case {
    case(name, Subject::Director(Scene::Small), template, flows, expected)
}

fn effort(rounds: usize, flows: u32) -> Effort {
    Effort {
        rounds,
        turn: TURN,
        new_flows: flows / 16,
    }
}

/// One table, as large as the most flows need; packets of more and more of them.
fn by_flows(options: &Options) -> Result<(Vec<Row>, Memory)> {
    let template = known()?;
    let mut world = World::new(
        &sizes(options.flows, Limits::default()),
        &[frontends(&template, 1)?],
        3,
        Forward::Dr,
    )?;
    world.inhabit(&template, options.flows, FlowState::Established)?;
    let memory = Memory::of(world.kernel())?;
    let mut counts = vec![1, 1000];
    counts.extend(
        (4..)
            .map(|digits| 10_u32.pow(digits))
            .take_while(|&count| count < options.flows),
    );
    counts.push(options.flows);
    let mut cases = vec![floor()?];
    for &count in &counts {
        cases.push(director(
            &count.to_string(),
            &template,
            count,
            Expected::Forwarded,
        ));
    }
    let mut worlds = BTreeMap::from([(Scene::Small, world)]);
    let outcomes = measure(cases, &mut worlds, &effort(options.rounds, options.flows), |_| ())?;
    let (floor, others) = outcomes.split_first().context("there is a floor")?;
    let rows = counts
        .iter()
        .zip(others)
        .filter_map(|(&count, outcome)| Row::new("flows", count.into(), floor, outcome, None));
    Ok((rows.collect(), memory))
}

/// Packets of known flows, and of new ones, to all services in turn.
fn by_services(services: u16, options: &Options) -> Result<Option<Row>> {
    let known = known()?.with_services(services);
    let new = Template::v4(NEW, VIP, Payload::TcpSyn(PORT))?.with_services(services);
    let frontends: Vec<_> = frontends(&known, services)?
        .into_iter()
        .map(|frontend| vec![frontend])
        .collect();
    let limits = Limits {
        slots: FEW_SLOTS.next_multiple_of(SLOTS_PER_LINE) * u32::from(services),
        backends: EACH * u32::from(services),
        ..Limits::default()
    };
    let world = World::with_slots(
        &sizes(RESIDENTS, limits),
        &frontends,
        EACH,
        Forward::Dr,
        FEW_SLOTS,
    )?;
    row_of("services", services.into(), world, &known, &new, options)
}

/// The same with one service, and more and more backends.
fn by_backends(backends: u32, options: &Options) -> Result<Option<Row>> {
    let known = known()?;
    let new = Template::v4(NEW, VIP, Payload::TcpSyn(PORT))?;
    let limits = Limits {
        slots: MANY_SLOTS.next_multiple_of(SLOTS_PER_LINE),
        backends,
        ..Limits::default()
    };
    let services = [frontends(&known, 1)?];
    let world = World::with_slots(
        &sizes(RESIDENTS, limits),
        &services,
        backends,
        Forward::Dr,
        MANY_SLOTS,
    )?;
    row_of("backends", backends.into(), world, &known, &new, options)
}

fn row_of(
    of: &'static str,
    number: u64,
    mut world: World,
    known: &Template,
    new: &Template,
    options: &Options,
) -> Result<Option<Row>> {
    world.inhabit(known, RESIDENTS, FlowState::Established)?;
    let cases = vec![
        floor()?,
        director(ESTABLISHED, known, DRAWN, Expected::Forwarded),
        director(NEW_FLOW, new, 1, Expected::Scheduled),
    ];
    let mut worlds = BTreeMap::from([(Scene::Small, world)]);
    let outcomes = measure(cases, &mut worlds, &effort(options.rounds, RESIDENTS), |_| ())?;
    let [floor, established, new] = &outcomes[..] else {
        return Ok(None);
    };
    Ok(Row::new(of, number, floor, established, Some(new)))
}

fn usable_cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count())
        .filter(|&cpu| allowed.is_set(cpu) == Ok(true))
        .collect())
}

/// All CPUs forward packets of the same flows at once: what they share, they have to pass on to each other.
fn by_cpus(usable: &[usize], options: &Options) -> Result<Vec<Row>> {
    let template = known()?;
    let mut world = World::new(
        &sizes(RESIDENTS, Limits::default()),
        &[frontends(&template, 1)?],
        3,
        Forward::Dr,
    )?;
    world.inhabit(&template, RESIDENTS, FlowState::Established)?;
    world.settle(0.0)?;
    let program = world.program()?;
    let mut counts: Vec<usize> = (0..)
        .map(|bits| 1 << bits)
        .take_while(|&n| n < usable.len())
        .collect();
    counts.push(usable.len());
    let mut rows = Vec::new();
    for count in counts {
        let samples = RwLock::new(Vec::new());
        for _ in 0..options.rounds {
            let barrier = Barrier::new(count);
            let forward = |cpu: usize| -> Result<()> {
                machine::pin(Some(cpu))?;
                let target = Target::Program(&program);
                let front = Front::new(&template, DRAWN, Order::Random, &target, Wrapping::Bare);
                // Nobody waits for one that failed.
                barrier.wait();
                let nanoseconds = front?.run(PACKETS)?.nanoseconds / f64::from(PACKETS);
                let mut samples = samples.write().unwrap_or_else(PoisonError::into_inner);
                samples.push(nanoseconds);
                Ok(())
            };
            thread::scope(|scope| {
                let threads: Vec<_> = usable[..count]
                    .iter()
                    .map(|&cpu| scope.spawn(move || forward(cpu)))
                    .collect();
                threads.into_iter().try_for_each(|thread| {
                    thread
                        .join()
                        .map_err(|_| anyhow!("a thread that forwards panicked"))?
                })
            })?;
        }
        let samples = samples.into_inner().unwrap_or_else(PoisonError::into_inner);
        let summary = Summary::of(&samples).context("there are samples")?;
        rows.push(Row::in_all("CPUs", count as u64, summary, samples));
    }
    Ok(rows)
}
