//! Flows that are translated have a second entry, which names their backend and hears of their replies.

use std::{collections::BTreeSet, net::IpAddr};

use lb_common::{
    flow_table::{
        Bucket, Clock, Control, Entry, Hit, Origin, Target, TranslationEntry, lookup, translation_at,
    },
    hash::Seed,
    packet::FlowKey,
};

/// Buckets from where one search for silent clients begins to where the next does: a prime, so that each place has its turn.
const TURN: usize = 10_007;
/// Units of creation (256 jiffies) after which a translation must have a flow: the flow is entered right after it.
const SETTLED: u32 = 2;

/// The translation of the flow in this entry, if it has one.
pub(super) fn translation_of<'a, E: Entry, T: TranslationEntry<Flow = E::Key>>(
    translations: &'a [Bucket<T>],
    entry: &E,
    control: Control,
) -> Option<Hit<'a, T>> {
    match control.target() {
        Target::Translation(place) => translation_at(translations, place, &entry.key()),
        Target::Backend(_) => None,
    }
}

/// Number of the backend of the flow with this name and control word.
pub fn backend_of<T: TranslationEntry>(
    translations: &[Bucket<T>],
    flow: &T::Flow,
    control: Control,
) -> Option<u32> {
    match control.target() {
        Target::Backend(number) => Some(number),
        Target::Translation(place) => translation_at(translations, place, flow)?.control.backend(),
    }
}

/// Removes translations whose flows are gone, and says how many: the flow gave up its place to another.
pub fn sweep<E: Entry, T: TranslationEntry<Flow = E::Key>>(
    flows: &[Bucket<E>],
    translations: &[Bucket<T>],
    hash: impl Fn(&E::Key, &Seed) -> u64,
    seed: &Seed,
    clock: &Clock<'_>,
) -> u64 {
    let mut removed = 0;
    for (place, entry) in (0..).zip(translations.iter().flat_map(|bucket| &bucket.entries)) {
        let Some(found) = entry.snapshot() else { continue };
        let age = ((clock.now >> 8) as u32).wrapping_sub(found.created);
        if !(SETTLED..=u32::MAX / 2).contains(&age) {
            continue;
        }
        let original = found.key.original;
        let flow = lookup(flows, &original, hash(&original, seed));
        if flow.is_none_or(|flow| flow.control.target() != Target::Translation(place)) {
            removed += u64::from(entry.remove(found.control));
        }
    }
    removed
}

/// Adds to `clients` some of those of whose flows nothing came to this director yet, up to `most` in all. The search begins at
/// another place with each `turn`.
pub fn silent<T: TranslationEntry>(
    translations: &[Bucket<T>],
    turn: usize,
    most: usize,
    clients: &mut BTreeSet<IpAddr>,
) where
    FlowKey: From<T::Flow>,
{
    let begin = turn.wrapping_mul(TURN) % translations.len().max(1);
    let (behind, from) = translations.split_at(begin);
    for entry in from.iter().chain(behind).flat_map(|bucket| &bucket.entries) {
        if clients.len() >= most {
            return;
        }
        if entry.state().is_live()
            && entry.origin() == Origin::default()
            && let Some(found) = entry.snapshot()
        {
            clients.insert(FlowKey::from(found.key.original).source);
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{
        abi::TimeoutTable,
        flow_state::FlowState,
        flow_table::{Entry4, NewFlow, Translation, Translation4, insert},
        packet::FlowKey4,
    };

    use super::*;

    const SEED: Seed = Seed::new([1, 2, 3, 4, 5, 6]);

    #[test]
    fn a_translation_lives_as_long_as_its_flow() {
        let flows: Vec<Bucket<Entry4>> = (0..16).map(|_| Bucket::default()).collect();
        let translations: Vec<Bucket<Translation4>> = (0..16).map(|_| Bucket::default()).collect();
        let timeouts = TimeoutTable::default();
        timeouts.set_class(0, &[u32::MAX / 2; FlowState::LIMIT]);
        let at = |now| Clock {
            now,
            timeouts: &timeouts,
        };
        let original = FlowKey4::new(1, 2, 3, 6);
        let key = Translation {
            reply: FlowKey4::new(9, 1, 3, 6),
            original,
            origin: Origin::default(),
        };
        let hash = key.reply.hash(&SEED);
        let new = |target| NewFlow {
            key: original,
            hash: original.hash(&SEED),
            target,
            state: FlowState::Established,
            class: 0,
        };
        let translation = NewFlow {
            key,
            hash,
            target: Target::Backend(5),
            state: FlowState::Established,
            class: 0,
        };
        insert(&*translations, &translation, &at(1 << 20));
        let mut clients = BTreeSet::new();
        silent(&translations, 3, 5, &mut clients);
        assert_eq!(clients, [FlowKey::from(original).source].into());
        let place = lookup(&*translations, &key, hash).unwrap().place;
        let sweep = |now| sweep(&flows, &translations, FlowKey4::hash, &SEED, &at(now));
        assert_eq!(sweep(1 << 20), 0, "its flow may be on the way");
        let hit = lookup(&*translations, &key, hash).unwrap();
        hit.entry.set_origin(Origin::new(1, 2, 3));
        clients.clear();
        silent(&translations, 4, 5, &mut clients);
        assert!(clients.is_empty(), "it spoke");
        insert(&*flows, &new(Target::Translation(place)), &at(1 << 20));
        let flow = lookup(&*flows, &original, original.hash(&SEED)).unwrap();
        assert_eq!(backend_of(&translations, &original, flow.control), Some(5));
        assert_eq!(sweep(1 << 30), 0);
        flow.entry.remove(flow.control);
        assert_eq!(sweep(1 << 30), 1);
        insert(&*flows, &new(Target::Translation(place)), &at(1 << 20));
        let flow = lookup(&*flows, &original, original.hash(&SEED)).unwrap();
        assert_eq!(backend_of(&translations, &original, flow.control), None);
    }
}
