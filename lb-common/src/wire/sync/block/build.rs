//! Putting a block together.

use core::net::IpAddr;
use std::vec::Vec;

use super::{
    BEHIND_CLIENT, FIXED, NONE, POOL_PORT, Record, Rewrite, Target, WITH_POOL_PORTS, WireKey,
    dictionary::Dictionary, stride,
};
use crate::{
    packet::{FlowKey4, FlowKey6},
    wire::sync::OLDEST_VERSION,
};

/// There is no room left in the block; what did not fit was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A state of a block to come back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    four: u16,
    six: u16,
}

/// Records of one family, and their frontends.
#[derive(Debug)]
struct Half<K: WireKey> {
    frontends: Dictionary<K::Frontend, ()>,
    records: Vec<u8>,
    count: u16,
}

impl<K: WireKey> Half<K> {
    fn new() -> Self {
        Self {
            frontends: Dictionary::new(),
            records: Vec::new(),
            count: 0,
        }
    }

    fn clear(&mut self) {
        self.frontends.clear();
        self.records.clear();
        self.count = 0;
    }

    /// Gives all records a port of a pool, which none of them has.
    fn widen(&mut self) {
        let mut wide = Vec::with_capacity(usize::from(self.count) * stride::<K>(true));
        for record in self.records.chunks_exact(stride::<K>(false)) {
            wide.extend_from_slice(record);
            wide.extend_from_slice(&[0; POOL_PORT]);
        }
        self.records = wide;
    }

    fn truncate(&mut self, count: u16, pool_ports: bool) {
        self.records
            .truncate(usize::from(count) * stride::<K>(pool_ports));
        self.count = count;
    }
}

/// A block under construction, for a datagram of limited size. It is meant to be used again and again: [`Self::clear`]
/// keeps its memory.
#[derive(Debug)]
pub struct BlockBuilder {
    limit: usize,
    /// Version of the protocol that the receivers understand.
    understood: u8,
    /// Whether a target is like the one before: in the oldest version there is no word for that.
    is_short: bool,
    /// Whether records have a port of a pool: from the first one on that needs it.
    pool_ports: bool,
    four: Half<FlowKey4>,
    six: Half<FlowKey6>,
    /// By whatever number the caller knows the backend, and what becomes of packets.
    targets: Dictionary<(u32, Rewrite), Target>,
    length: usize,
}

impl BlockBuilder {
    /// A block of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            understood: OLDEST_VERSION,
            is_short: false,
            pool_ports: false,
            four: Half::new(),
            six: Half::new(),
            targets: Dictionary::new(),
            length: FIXED,
        }
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.four.clear();
        self.six.clear();
        self.targets.clear();
        self.is_short = false;
        self.pool_ports = false;
        self.length = FIXED;
    }

    /// Begins anew, for receivers that understand this version of the protocol.
    pub fn clear_for(&mut self, version: u8) {
        self.clear();
        self.understood = version;
    }

    /// Version of the protocol that the receivers understand.
    #[must_use]
    pub fn understood(&self) -> u8 {
        self.understood
    }

    /// Version of the protocol that it is written in.
    #[must_use]
    pub fn version(&self) -> u8 {
        if self.is_short {
            SHORT_TARGETS
        } else {
            OLDEST_VERSION
        }
    }

    /// What is in it now, to come back to.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark {
            four: self.four.count,
            six: self.six.count,
        }
    }

    /// Takes away the connections that were added since; what was said of frontends and targets stays.
    pub fn roll_back(&mut self, mark: Mark) {
        let before = self.four.records.len() + self.six.records.len();
        self.four.truncate(mark.four, self.pool_ports);
        self.six.truncate(mark.six, self.pool_ports);
        self.length -= before - (self.four.records.len() + self.six.records.len());
    }

    /// How many connections are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.four.count) + usize::from(self.six.count)
    }

    /// Whether there is none in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an IPv4 connection. `target` is what the caller knows the backend by, and what the target is; `None` for a flow
    /// that is gone. What the record says of its target does not count.
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub fn push4(&mut self, record: &Record<FlowKey4>, target: Option<(u32, &Target)>) -> Result<(), Full> {
        let room = self.room_for(record.pool_port)?;
        let form = Form {
            understood: self.understood,
            pool_ports: self.pool_ports,
        };
        let grown = push(&mut self.four, &mut self.targets, record, target, room, form)?;
        self.length += grown.by;
        self.is_short |= grown.is_short;
        Ok(())
    }

    /// The same for IPv6.
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub fn push6(&mut self, record: &Record<FlowKey6>, target: Option<(u32, &Target)>) -> Result<(), Full> {
        let room = self.room_for(record.pool_port)?;
        let form = Form {
            understood: self.understood,
            pool_ports: self.pool_ports,
        };
        let grown = push(&mut self.six, &mut self.targets, record, target, room, form)?;
        self.length += grown.by;
        self.is_short |= grown.is_short;
        Ok(())
    }

    /// How much room there is, once records have a port of a pool if this one does.
    #[inline]
    fn room_for(&mut self, pool_port: u16) -> Result<usize, Full> {
        if pool_port != 0 && !self.pool_ports {
            let wide = self.length + self.len() * POOL_PORT;
            if wide > self.limit {
                return Err(Full);
            }
            self.four.widen();
            self.six.widen();
            (self.length, self.pool_ports) = (wide, true);
        }
        Ok(self.limit - self.length)
    }

    /// Writes the block behind what is in `to`.
    pub fn emit(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.four.count.to_be_bytes());
        to.extend_from_slice(&self.six.count.to_be_bytes());
        to.push(self.four.frontends.entries().len() as u8);
        to.push(self.six.frontends.entries().len() as u8);
        to.push(self.targets.entries().len() as u8);
        to.push(if self.pool_ports { WITH_POOL_PORTS } else { 0 });
        for (frontend, ()) in self.four.frontends.entries() {
            to.extend_from_slice(frontend);
        }
        for (frontend, ()) in self.six.frontends.entries() {
            to.extend_from_slice(frontend);
        }
        let mut before: Option<&Target> = None;
        for (_, target) in self.targets.entries() {
            match before {
                Some(before) if is_short(self.understood, target, before) => target.emit_short(to),
                Some(_) | None => target.emit(to),
            }
            before = Some(target);
        }
        to.extend_from_slice(&self.four.records);
        to.extend_from_slice(&self.six.records);
    }
}

/// How a block is written.
#[derive(Clone, Copy)]
struct Form {
    understood: u8,
    pool_ports: bool,
}

/// What a record adds to a block.
struct Grown {
    /// Bytes.
    by: usize,
    /// Whether it is a target that is like the one before.
    is_short: bool,
}

/// From this version on, targets that are like the one before are short.
const SHORT_TARGETS: u8 = 2;

#[inline]
fn is_short(understood: u8, target: &Target, before: &Target) -> bool {
    understood >= SHORT_TARGETS && target.is_like(before)
}

/// Adds a record.
#[inline]
fn push<K: WireKey>(
    half: &mut Half<K>,
    targets: &mut Dictionary<(u32, Rewrite), Target>,
    record: &Record<K>,
    target: Option<(u32, &Target)>,
    room: usize,
    form: Form,
) -> Result<Grown, Full> {
    let (client, frontend) = record.key.split();
    let frontend_hash = fold(frontend.as_ref());
    let known_frontend = half.frontends.find(&frontend, frontend_hash);
    let known_target = target.map(|(number, target)| {
        let key = (number, target.rewrite);
        (key, target, targets.find(&key, hash_of(key)))
    });
    let mut length = stride::<K>(form.pool_ports);
    let mut short = false;
    if known_frontend.is_none() {
        length += K::FRONTEND;
    }
    if let Some((_, target, None)) = known_target {
        let before = targets.entries().last().map(|(_, before)| before);
        short = before.is_some_and(|before| is_short(form.understood, target, before));
        length += if short {
            target.short_length()
        } else {
            target.length()
        };
    }
    if length > room
        || half.count == u16::MAX
        || (known_frontend.is_none() && half.frontends.is_full())
        || (matches!(known_target, Some((_, _, None))) && targets.is_full())
    {
        return Err(Full);
    }
    let frontend = known_frontend.unwrap_or_else(|| half.frontends.add(frontend, (), frontend_hash));
    let target = match known_target {
        None => NONE,
        Some((_, _, Some(index))) => index,
        Some((key, target, None)) => targets.add(key, *target, hash_of(key)),
    };
    let state = if target == NONE { 0 } else { record.state };
    let [s0, s1, s2, s3] = record.stamp.0.to_be_bytes();
    let [i0, i1] = record.idle.0.to_be_bytes();
    let [a0, a1] = record.age.0.to_be_bytes();
    let fixed: [u8; BEHIND_CLIENT] = [frontend, target, state, s0, s1, s2, s3, i0, i1, a0, a1];
    half.records.extend_from_slice(client.as_ref());
    half.records.extend_from_slice(&fixed);
    if form.pool_ports {
        let port: [u8; POOL_PORT] = record.pool_port.to_ne_bytes();
        half.records.extend_from_slice(&port);
    }
    half.count += 1;
    Ok(Grown {
        by: length,
        is_short: short,
    })
}

/// A hash of a target's key, good enough for a small table of our own making.
#[inline]
fn hash_of((number, rewrite): (u32, Rewrite)) -> u32 {
    match rewrite {
        Rewrite::Nothing | Rewrite::Destination => number,
        Rewrite::Both(IpAddr::V4(pool)) => number.rotate_left(16) ^ fold(&pool.octets()),
        Rewrite::Both(IpAddr::V6(pool)) => number.rotate_left(16) ^ fold(&pool.octets()),
    }
}

/// The same of bytes.
#[inline]
fn fold(bytes: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for chunk in bytes.chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = sum.rotate_left(5) ^ u32::from_le_bytes(word);
    }
    sum
}
