//! Nanoseconds a packet on the way through the XDP program: the cases, and the directors that they play on.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddrV4},
};

use anyhow::{Result, bail, ensure};
use lb_common::{abi::SLOTS_PER_LINE, flow_state::FlowState, packet::FlowKey, reason::Reason};
use lb_userspace::{
    core::model::{DEFAULT_TABLE_SIZE, Encapsulation, Forward, GUE_PORT, Limits},
    datapath::MapSizes,
};

use super::{
    front::{Floor, Wrapping},
    machine::{self, Machine},
    measure::{Case, Effort, Expected, Scene, Subject, measure},
    memory::Memory,
    report::{Report, Settings},
    template::{Payload, Template},
    world::{World, frontends},
};

const VIP: [u8; 4] = [192, 0, 2, 10];
/// The first backend of every director.
const FIRST_BACKEND: [u8; 4] = [10, 0, 0, 1];
const NO_VIP: [u8; 4] = [192, 0, 2, 200];
const VIP6: [u8; 16] = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const HTTP: u16 = 80;
const DNS: u16 = 53;

/// Clients whose flows are in the table, of new flows, and of flows that are half open (RFC 2544's networks for
/// benchmarks, and RFC 6598's).
const KNOWN: [u8; 2] = [198, 18];
const NEW: [u8; 2] = [198, 19];
const OPENING: [u8; 2] = [100, 64];
const KNOWN6: u16 = 0xC;
const NEW6: u16 = 0xD;

/// Backends of the one service of a small director.
const SMALL_BACKENDS: u32 = 3;
/// Backends of each service of a large director.
pub const LARGE_BACKENDS_EACH: u32 = 8;

/// Flows that the caches of a CPU hold, but not its first-level cache.
const SOME_FLOWS: u32 = 10_000;
/// Fewest flows: the new flows of a turn are a small part of them, and their time must stand out from that of a call.
pub const MIN_FLOWS: u32 = 50_000;
/// Most flows that there may be: their table has twice as many places.
pub const MAX_FLOWS: u32 = 1 << 28;

/// Most services: their schedule tables take a gibibyte.
pub const MAX_SERVICES: u16 = 1 << 12;

/// The floors' names.
const EMPTY: &str = "empty program";
const SWAP: &str = "MAC swap + TX";
const SWAP6: &str = "MAC swap + TX, IPv6";
const IPIP: &str = "bare IPIP encapsulation";

/// Names of the cases that a large director is compared by.
const HOT: &str = "established, 1 flow";
const NEW_FLOW: &str = "new flow";

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Flows in each flow table: half as many as it has places.
    pub flows: u32,
    /// Services of the large director; a power of two, at most [`MAX_SERVICES`].
    pub services: u16,
    /// Times that each case has its turn.
    pub rounds: usize,
    /// Only cases whose name contains this, and what they are compared with.
    pub filter: Option<String>,
    /// CPU to measure on.
    pub cpu: Option<usize>,
}

/// CPU time of a turn, in nanoseconds: rather many turns than long ones, so that a disturbance of the machine is an
/// outlier among many samples.
const TURN: f64 = 40e6;

/// Measures. `progress` is called before each round with its number.
///
/// # Errors
/// When the program does not load, the options make no sense, or a case did not do what it claims to measure.
pub fn run(options: &Options, progress: impl FnMut(usize)) -> Result<Report> {
    ensure!(
        (MIN_FLOWS..=MAX_FLOWS).contains(&options.flows),
        "the number of flows must be from {MIN_FLOWS} to {MAX_FLOWS}, not {}",
        options.flows
    );
    ensure!(
        options.services.is_power_of_two() && options.services <= MAX_SERVICES,
        "the number of services must be a power of two from 1 to {MAX_SERVICES}, not {}",
        options.services
    );
    ensure!(options.rounds > 0, "without a round there is no result");
    let machine = Machine::describe(machine::pin(options.cpu)?)?;
    let templates = Templates::new(options.services)?;
    let cases = selected(all_cases(&templates, options), options.filter.as_deref());
    ensure!(
        !cases.is_empty(),
        "no case has `{}` in its name; without --filter all are measured",
        options.filter.as_deref().unwrap_or_default()
    );
    let mut worlds = BTreeMap::new();
    for scene in [Scene::Small, Scene::Large, Scene::Ipip, Scene::Gue, Scene::Nat] {
        if cases.iter().any(|case| case.subject == Subject::Director(scene)) {
            worlds.insert(scene, make_world(scene, &templates, options)?);
        }
    }
    let memory = match worlds.values_mut().next() {
        Some(world) => Some(Memory::of(world.kernel())?),
        None => None,
    };
    let effort = Effort {
        rounds: options.rounds,
        turn: TURN,
        // A sixteenth of the residents: so the table stays half full.
        new_flows: (options.flows / 16).max(1),
    };
    let outcomes = measure(cases, &mut worlds, &effort, progress)?;
    let settings = Settings {
        flows: options.flows,
        services: options.services,
        rounds: options.rounds,
        turn_milliseconds: TURN / 1e6,
    };
    Ok(Report::new(machine, settings, &outcomes, memory))
}

/// The cases whose name contains the text, and those that they are compared with.
fn selected(cases: Vec<Case>, filter: Option<&str>) -> Vec<Case> {
    let Some(text) = filter else { return cases };
    let mut names: Vec<String> = Vec::new();
    for case in cases.iter().filter(|case| case.name.contains(text)) {
        names.push(case.name.clone());
        names.extend([case.floor, case.small].into_iter().flatten().map(str::to_owned));
    }
    cases
        .into_iter()
        .filter(|case| names.contains(&case.name))
        .collect()
}

struct Templates {
    known: Template,
    reply: Template,
    new: Template,
    syn: Template,
    udp: Template,
    stranger: Template,
    echo: Template,
    known6: Template,
    new6: Template,
    echo6: Template,
    large_known: Template,
    large_new: Template,
}

impl Templates {
    fn new(services: u16) -> Result<Self> {
        let known = Template::v4(KNOWN, VIP, Payload::TcpAck(HTTP))?;
        let new = Template::v4(NEW, VIP, Payload::TcpSyn(HTTP))?;
        let FlowKey {
            source,
            source_port,
            destination_port,
            ..
        } = known.key(0)?;
        let IpAddr::V4(client) = source else {
            bail!("{source} is no IPv4 address");
        };
        Ok(Self {
            // The one backend of the director with NAT has the VIP's port.
            reply: Template::reply_v4(
                SocketAddrV4::new(FIRST_BACKEND.into(), destination_port),
                SocketAddrV4::new(client, source_port),
            )?,
            syn: Template::v4(OPENING, VIP, Payload::TcpSyn(HTTP))?,
            udp: Template::v4(KNOWN, VIP, Payload::Udp(DNS))?,
            stranger: Template::v4(KNOWN, NO_VIP, Payload::TcpAck(HTTP))?,
            echo: Template::v4(KNOWN, VIP, Payload::Echo)?,
            known6: Template::v6(KNOWN6, VIP6, Payload::TcpAck(HTTP))?,
            new6: Template::v6(NEW6, VIP6, Payload::TcpSyn(HTTP))?,
            echo6: Template::v6(KNOWN6, VIP6, Payload::Echo)?,
            large_known: known.clone().with_services(services),
            large_new: new.clone().with_services(services),
            known,
            new,
        })
    }
}

/// Maps with twice as many places as flows.
fn sizes(flows_v4: u32, flows_v6: u32, limits: Limits) -> MapSizes {
    MapSizes::new(&Limits {
        flows_v4: flows_v4 * 2,
        flows_v6: flows_v6 * 2,
        ..limits
    })
}

fn make_world(scene: Scene, templates: &Templates, options: &Options) -> Result<World> {
    let mut world = match scene {
        Scene::Small => small_world(templates, options.flows)?,
        Scene::Large => large_world(templates, options)?,
        Scene::Ipip => tunnel_world(Encapsulation::Ipip, templates, options.flows)?,
        Scene::Gue => {
            let gue = Encapsulation::Gue {
                port: GUE_PORT,
                checksum: false,
            };
            tunnel_world(gue, templates, 1)?
        }
        Scene::Nat => nat_world(templates)?,
        Scene::Mute => bail!("what noting costs is a matter of `bench sync`"),
    };
    world.settle(0.0)?;
    Ok(world)
}

fn small_world(templates: &Templates, flows: u32) -> Result<World> {
    let mut service = Vec::new();
    for template in [&templates.known, &templates.udp, &templates.known6] {
        service.extend(frontends(template, 1)?);
    }
    let sizes = sizes(flows, flows, Limits::default());
    let mut world = World::new(&sizes, &[service], SMALL_BACKENDS, Forward::Dr)?;
    world.inhabit(&templates.known, flows, FlowState::Established)?;
    world.inhabit(&templates.known6, flows, FlowState::Established)?;
    world.inhabit(&templates.udp, 1, FlowState::Udp)?;
    world.inhabit(&templates.syn, 1, FlowState::SynRecv)?;
    Ok(world)
}

fn tunnel_world(encapsulation: Encapsulation, templates: &Templates, flows: u32) -> Result<World> {
    let service = frontends(&templates.known, 1)?;
    let sizes = sizes(flows, 1, Limits::default());
    let mut world = World::new(&sizes, &[service], SMALL_BACKENDS, Forward::Tunnel(encapsulation))?;
    world.inhabit(&templates.known, flows, FlowState::Established)?;
    Ok(world)
}

fn nat_world(templates: &Templates) -> Result<World> {
    let service = frontends(&templates.known, 1)?;
    let mut world = World::new(&sizes(1, 1, Limits::default()), &[service], 1, Forward::Nat)?;
    world.open(&templates.known)?;
    Ok(world)
}

fn large_world(templates: &Templates, options: &Options) -> Result<World> {
    let services: Vec<_> = frontends(&templates.large_known, options.services)?
        .into_iter()
        .map(|frontend| vec![frontend])
        .collect();
    let defaults = Limits::default();
    let limits = Limits {
        slots: DEFAULT_TABLE_SIZE.next_multiple_of(SLOTS_PER_LINE) * u32::from(options.services),
        backends: LARGE_BACKENDS_EACH * u32::from(options.services),
        ..defaults
    };
    let sizes = sizes(options.flows, 1, limits);
    let mut world = World::new(&sizes, &services, LARGE_BACKENDS_EACH, Forward::Dr)?;
    world.inhabit(&templates.large_known, options.flows, FlowState::Established)?;
    Ok(world)
}

/// All cases. Those that make flows come last: the residents that they evict are entered again once a round.
fn all_cases(templates: &Templates, options: &Options) -> Vec<Case> {
    let mut cases = floor_cases(templates, options.flows);
    cases.extend(small_cases(templates, options.flows));
    cases.extend(other_ways(templates, options.flows));
    cases.extend(large_cases(templates, options.services));
    cases.sort_by_key(|case| case.expected == Expected::Scheduled);
    cases
}

fn floor_cases(templates: &Templates, flows: u32) -> Vec<Case> {
    let floor = |name: &str, floor, template: &Template| Case {
        name: name.to_owned(),
        subject: Subject::Floor(floor),
        wrapping: match floor {
            Floor::Ipip => Wrapping::Ipip,
            Floor::Empty | Floor::Swap | Floor::KnownCost(_) => Wrapping::Bare,
        },
        template: template.clone(),
        flows,
        expected: Expected::Forwarded,
        floor: None,
        target: None,
        small: None,
    };
    vec![
        floor(EMPTY, Floor::Empty, &templates.known),
        floor(SWAP, Floor::Swap, &templates.known),
        floor(SWAP6, Floor::Swap, &templates.known6),
        floor(IPIP, Floor::Ipip, &templates.known),
    ]
}

fn small_cases(templates: &Templates, flows: u32) -> Vec<Case> {
    use Expected::{Forwarded, Refused, Scheduled};
    let case = |name: &str, template: &Template, flows, expected, floor, target| Case {
        name: name.to_owned(),
        subject: Subject::Director(Scene::Small),
        wrapping: Wrapping::Bare,
        template: template.clone(),
        flows,
        expected,
        floor: Some(floor),
        target,
        small: None,
    };
    let Templates {
        known,
        new,
        syn,
        udp,
        stranger,
        echo,
        known6,
        new6,
        echo6,
        ..
    } = templates;
    let some = SOME_FLOWS.min(flows);
    let established = |family: &str, flows| format!("{family}established, {} flows", in_words(flows));
    let (some4, all4, all6) = (
        established("", some),
        established("", flows),
        established("IPv6, ", flows),
    );
    let answered = Refused(Reason::EchoAnswered);
    let not_vip = Refused(Reason::NotVip);
    vec![
        case(HOT, known, 1, Forwarded, SWAP, Some(25.0)),
        case(&some4, known, some, Forwarded, SWAP, None),
        case(&all4, known, flows, Forwarded, SWAP, Some(120.0)),
        case(NEW_FLOW, new, 1, Scheduled, SWAP, Some(150.0)),
        case("SYN again", syn, 1, Forwarded, SWAP, None),
        case("UDP, 1 flow", udp, 1, Forwarded, SWAP, None),
        case("ping", echo, 1, answered, SWAP, None),
        case("for nobody", stranger, flows, not_vip, EMPTY, Some(12.0)),
        case(
            "IPv6, established, 1 flow",
            known6,
            1,
            Forwarded,
            SWAP6,
            Some(35.0),
        ),
        case(&all6, known6, flows, Forwarded, SWAP6, Some(160.0)),
        case("IPv6, new flow", new6, 1, Scheduled, SWAP6, None),
        case("IPv6, ping", echo6, 1, answered, SWAP6, None),
    ]
}

/// Tunnels and translation.
fn other_ways(templates: &Templates, flows: u32) -> Vec<Case> {
    let case = |name: &str, (scene, wrapping), template: &Template, flows, floor, target| Case {
        name: name.to_owned(),
        subject: Subject::Director(scene),
        wrapping,
        template: template.clone(),
        flows,
        expected: Expected::Forwarded,
        floor: Some(floor),
        target: Some(target),
        small: None,
    };
    let all = format!("IPIP, {} flows", in_words(flows));
    let (ipip, gue, nat) = (
        (Scene::Ipip, Wrapping::Ipip),
        (Scene::Gue, Wrapping::Gue),
        (Scene::Nat, Wrapping::Bare),
    );
    vec![
        case("IPIP, 1 flow", ipip, &templates.known, 1, IPIP, 35.0),
        case(&all, ipip, &templates.known, flows, IPIP, 140.0),
        case("GUE, 1 flow", gue, &templates.known, 1, IPIP, 45.0),
        case("NAT, 1 flow", nat, &templates.known, 1, SWAP, 60.0),
        Case {
            expected: Expected::Returned,
            ..case("NAT, reply", nat, &templates.reply, 1, SWAP, 60.0)
        },
    ]
}

fn large_cases(templates: &Templates, services: u16) -> Vec<Case> {
    let case = |small, template: &Template, expected| Case {
        name: format!("{services} services, {small}"),
        subject: Subject::Director(Scene::Large),
        wrapping: Wrapping::Bare,
        template: template.clone(),
        flows: 1,
        expected,
        floor: Some(SWAP),
        target: None,
        small: Some(small),
    };
    vec![
        case(HOT, &templates.large_known, Expected::Forwarded),
        case(NEW_FLOW, &templates.large_new, Expected::Scheduled),
    ]
}

/// A number of flows, as short as may be.
fn in_words(flows: u32) -> String {
    const MILLION: u32 = 1_000_000;
    match flows {
        MILLION.. if flows.is_multiple_of(MILLION) => format!("{} M", flows / MILLION),
        MILLION.. => format!("{:.1} M", f64::from(flows) / 1e6),
        1000.. if flows.is_multiple_of(1000) => format!("{} k", flows / 1000),
        _ => flows.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn cases() -> Vec<Case> {
        let options = Options {
            flows: 1_000_000,
            services: 512,
            rounds: 1,
            filter: None,
            cpu: None,
        };
        all_cases(&Templates::new(options.services).unwrap(), &options)
    }

    #[test]
    fn every_case_has_a_name_of_its_own_and_a_floor() {
        let cases = cases();
        let names: BTreeSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len());
        for case in &cases {
            let others = [case.floor, case.small].into_iter().flatten();
            for other in others {
                assert!(names.contains(other), "{}: {other}", case.name);
            }
            assert_eq!(
                case.floor.is_none(),
                matches!(case.subject, Subject::Floor(_)),
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn a_filter_keeps_what_a_case_is_compared_with() {
        let of = |filter| {
            let cases = selected(cases(), filter).into_iter();
            cases.map(|case| case.name).collect::<Vec<_>>()
        };
        assert_eq!(of(Some("nobody")), [EMPTY, "for nobody"]);
        assert_eq!(
            of(Some("services, new")),
            [SWAP, NEW_FLOW, "512 services, new flow"]
        );
        assert_eq!(of(Some("no such case")), [""; 0]);
        assert_eq!(of(None).len(), 23);
    }

    #[test]
    fn numbers_of_flows_are_short() {
        let cases = [
            (1, "1"),
            (1500, "1500"),
            (10_000, "10 k"),
            (1_000_000, "1 M"),
            (1 << 21, "2.1 M"),
        ];
        for (flows, words) in cases {
            assert_eq!(in_words(flows), words);
        }
    }
}
