//! The directors that cases play on, and their packets.

use std::net::{IpAddr, SocketAddrV4};

use anyhow::{Result, bail};
use lb_common::{abi::SLOTS_PER_LINE, flow_state::FlowState, packet::FlowKey};

use super::{
    Options,
    measure::Scene,
    world::{self, World, frontends},
};
use crate::{
    bench::template::{Payload, Template},
    core::model::{DEFAULT_TABLE_SIZE, Encapsulation, Forward, GUE_PORT, Limits},
    datapath::MapSizes,
};

const VIP: [u8; 4] = [192, 0, 2, 10];
/// The first backend of every director.
const FIRST_BACKEND: [u8; 4] = [10, 0, 0, 1];
pub(super) const NO_VIP: [u8; 4] = [192, 0, 2, 200];
const VIP6: [u8; 16] = [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const HTTP: u16 = 80;
const DNS: u16 = 53;

/// Clients whose flows are in the table, of new flows, and of flows that are half open (RFC 2544's networks for
/// benchmarks, and RFC 6598's).
pub(super) const KNOWN: [u8; 2] = [198, 18];
pub(super) const NEW: [u8; 2] = [198, 19];
const OPENING: [u8; 2] = [100, 64];
pub(super) const KNOWN6: u16 = 0xC;
pub(super) const NEW6: u16 = 0xD;

/// Backends of the one service of a small director.
const SMALL_BACKENDS: u32 = 3;
/// Backends of each service of a large director.
pub const LARGE_BACKENDS_EACH: u32 = 8;

pub(super) struct Templates {
    pub(super) known: Template,
    pub(super) reply: Template,
    pub(super) new: Template,
    pub(super) syn: Template,
    pub(super) udp: Template,
    pub(super) stranger: Template,
    pub(super) echo: Template,
    pub(super) known6: Template,
    pub(super) new6: Template,
    pub(super) echo6: Template,
    pub(super) large_known: Template,
    pub(super) large_new: Template,
}

impl Templates {
    pub(super) fn new(services: u16) -> Result<Self> {
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

/// Bytes that a director's flows take, in its tables and here.
pub(super) fn bytes(scene: Scene, options: &Options) -> u64 {
    let table = |v4, v6| sizes(v4, v6, Limits::default()).flow_bytes();
    let (tables, residents) = match scene {
        Scene::Small => (table(options.flows, options.flows), 2 * options.flows),
        Scene::Large | Scene::Ipip => (table(options.flows, 1), options.flows),
        Scene::Gue | Scene::Nat | Scene::Mute | Scene::Living => (table(1, 1), 1),
    };
    tables + world::bytes(residents)
}

pub(super) fn make_world(scene: Scene, templates: &Templates, options: &Options) -> Result<World> {
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
        Scene::Mute | Scene::Living => bail!("no director is made up for {scene:?}"),
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
