//! Nanoseconds a packet on the way through the XDP program, by case.

use anyhow::Result;
use lb_common::{reason::Reason, tcp_state::FlowState};
use lb_userspace::{core::model::Limits, datapath::MapSizes};

use super::{
    front::Floor,
    measure::{Case, Expected, Subject},
    template::{Payload, Template, check_flows},
    world::{World, frontends},
};

const VIP: [u8; 4] = [192, 0, 2, 10];
const NO_VIP: [u8; 4] = [192, 0, 2, 200];
const VIP6: [u8; 16] = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const HTTP: u16 = 80;
const DNS: u16 = 53;

/// Clients of flows that are in the table (RFC 2544's networks for benchmarks), and of others.
const KNOWN: [u8; 2] = [198, 18];
const NEW: [u8; 2] = [198, 19];
const OPENING: [u8; 2] = [100, 64];
const KNOWN6: u16 = 0xC;
const NEW6: u16 = 0xD;

/// A director with little to do.
const SMALL: usize = 0;
/// A director with much to do.
const LARGE: usize = 1;

const SMALL_BACKENDS: u32 = 3;
/// Services of the large director: a power of two.
pub const LARGE_SERVICES: u16 = 512;
/// Backends of each.
pub const LARGE_BACKENDS_EACH: u32 = 8;

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Flows in each flow table, half of its places.
    pub flows: u64,
    /// Whether to measure a director with many services, too.
    pub scale: bool,
}

/// Names of the floors.
pub mod floors {
    /// An empty program behind the IPv4 front.
    pub const EMPTY: &str = "empty program";
    /// A MAC swap behind the IPv4 front.
    pub const SWAP: &str = "MAC swap + TX";
    /// A MAC swap behind the IPv6 front.
    pub const SWAP6: &str = "MAC swap + TX, IPv6";
    /// An encapsulation behind its own front.
    pub const IPIP: &str = "bare IPIP";
}

struct Templates {
    known: Template,
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
    fn new() -> Result<Self> {
        let known = Template::v4(KNOWN, VIP, Payload::TcpAck(HTTP))?;
        let new = Template::v4(NEW, VIP, Payload::TcpSyn(HTTP))?;
        Ok(Self {
            syn: Template::v4(OPENING, VIP, Payload::TcpSyn(HTTP))?,
            udp: Template::v4(KNOWN, VIP, Payload::Udp(DNS))?,
            stranger: Template::v4(KNOWN, NO_VIP, Payload::TcpAck(HTTP))?,
            echo: Template::v4(KNOWN, VIP, Payload::Echo)?,
            known6: Template::v6(KNOWN6, VIP6, Payload::TcpAck(HTTP))?,
            new6: Template::v6(NEW6, VIP6, Payload::TcpSyn(HTTP))?,
            echo6: Template::v6(KNOWN6, VIP6, Payload::Echo)?,
            large_known: known.clone().with_services(LARGE_SERVICES),
            large_new: new.clone().with_services(LARGE_SERVICES),
            known,
            new,
        })
    }
}

/// The worlds of the plan, filled, and its cases.
///
/// # Errors
/// When the program does not load, or the flows do not fit.
pub fn prepare(plan: &Plan) -> Result<(Vec<World>, Vec<Case>)> {
    let flows = check_flows(plan.flows)?;
    let templates = Templates::new()?;
    let mut worlds = vec![small_world(&templates, flows)?];
    let mut cases = floor_cases(&templates, plan.flows);
    cases.extend(small_cases(&templates, plan.flows));
    if plan.scale {
        worlds.push(large_world(&templates, flows)?);
        cases.extend(large_cases(&templates));
    }
    Ok((worlds, cases))
}

/// Maps with twice as many places as flows.
fn sizes(flows_v4: u32, flows_v6: u32, limits: Limits) -> MapSizes {
    MapSizes::new(&Limits {
        flows_v4: flows_v4.saturating_mul(2),
        flows_v6: flows_v6.saturating_mul(2),
        ..limits
    })
}

fn small_world(templates: &Templates, flows: u32) -> Result<World> {
    let mut service = Vec::new();
    for template in [&templates.known, &templates.udp, &templates.known6] {
        service.extend(frontends(template, 1)?);
    }
    let mut world = World::new(
        &sizes(flows, flows, Limits::default()),
        &[service],
        SMALL_BACKENDS,
    )?;
    world.inhabit(&templates.known, flows, FlowState::Established);
    world.inhabit(&templates.known6, flows, FlowState::Established);
    world.inhabit(&templates.udp, 1, FlowState::Datagram);
    world.inhabit(&templates.syn, 1, FlowState::SynReceived);
    world.settle()?;
    Ok(world)
}

fn large_world(templates: &Templates, flows: u32) -> Result<World> {
    let services: Vec<_> = frontends(&templates.large_known, LARGE_SERVICES)?
        .into_iter()
        .map(|frontend| vec![frontend])
        .collect();
    let limits = Limits {
        slots: 1 << 26,
        ..Limits::default()
    };
    let mut world = World::new(&sizes(flows, 1, limits), &services, LARGE_BACKENDS_EACH)?;
    world.inhabit(&templates.large_known, flows, FlowState::Established);
    world.settle()?;
    Ok(world)
}

fn floor_cases(templates: &Templates, flows: u64) -> Vec<Case> {
    let floor = |name, floor, template: &Template| Case {
        name,
        subject: Subject::Floor(floor),
        template: template.clone(),
        flows,
        expected: Expected::Forwarded,
        floor: None,
        target: None,
    };
    vec![
        floor(floors::EMPTY, Floor::Empty, &templates.known),
        floor(floors::SWAP, Floor::Swap, &templates.known),
        floor(floors::SWAP6, Floor::Swap, &templates.known6),
        floor(floors::IPIP, Floor::Ipip, &templates.known),
    ]
}

fn small_cases(templates: &Templates, flows: u64) -> Vec<Case> {
    use Expected::{Forwarded, Refused, Scheduled};
    use floors::{EMPTY, SWAP, SWAP6};
    let case = |name, template: &Template, flows, expected, floor, target| Case {
        name,
        subject: Subject::World(SMALL),
        template: template.clone(),
        flows,
        expected,
        floor: Some(floor),
        target,
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
    let some = flows.min(10_000);
    let answered = Refused(Reason::EchoAnswered);
    vec![
        case("established, hot", known, 1, Forwarded, SWAP, Some(25.0)),
        case("established, 10 k flows", known, some, Forwarded, SWAP, None),
        case(
            "established, all flows",
            known,
            flows,
            Forwarded,
            SWAP,
            Some(120.0),
        ),
        case("new flow", new, 1, Scheduled, SWAP, Some(150.0)),
        case("SYN of a known flow", syn, 1, Forwarded, SWAP, None),
        case("UDP, hot", udp, 1, Forwarded, SWAP, None),
        case(
            "for nobody",
            stranger,
            flows,
            Refused(Reason::NotVip),
            EMPTY,
            Some(12.0),
        ),
        case("ping", echo, 1, answered, SWAP, None),
        case("IPv6, hot", known6, 1, Forwarded, SWAP6, Some(35.0)),
        case("IPv6, all flows", known6, flows, Forwarded, SWAP6, Some(160.0)),
        case("IPv6, new flow", new6, 1, Scheduled, SWAP6, None),
        case("IPv6, ping", echo6, 1, answered, SWAP6, None),
    ]
}

fn large_cases(templates: &Templates) -> Vec<Case> {
    let case = |name, template: &Template, expected| Case {
        name,
        subject: Subject::World(LARGE),
        template: template.clone(),
        flows: 1,
        expected,
        floor: Some(floors::SWAP),
        target: None,
    };
    vec![
        case("many services, hot", &templates.large_known, Expected::Forwarded),
        case(
            "many services, new flow",
            &templates.large_new,
            Expected::Scheduled,
        ),
    ]
}
