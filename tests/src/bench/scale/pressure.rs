//! More connections than the flow table holds.

use anyhow::{Context as _, Result, ensure};
use lb_userspace::{
    core::model::{DEFAULT_TABLE_SIZE, Forward, Limits},
    datapath::MapSizes,
};
use serde::{Deserialize, Serialize};

use super::{known, machine};
use crate::bench::{
    front::{Front, Target, Wrapping},
    template::{Order, Template},
    world::{World, frontends},
};

/// Connections, as shares of the places.
pub const SHARES: [f64; 4] = [0.5, 1.0, 1.5, 3.0];

/// Backends before one joins.
const BACKENDS: u32 = 3;
/// Packets between two looks at the table.
const CHUNK: u32 = 512;

/// What became of connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pressure {
    /// For rows of results.
    pub name: String,
    /// Connections, as a share of the places.
    pub share: f64,
    /// Connections that were made.
    pub connections: u32,
    /// Those that gave up their place to another while they were made.
    pub evictions: u64,
    /// By kind of eviction.
    pub by_kind: Vec<(String, u64)>,
    /// The share of connections that had no place when all were made.
    pub without_place: f64,
    /// The share whose next packet went to the backend that it had gone to before, while the backends were the same.
    pub same_backend: f64,
    /// The share whose next packet went to another backend after a fourth one had joined: connections that break.
    pub broken_by_change: f64,
    /// The same if nobody remembered anything.
    pub broken_without_memory: f64,
}

impl Pressure {
    /// Makes so many connections in a table of so many places, all established, and has each send once more: with the same
    /// backends, and after another one has joined.
    ///
    /// # Errors
    /// When the program does not forward.
    pub fn measure(places: u32, share: f64) -> Result<Self> {
        machine::pin(None)?;
        let template = known()?;
        let services = [frontends(&template, 1)?];
        let limits = Limits {
            flows_v4: places,
            flows_v6: 4,
            ..Limits::default()
        };
        let mut world = World::new(&MapSizes::new(&limits), &services, BACKENDS, Forward::Dr)?;
        let connections = (f64::from(places) * share) as u32;
        let first = pass(&mut world, &template, connections)?;
        let by_kind = world.evictions()?;
        let (mut placeless, mut same) = (0, 0);
        for flow in 1..=connections {
            placeless += u32::from(world.backend_of(&template, flow)?.is_none());
        }
        let second = pass(&mut world, &template, connections)?;
        for (before, after) in first.iter().zip(&second) {
            same += u32::from(before == after);
        }
        world.configure(&services, BACKENDS + 1, Forward::Dr, DEFAULT_TABLE_SIZE)?;
        let third = pass(&mut world, &template, connections)?;
        let moved = |before: &[u32], after: &[u32]| {
            let moved = before.iter().zip(after).filter(|(before, after)| before != after);
            moved.count() as f64 / f64::from(connections)
        };
        world.forget_flows();
        let scheduled = pass(&mut world, &template, connections)?;
        Ok(Self {
            name: format!("{:.0} % of the places", share * 100.0),
            share,
            connections,
            evictions: by_kind.iter().map(|(_, count)| count).sum(),
            by_kind,
            without_place: f64::from(placeless) / f64::from(connections),
            same_backend: f64::from(same) / f64::from(connections),
            broken_by_change: moved(&second, &third),
            broken_without_memory: moved(&first, &scheduled),
        })
    }
}

/// A packet of each connection in turn; the backend that it went to.
fn pass(world: &mut World, template: &Template, connections: u32) -> Result<Vec<u32>> {
    let program = world.program()?;
    let target = Target::Program(&program);
    let mut front = Front::new(template, connections, Order::Rising, &target, Wrapping::Bare)?;
    let mut backends = Vec::with_capacity(connections as usize);
    while (backends.len() as u32) < connections {
        let made = backends.len() as u32;
        let packets = CHUNK.min(connections - made);
        front.run(packets)?;
        ensure!(front.made()? == made + packets, "the front made other packets");
        for flow in made + 1..=made + packets {
            let backend = world.backend_of(template, flow)?;
            // What is in the way of its own chunk has lost its place within it; rare, and asked for alone.
            backends.push(match backend {
                Some(backend) => backend,
                None => again(world, template, flow)?,
            });
        }
    }
    Ok(backends)
}

fn again(world: &mut World, template: &Template, flow: u32) -> Result<u32> {
    world.send(template, flow)?;
    world
        .backend_of(template, flow)?
        .with_context(|| format!("flow {flow} has no place right after its packet"))
}
