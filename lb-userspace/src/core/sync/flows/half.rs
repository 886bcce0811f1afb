//! The flow table of one family, and what the sync knows of each place in it.

use std::{collections::VecDeque, marker::PhantomData, ops::Deref};

use lb_common::{
    flow_table::{Bucket, Control, Entry, Snapshot, Table, WAYS, places},
    hash::Seed,
    packet::{FlowKey4, FlowKey6},
    wire::sync::{BlockBuilder, Full, Record, Stamp, Target, WireKey},
};

use super::{context::Context, shadow::Shadow, take::Parked};

/// Ends a chain of places.
pub(super) const END: u32 = u32::MAX;

/// A key that goes over the wire in one of the two families.
pub(super) trait SyncKey: WireKey {
    /// Keyed hash: of the flow table, or of the leaves.
    fn hashed(&self, seed: &Seed) -> u64;

    /// Adds a record to the block.
    ///
    /// # Errors
    /// [`Full`].
    fn push(
        block: &mut BlockBuilder,
        record: &Record<Self>,
        target: Option<(u32, &Target)>,
    ) -> Result<(), Full>;
}

impl SyncKey for FlowKey4 {
    fn hashed(&self, seed: &Seed) -> u64 {
        self.hash(seed)
    }

    fn push(
        block: &mut BlockBuilder,
        record: &Record<Self>,
        target: Option<(u32, &Target)>,
    ) -> Result<(), Full> {
        block.push4(record, target)
    }
}

impl SyncKey for FlowKey6 {
    fn hashed(&self, seed: &Seed) -> u64 {
        self.hash(seed)
    }

    fn push(
        block: &mut BlockBuilder,
        record: &Record<Self>,
        target: Option<(u32, &Target)>,
    ) -> Result<(), Full> {
        block.push6(record, target)
    }
}

/// One family's flows.
#[derive(Debug)]
pub(super) struct Half<E: Entry, M> {
    pub(super) table: M,
    /// By place.
    pub(super) shadows: Vec<Shadow>,
    /// By leaf: the first place in it at the last survey.
    pub(super) heads: Vec<u32>,
    /// By place: the next one in the same leaf.
    pub(super) next: Vec<u32>,
    /// Where the survey under way has got to, in buckets, and how many flows it has met.
    pub(super) walked: usize,
    pub(super) counted: u64,
    /// How many flows the last survey met.
    pub(super) flows: u64,
    /// Flows whose backend has no number yet.
    pub(super) parked: VecDeque<Parked<E::Key>>,
    /// Flows that were removed by order, here or elsewhere.
    pub(super) removed: VecDeque<(E::Key, Stamp)>,
    /// Of these, those that the others are to be told of.
    pub(super) unsaid: VecDeque<(E::Key, Stamp)>,
    entry: PhantomData<E>,
}

impl<E, M> Half<E, M>
where
    E: Entry,
    E::Key: SyncKey,
    M: Deref<Target = [Bucket<E>]>,
{
    pub(super) fn new(table: M, leaf_bits: u8) -> Self {
        let places = table.len() * WAYS;
        Self {
            shadows: vec![Shadow::default(); places],
            heads: vec![END; 1 << leaf_bits],
            next: vec![END; places],
            walked: 0,
            counted: 0,
            flows: 0,
            parked: VecDeque::new(),
            removed: VecDeque::new(),
            unsaid: VecDeque::new(),
            table,
            entry: PhantomData,
        }
    }

    /// Nothing is known of any place.
    pub(super) fn forget(&mut self) {
        self.shadows.fill(Shadow::default());
    }

    pub(super) fn entry(&self, place: u32) -> Option<&E> {
        let bucket = self.table.get(place as usize / WAYS)?;
        bucket.entries.get(place as usize % WAYS)
    }

    pub(super) fn snapshot(&self, place: u32) -> Option<Snapshot<E::Key>> {
        self.entry(place)?.snapshot()
    }

    pub(super) fn shadow(&self, place: u32) -> Shadow {
        self.shadows.get(place as usize).copied().unwrap_or_default()
    }

    pub(super) fn set_shadow(&mut self, place: u32, shadow: Shadow) {
        if let Some(known) = self.shadows.get_mut(place as usize) {
            *known = shadow;
        }
    }

    /// Where the flow lives, if it does.
    pub(super) fn find(&self, key: &E::Key, hash: u64) -> Option<(u32, Control)> {
        let (first, second) = places(hash, self.table.mask());
        [first, second].into_iter().find_map(|bucket| {
            let entries = &self.table.get(bucket as usize)?.entries;
            entries.iter().enumerate().find_map(|(way, entry)| {
                let before = entry.state();
                if !before.is_live() || !entry.holds(key) {
                    return None;
                }
                let control = entry.state();
                let place = bucket * WAYS as u32 + way as u32;
                control.same_life(before).then_some((place, control))
            })
        })
    }

    /// When the flow changed last: what is known of it, or else what can be seen.
    pub(super) fn stamp(&self, flow: &Snapshot<E::Key>, shadow: Shadow, context: &Context<'_>) -> Stamp {
        if shadow.is_of(flow.control) && shadow.has_state_of(flow.control) {
            return shadow.stamp();
        }
        let seen = context.ticks.stamp(flow.last_seen);
        // What stood here before was often the same connection: what comes after it is later.
        if shadow.is_known() && !seen.is_after(shadow.stamp()) {
            shadow.stamp().next()
        } else {
            seen
        }
    }
}
