//! Connections on the wire: records, and what many of them have in common said once.
//!
//! ```text
//! n4 (2) | n6 (2) | f4 (1) | f6 (1) | t (1) | flags (1)
//! f4 × IPv4 frontend: VIP (4), port (2), protocol (1), kind of key (3)
//! f6 × IPv6 frontend: VIP (16), port (2), protocol (1), kind of key (3)
//! t  × target:        form (1), service (8), backend (4 or 16), port (2), pool address (none, 4 or 16)
//!                     or, like the one before but for the backend: form (1), backend (4 or 16)
//! n4 × IPv4 record:   client (4), port (2), frontend (1), target (1), state (1), stamp (4), idle (2), age (2) [, pool port (2)]
//! n6 × IPv6 record:   client (16), and so on
//! ```

mod build;
mod dictionary;
mod key;
mod target;

use super::{Reader, Refusal, Span, Stamp};
use crate::packet::{FlowKey4, FlowKey6};

pub use build::{BlockBuilder, Full, Mark};
pub use key::WireKey;
pub use target::{Rewrite, ServiceId, Target};

/// Most frontends of a family, and most targets, of one block.
pub const MAX_DICTIONARY: usize = 255;

/// Stands for no target.
const NONE: u8 = 255;
/// In the flags: records end with a port of the pool.
const WITH_POOL_PORTS: u8 = 1;
/// What a record has behind the client: frontend, target, state, stamp, idle, age.
const BEHIND_CLIENT: usize = 11;
const POOL_PORT: usize = 2;
const FIXED: usize = 8;
const STATES: u8 = 32;

/// A connection, as one director tells it to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<K> {
    /// The flow's name.
    pub key: K,
    /// Index of its target among the block's; `None` for a flow that is gone.
    pub target: Option<u8>,
    /// Number of its state; 0 for a flow that is gone.
    pub state: u8,
    /// When state or target changed last.
    pub stamp: Stamp,
    /// How long before the message's clock its last packet came.
    pub idle: Span,
    /// How long before the message's clock its first packet came.
    pub age: Span,
    /// Port of the pool's address to which its source is translated, in network order; 0 if it is not.
    pub pool_port: u16,
}

/// Connections in a message; checked, so that everything in it can be read.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    frontends4: &'a [[u8; <FlowKey4 as WireKey>::FRONTEND]],
    frontends6: &'a [[u8; <FlowKey6 as WireKey>::FRONTEND]],
    targets: &'a [u8],
    target_count: usize,
    records4: &'a [u8],
    records6: &'a [u8],
    pool_ports: bool,
}

impl<'a> Block<'a> {
    /// The block that `reader` has before it, to the end.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(mut reader: Reader<'a>) -> Result<Self, Refusal> {
        let (n4, n6) = (reader.u16()?, reader.u16()?);
        let [f4, f6, target_count, flags] = reader.array()?;
        if flags & !WITH_POOL_PORTS != 0 {
            return Err(Refusal::BadValue);
        }
        let pool_ports = flags & WITH_POOL_PORTS != 0;
        let mut frontends = |count: u8, length: usize| reader.bytes(usize::from(count) * length);
        let frontends4 = frontends(f4, <FlowKey4 as WireKey>::FRONTEND)?.as_chunks().0;
        let frontends6 = frontends(f6, <FlowKey6 as WireKey>::FRONTEND)?.as_chunks().0;
        let before = reader.rest();
        let mut last = None;
        for _ in 0..target_count {
            last = Some(Target::parse(&mut reader, last.as_ref())?);
        }
        let targets = &before[..before.len() - reader.rest().len()];
        let block = Self {
            frontends4,
            frontends6,
            targets,
            target_count: target_count.into(),
            records4: reader.bytes(usize::from(n4) * stride::<FlowKey4>(pool_ports))?,
            records6: reader.bytes(usize::from(n6) * stride::<FlowKey6>(pool_ports))?,
            pool_ports,
        };
        reader.end()?;
        check::<FlowKey4>(block.records4, pool_ports, f4, target_count)?;
        check::<FlowKey6>(block.records6, pool_ports, f6, target_count)?;
        Ok(block)
    }

    /// The targets; a record's [`Record::target`] counts in their order.
    pub fn targets(&self) -> impl Iterator<Item = Target> + use<'a> {
        let mut reader = Reader::new(self.targets);
        let mut last = None;
        // All of them were read when the block was parsed.
        (0..self.target_count).map_while(move |_| {
            last = Target::parse(&mut reader, last.as_ref()).ok();
            last
        })
    }

    /// The IPv4 connections.
    pub fn records4(&self) -> impl Iterator<Item = Record<FlowKey4>> + use<'a> {
        records(self.records4, self.frontends4, self.pool_ports)
    }

    /// The IPv6 connections.
    pub fn records6(&self) -> impl Iterator<Item = Record<FlowKey6>> + use<'a> {
        records(self.records6, self.frontends6, self.pool_ports)
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records4.len() / stride::<FlowKey4>(self.pool_ports)
            + self.records6.len() / stride::<FlowKey6>(self.pool_ports)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const fn stride<K: WireKey>(pool_ports: bool) -> usize {
    let length = K::CLIENT + BEHIND_CLIENT;
    if pool_ports { length + POOL_PORT } else { length }
}

/// Whether the records speak of frontends and targets that there are.
fn check<K: WireKey>(records: &[u8], pool_ports: bool, frontends: u8, targets: u8) -> Result<(), Refusal> {
    for record in records.chunks_exact(stride::<K>(pool_ports)) {
        let [frontend, target, state] = [record[K::CLIENT], record[K::CLIENT + 1], record[K::CLIENT + 2]];
        let is_gone = state == 0;
        let target_fits = if is_gone { target == NONE } else { target < targets };
        if frontend >= frontends || !target_fits || state >= STATES {
            return Err(Refusal::BadValue);
        }
    }
    Ok(())
}

fn records<'a, K: WireKey>(
    bytes: &'a [u8],
    frontends: &'a [K::Frontend],
    pool_ports: bool,
) -> impl Iterator<Item = Record<K>> + use<'a, K> {
    // All of it was checked when the block was parsed.
    bytes
        .chunks_exact(stride::<K>(pool_ports))
        .filter_map(move |record| read(record, frontends, pool_ports))
}

#[inline]
fn read<K: WireKey>(record: &[u8], frontends: &[K::Frontend], pool_ports: bool) -> Option<Record<K>> {
    let (client, rest) = record.split_at_checked(K::CLIENT)?;
    let (fixed, pool) = rest.split_first_chunk::<BEHIND_CLIENT>()?;
    let [index, target, state, s0, s1, s2, s3, i0, i1, a0, a1] = *fixed;
    let pool_port = match pool.first_chunk() {
        Some(port) if pool_ports => u16::from_ne_bytes(*port),
        Some(_) | None => 0,
    };
    Some(Record {
        key: K::join(client, *frontends.get(usize::from(index))?)?,
        target: (target != NONE).then_some(target),
        state,
        stamp: Stamp(u32::from_be_bytes([s0, s1, s2, s3])),
        idle: Span(u16::from_be_bytes([i0, i1])),
        age: Span(u16::from_be_bytes([a0, a1])),
        pool_port,
    })
}
