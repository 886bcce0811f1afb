//! The flow table of one family, and what the sync knows of each place in it.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Deref,
};

use lb_common::{
    flow_table::{
        Bucket, Control, Entry, Snapshot, Table, Translation4, Translation6, TranslationEntry, WAYS, places,
    },
    hash::Seed,
    packet::{FlowKey, FlowKey4, FlowKey6, address_words},
    wire::sync::{BlockBuilder, Full, Record, Rewrite, Stamp, Target, WireKey},
};

use super::{context::Context, shadow::Shadow, take::Parked};
use crate::core::sync::replica::Mended;

/// Ends a chain of places.
pub(super) const END: u32 = u32::MAX;

/// A key that goes over the wire in one of the two families.
pub(super) trait SyncKey: WireKey + Into<FlowKey> {
    /// What translated flows have besides their own entry.
    type Translation: TranslationEntry<Flow = Self>;

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

    /// What becomes of this flow's packets if its replies look like that when they reach the director; and the port of the
    /// pool.
    fn rewrite(&self, reply: &Self) -> (Rewrite, u16);

    /// How replies to this flow look that goes to this target; `None` for a target of another family, or of a flow that is
    /// not translated.
    fn reply(&self, target: &Target, pool_port: u16) -> Option<Self>;
}

impl SyncKey for FlowKey4 {
    type Translation = Translation4;

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

    fn rewrite(&self, reply: &Self) -> (Rewrite, u16) {
        let (to, port) = (reply.destination(), (reply.ports() >> 16) as u16);
        if (to, port) == (self.source(), self.ports() as u16) {
            (Rewrite::Destination, 0)
        } else {
            (Rewrite::Both(Ipv4Addr::from(to.to_ne_bytes()).into()), port)
        }
    }

    fn reply(&self, target: &Target, pool_port: u16) -> Option<Self> {
        let word = |address: IpAddr| match address {
            IpAddr::V4(address) => Some(u32::from_ne_bytes(address.octets())),
            IpAddr::V6(_) => None,
        };
        let reply = self.answered_by(word(target.backend)?, target.port.to_be());
        match target.rewrite {
            Rewrite::Nothing => None,
            Rewrite::Destination => Some(reply),
            Rewrite::Both(pool) => Some(reply.redirected(word(pool)?, pool_port)),
        }
    }
}

impl SyncKey for FlowKey6 {
    type Translation = Translation6;

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

    fn rewrite(&self, reply: &Self) -> (Rewrite, u16) {
        let (to, port) = (reply.destination(), (reply.ports() >> 16) as u16);
        if (to, port) == (self.source(), self.ports() as u16) {
            return (Rewrite::Destination, 0);
        }
        let mut octets = [0; 16];
        for (bytes, word) in octets.chunks_exact_mut(8).zip(to) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        (Rewrite::Both(Ipv6Addr::from(octets).into()), port)
    }

    fn reply(&self, target: &Target, pool_port: u16) -> Option<Self> {
        let words = |address: IpAddr| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address_words(address)),
        };
        let reply = self.answered_by(words(target.backend)?, target.port.to_be());
        match target.rewrite {
            Rewrite::Nothing => None,
            Rewrite::Destination => Some(reply),
            Rewrite::Both(pool) => Some(reply.redirected(words(pool)?, pool_port)),
        }
    }
}

/// How many flows a survey met.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Met {
    /// That the others are to know.
    pub(super) told: u64,
    /// Of services that say otherwise.
    pub(super) untold: u64,
}

/// One family's flows.
#[derive(Debug)]
pub(super) struct Half<E: Entry, M, N> {
    pub(super) table: M,
    pub(super) translations: N,
    /// By place.
    pub(super) shadows: Vec<Shadow>,
    /// By leaf: the first place in it at the last survey.
    pub(super) heads: Vec<u32>,
    /// By place: the next one in the same leaf.
    pub(super) next: Vec<u32>,
    /// Where the survey under way has got to, in buckets, and how many flows it has met.
    pub(super) walked: usize,
    pub(super) counted: Met,
    /// How many flows the last survey met.
    pub(super) flows: Met,
    /// Flows that were taken in by comparing since somebody asked, and whether something was known of them; the first of
    /// them, no more than is to be seen.
    pub(super) mended: Vec<(E::Key, bool)>,
    pub(super) most_mended: usize,
    /// Records that are about to be taken in, and their hashes; kept for its memory.
    pub(super) coming: VecDeque<(Record<E::Key>, u64)>,
    /// Flows whose backend has no number yet.
    pub(super) parked: VecDeque<Parked<E::Key>>,
    /// Flows that were removed by order, here or elsewhere.
    pub(super) removed: VecDeque<(E::Key, Stamp)>,
    /// Of these, those that the others are to be told of.
    pub(super) unsaid: VecDeque<(E::Key, Stamp)>,
    entry: PhantomData<E>,
}

impl<E, M, N> Half<E, M, N>
where
    E: Entry,
    E::Key: SyncKey,
    M: Deref<Target = [Bucket<E>]>,
    N: Deref<Target = [Bucket<<E::Key as SyncKey>::Translation>]>,
{
    pub(super) fn new(table: M, translations: N, leaf_bits: u8) -> Self {
        let places = table.len() * WAYS;
        Self {
            shadows: vec![Shadow::default(); places],
            heads: vec![END; 1 << leaf_bits],
            next: vec![END; places],
            walked: 0,
            counted: Met::default(),
            flows: Met::default(),
            mended: Vec::new(),
            most_mended: 0,
            coming: VecDeque::new(),
            parked: VecDeque::new(),
            removed: VecDeque::new(),
            unsaid: VecDeque::new(),
            table,
            translations,
            entry: PhantomData,
        }
    }

    /// Nothing is known of any place.
    pub(super) fn forget(&mut self) {
        self.shadows.fill(Shadow::default());
    }

    /// So many of those that are mended from now on are to be listed.
    pub(super) fn list_mended(&mut self, most: usize) {
        self.most_mended = most;
        self.mended = Vec::new();
    }

    /// What was mended since somebody asked.
    pub(super) fn mended(&self) -> impl Iterator<Item = Mended> + '_ {
        self.mended.iter().map(|(key, was_known)| Mended {
            flow: (*key).into(),
            was_known: *was_known,
        })
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

#[cfg(test)]
mod tests {
    use lb_common::wire::sync::ServiceId;
    use proptest::prelude::*;

    use super::*;

    /// What the replies of a flow say of its packets' way is what they were made of.
    fn check<K>(key: &K, target: &Target, pool_port: u16, other_family: IpAddr) -> Result<(), TestCaseError>
    where
        K: SyncKey + std::fmt::Debug,
    {
        for (rewrite, port) in [(Rewrite::Destination, 0), (target.rewrite, pool_port)] {
            let target = Target { rewrite, ..*target };
            let reply = key.reply(&target, pool_port).expect("of one family");
            prop_assert_eq!(key.rewrite(&reply), (rewrite, port));
        }
        let plain = Target {
            rewrite: Rewrite::Nothing,
            ..*target
        };
        prop_assert!(key.reply(&plain, pool_port).is_none());
        let strange = Target {
            backend: other_family,
            ..*target
        };
        prop_assert!(key.reply(&strange, pool_port).is_none());
        let strange = Target {
            rewrite: Rewrite::Both(other_family),
            ..*target
        };
        prop_assert!(key.reply(&strange, pool_port).is_none());
        Ok(())
    }

    proptest! {
        #[test]
        fn replies_say_what_becomes_of_packets(
            clients: (Ipv4Addr, Ipv6Addr), backends: (Ipv4Addr, Ipv6Addr), pools: (Ipv4Addr, Ipv6Addr),
            ports: u32, port: u16, pool_port: u16,
        ) {
            // Which would be no full NAT.
            prop_assume!(clients.0 != pools.0 && clients.1 != pools.1);
            let target = |backend: IpAddr, pool: IpAddr| Target {
                service: ServiceId(1),
                backend,
                port,
                rewrite: Rewrite::Both(pool),
            };
            let four = FlowKey4::new(u32::from_ne_bytes(clients.0.octets()), 7, ports, 6);
            check(&four, &target(backends.0.into(), pools.0.into()), pool_port, backends.1.into())?;
            let six = FlowKey6::new(address_words(clients.1), [7, 8], ports, 17);
            check(&six, &target(backends.1.into(), pools.1.into()), pool_port, backends.0.into())?;
            let reply = four.reply(&target(backends.0.into(), pools.0.into()), pool_port).expect("of one family");
            let seen = FlowKey::from(reply);
            let expected_port = if port == 0 { FlowKey::from(four).destination_port } else { port };
            prop_assert_eq!((seen.source, seen.source_port), (IpAddr::from(backends.0), expected_port));
        }
    }
}
