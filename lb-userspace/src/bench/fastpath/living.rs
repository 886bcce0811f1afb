//! What packets cost in the program of a living director, with its configuration and its flows.
//!
//! A test run on the attached program would enter flows and count packets. So the program is loaded once more, with maps of its own
//! into which everything is copied ([`Kernel::replica`]), and that copy is measured, with packets to the director's own VIPs. The
//! director's maps are read once, and nothing else of it is touched.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::loaded_programs;
use lb_common::{flow_table::WAYS, reason::Reason};
use nix::net::if_::if_nametoindex;

use super::{
    TURN,
    cases::{EMPTY, IPIP, SWAP, SWAP6, floor, in_words},
    measure::{Case, Effort, Expected, Scene, Subject, measure},
    memory::Memory,
    report::{Living, Report, Settings},
    scenes::{KNOWN, KNOWN6, NEW, NEW6, NO_VIP},
    selected,
    world::{self, World},
};
use crate::{
    bench::{
        front::{Floor, Front, Target, Wrapping},
        machine::{self, Machine},
        template::{Family, Order, Payload, Template},
    },
    core::model::{Frontend, Protocol},
    datapath::{DatapathError, Kernel, MapSizes, Pins},
};

/// Flows that are made at once, before they are looked for: none is to take another's place while it is half open.
const AT_ONCE: u32 = 1000;
/// Packets that show what the program puts in front of them.
const SHOWN: u32 = 16;
/// Flows that are measured unless others are asked for.
const FLOWS: u32 = 1_000_000;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the director's maps are pinned.
    pub pins: Pins,
    /// The interface that packets are said to come in by; else the first that the director has.
    pub interface: Option<String>,
    /// Where they go: frontends that the director has.
    pub frontends: Vec<Frontend>,
    /// Flows of each frontend; else a million, or a quarter of the table's places.
    pub flows: Option<u32>,
    /// Times that each case has its turn.
    pub rounds: usize,
    /// Only cases whose name contains this, and what they are compared with.
    pub filter: Option<String>,
    /// CPU to measure on.
    pub cpu: Option<usize>,
}

/// Packets to one frontend.
struct Path {
    frontend: Frontend,
    /// Of flows that are known, the first packets of these, and those of new ones.
    known: Template,
    opening: Template,
    new: Template,
    wrapping: Wrapping,
    /// Flows that are in the table; 0 where the service makes none.
    flows: u32,
}

/// Measures; `tell` hears what is being done.
///
/// # Errors
/// When there is no director, or none of its frontends can be measured.
pub fn run(options: &Options, mut tell: impl FnMut(&str)) -> Result<Report> {
    ensure!(options.rounds > 0, "without a round there is no result");
    let interface = interface(options)?;
    let index = if_nametoindex(interface.as_str()).with_context(|| {
        format!("there is no interface {interface} in this network namespace (see `ip link`)")
    })?;
    let machine = Machine::describe(machine::pin(options.cpu)?)?;
    tell("copying the director");
    let (mut kernel, sizes) =
        Kernel::replica(&options.pins, |sizes| admit(sizes, options)).map_err(explained)?;
    let same_program = same_program(&mut kernel, &options.pins, &interface);
    let living = kernel.tables.count_flows();
    let memory = Memory::of(&mut kernel)?;
    let mut world = World::living(kernel, &sizes, index);
    let (mut paths, mut left_out) = (Vec::new(), Vec::new());
    for &frontend in &options.frontends {
        tell(&format!("making flows to {frontend}"));
        match Path::of(frontend, &mut world, flows(options, &sizes, frontend)?) {
            Ok(path) => paths.push(path),
            Err(error) => left_out.push(format!("{frontend}: {error:#}")),
        }
    }
    ensure!(
        !paths.is_empty(),
        "no packet of a benchmark goes through this director: {}",
        left_out.join("; ")
    );
    world.settle(0.0)?;
    let mut worlds = BTreeMap::from([(Scene::Living, world)]);
    let most = paths.iter().map(|path| path.flows).max().unwrap_or_default();
    let mut effort = Effort {
        rounds: 0,
        turn: TURN,
        new_flows: (most / 16).max(AT_ONCE),
    };
    tell("trying all cases");
    let mut cases = Vec::new();
    for case in selected(cases_of(&paths), options.filter.as_deref()) {
        // What a service limits, or asks of clients, may not let a case be what it is called.
        match measure(vec![case.clone()], &mut worlds, &effort, |_| ()) {
            Ok(_) => cases.push(case),
            Err(error) => left_out.push(format!("{error:#}")),
        }
    }
    ensure!(!cases.is_empty(), "no case is left: {}", left_out.join("; "));
    effort.rounds = options.rounds;
    let outcomes = measure(cases, &mut worlds, &effort, |round| {
        tell(&format!("round {} of {}", round + 1, options.rounds));
    })?;
    let settings = Settings {
        flows: most,
        services: u16::try_from(paths.len()).unwrap_or(u16::MAX),
        rounds: options.rounds,
        turn_milliseconds: TURN / 1e6,
        living: Some(Living {
            directory: options.pins.directory().display().to_string(),
            interface,
            flows: living,
            places: [sizes.flows_v4, sizes.flows_v6].map(places),
            same_program,
            left_out,
        }),
    };
    Ok(Report::new(machine, settings, &outcomes, Some(memory)))
}

fn interface(options: &Options) -> Result<String> {
    if let Some(interface) = &options.interface {
        return Ok(interface.clone());
    }
    let linked = options.pins.linked_interfaces()?;
    linked.into_iter().next().with_context(|| {
        format!(
            "no director has the program on an interface by way of {}: is tandemd running on this machine, or with another \
             --bpffs?",
            options.pins.directory().display()
        )
    })
}

fn places(buckets: u32) -> u64 {
    u64::from(buckets) * WAYS as u64
}

/// How many flows of this frontend there are to be.
fn flows(options: &Options, sizes: &MapSizes, frontend: Frontend) -> Result<u32> {
    let places = places(match frontend.vip {
        IpAddr::V4(_) => sizes.flows_v4,
        IpAddr::V6(_) => sizes.flows_v6,
    });
    // All frontends of a family share its table.
    let most = places / 2 / options.frontends.len().max(1) as u64;
    match options.flows {
        None => Ok(FLOWS.min(u32::try_from(most / 2).unwrap_or(FLOWS)).max(1)),
        Some(flows) => {
            ensure!(
                (1..=most).contains(&u64::from(flows)),
                "--flows {flows}: the director's table has {places} places, so that {most} flows of each frontend are the most"
            );
            Ok(flows)
        }
    }
}

fn admit(sizes: &MapSizes, options: &Options) -> Result<()> {
    let flows: u64 = options
        .frontends
        .iter()
        .map(|&frontend| Ok(world::bytes(flows(options, sizes, frontend)?)))
        .sum::<Result<_>>()?;
    machine::ensure_memory(
        sizes.flow_bytes() + flows,
        "a copy is as large as the director's tables are ([limits]); measure on a machine with more memory, or a director with \
         smaller tables",
    )
}

/// Errors whose remedy is another for whoever only looks.
fn explained(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(DatapathError::Version { found, expected, .. }) => anyhow::anyhow!(
            "the director was started by another version of tandemd (layout {found}, this tandem has {expected}): use the tandem \
             that came with it"
        ),
        _ => error,
    }
}

/// Whether the program on the interface is the one that was loaded here, by the kernel's digest of both.
fn same_program(kernel: &mut Kernel, pins: &Pins, interface: &str) -> Option<bool> {
    let own = kernel.program().ok()?.info().ok()?.tag();
    let attached = pins.program_of(interface)?;
    let mut programs = loaded_programs().filter_map(Result::ok);
    Some(programs.find(|program| program.id() == attached)?.tag() == own)
}

impl Path {
    /// Finds out what happens to packets to a frontend, and makes its flows.
    fn of(frontend: Frontend, world: &mut World, flows: u32) -> Result<Self> {
        let port = frontend.port;
        let (opening, known) = match frontend.protocol {
            Protocol::Tcp => (Payload::TcpSyn(port), Payload::TcpAck(port)),
            Protocol::Udp => (Payload::Udp(port), Payload::Udp(port)),
            Protocol::Sctp => bail!("there are no packets of SCTP here"),
        };
        let template = |network: ([u8; 2], u16), payload| match frontend.vip {
            IpAddr::V4(vip) => Template::v4(network.0, vip.octets(), payload),
            IpAddr::V6(vip) => Template::v6(network.1, vip.octets(), payload),
        };
        let mut path = Self {
            frontend,
            known: template((KNOWN, KNOWN6), known)?,
            opening: template((KNOWN, KNOWN6), opening)?,
            new: template((NEW, NEW6), opening)?,
            wrapping: Wrapping::Bare,
            flows,
        };
        path.wrapping = path.look(world)?;
        if !world.settle_in(&path.opening, 0)? {
            path.flows = 0;
            return Ok(path);
        }
        path.make_flows(world)?;
        Ok(path)
    }

    /// What the program puts in front of this frontend's packets.
    fn look(&self, world: &mut World) -> Result<Wrapping> {
        let mut seen = None;
        for flow in (0..SHOWN).rev() {
            let before = world.counted()?;
            let passage = world.send(&self.opening, flow)?;
            let counted = world.counted()?.since(&before);
            ensure!(
                counted.forwarded == 1,
                "the director does not forward such packets ({})",
                reasons(&counted.reasons)
            );
            let more = passage.packet.len() - self.opening.first_packet().len();
            let wrapping = Wrapping::of_length(more)
                .filter(|wrapping| *wrapping == Wrapping::Bare || self.opening.family == Family::V4);
            let wrapping = wrapping.with_context(|| {
                format!("there is no way to take {more} bytes of a tunnel off again here")
            })?;
            ensure!(
                *seen.get_or_insert(wrapping) == wrapping,
                "some of its backends are behind tunnels, and some are not"
            );
        }
        Ok(seen.unwrap_or(Wrapping::Bare))
    }

    /// Has the program make all flows but the first.
    fn make_flows(&self, world: &mut World) -> Result<()> {
        let program = world.program()?;
        let target = Target::Program(&program);
        let front = Front::new(&self.opening, 1, Order::Rising, &target, self.wrapping)?;
        let mut front = front.coming_by(world.interface());
        let mut made = 0;
        while made + 1 < self.flows {
            let more = AT_ONCE.min(self.flows - 1 - made);
            front.run(more)?;
            for flow in made + 1..=made + more {
                // Another may have taken its place; then there are others.
                if !world.settle_in(&self.opening, flow)? {
                    world.send(&self.opening, flow)?;
                    ensure!(
                        world.settle_in(&self.opening, flow)?,
                        "the director makes no more than some {flow} flows: a limit, or a table that is full"
                    );
                }
            }
            made += more;
        }
        Ok(())
    }

    fn cases(&self) -> Vec<Case> {
        let floor = match (self.wrapping, self.known.family) {
            (Wrapping::Ipip | Wrapping::Gue, _) => IPIP,
            (Wrapping::Bare, Family::V4) => SWAP,
            (Wrapping::Bare, Family::V6) => SWAP6,
        };
        let case = |what: &str, template: &Template, flows, expected| Case {
            name: format!("{}, {what}", self.frontend),
            subject: Subject::Director(Scene::Living),
            wrapping: self.wrapping,
            template: template.clone(),
            flows,
            expected,
            floor: Some(floor),
            target: None,
            small: None,
        };
        if self.flows == 0 {
            return vec![case("each by itself", &self.known, FLOWS, Expected::Forwarded)];
        }
        let mut cases = vec![case("1 flow", &self.known, 1, Expected::Forwarded)];
        if self.flows > 1 {
            let name = format!("{} flows", in_words(self.flows));
            cases.push(case(&name, &self.known, self.flows, Expected::Forwarded));
        }
        cases.push(case("new flow", &self.new, 1, Expected::Scheduled));
        cases
    }
}

/// Those of all paths, and the floors that they stand on. Those that make flows come last.
fn cases_of(paths: &[Path]) -> Vec<Case> {
    let mut cases: Vec<Case> = paths.iter().flat_map(Path::cases).collect();
    let most = paths.iter().map(|path| path.flows).max().unwrap_or(1).max(1);
    let strangers = paths.iter().find(|path| path.known.family == Family::V4);
    if let Some(path) = strangers
        && let Ok(template) = Template::v4(KNOWN, NO_VIP, Payload::TcpAck(path.frontend.port))
    {
        cases.push(Case {
            name: "for nobody".to_owned(),
            subject: Subject::Director(Scene::Living),
            wrapping: Wrapping::Bare,
            template,
            flows: most,
            expected: Expected::Refused(Reason::NotVip),
            floor: Some(EMPTY),
            target: None,
            small: None,
        });
    }
    let mut floors = Vec::new();
    for (name, kind, family) in [
        (EMPTY, Floor::Empty, None),
        (SWAP, Floor::Swap, Some(Family::V4)),
        (SWAP6, Floor::Swap, Some(Family::V6)),
        (IPIP, Floor::Ipip, Some(Family::V4)),
    ] {
        let mut paths = paths.iter();
        let like = paths.find(|path| family.is_none_or(|family| family == path.known.family));
        if let Some(path) = like
            && (kind == Floor::Empty || cases.iter().any(|case| case.floor == Some(name)))
        {
            floors.push(floor(name, kind, &path.known, most));
        }
    }
    cases.sort_by_key(|case| case.expected == Expected::Scheduled);
    floors.extend(cases);
    floors
}

fn reasons(counted: &BTreeMap<Reason, u64>) -> String {
    let mut words: Vec<&str> = counted.keys().map(|reason| reason.slug()).collect();
    if words.is_empty() {
        words.push("no reason is counted");
    }
    words.join(", ")
}
