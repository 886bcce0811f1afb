//! Entries of the translation tables: how the packets of a flow look on their way to a backend, and how its replies do.
//!
//! A translated flow has an entry in each of two tables. The flow's own is as every flow's, but its target is the place of
//! the other entry. That one is keyed by the reply's tuple as it reaches the director, which therefore is nobody else's:
//! the table's own uniqueness hands out translated ports.

use super::{Bucket, Entry, Entry4, Entry6, HalfWord, Hit, Table, WAYS, Word};
use crate::packet::{FlowKey4, FlowKey6};

/// Where a flow's packets come from, so that replies need no route: as they lie in a frame back to there, destination MAC
/// and the first two bytes of the source MAC; the last four bytes of it (bits 0..32) and the interface (32..64). All zero:
/// nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The first eight bytes of a frame.
    pub head: u64,
    /// The next four bytes, and the interface.
    pub tail: u64,
}

impl Origin {
    /// From the parts of a frame back to there.
    #[inline(always)]
    #[must_use]
    pub const fn new(head: u64, mac: u32, ifindex: u32) -> Self {
        Self {
            head,
            tail: mac as u64 | (ifindex as u64) << 32,
        }
    }

    /// The first 8 and the next 4 bytes of a frame.
    #[inline(always)]
    #[must_use]
    pub const fn link(self) -> (u64, u32) {
        (self.head, self.tail as u32)
    }

    /// Interface; 0: nobody knows.
    #[inline(always)]
    #[must_use]
    pub const fn ifindex(self) -> u32 {
        (self.tail >> 32) as u32
    }
}

/// What an entry says. It is found by `reply` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translation<K> {
    /// A reply as it reaches the director: from the backend to the client, or to an address of the director's.
    pub reply: K,
    /// The client's packets as they reach the director: to the VIP.
    pub original: K,
    /// Where they come from.
    pub origin: Origin,
}

/// An entry of a translation table.
pub trait TranslationEntry: Entry<Key = Translation<Self::Flow>> {
    /// What names a flow.
    type Flow: Copy + PartialEq;

    /// Whether it is the translation of this flow.
    fn is_of(&self, original: &Self::Flow) -> bool;
    /// Where the client's packets come from.
    fn origin(&self) -> Origin;
    /// Notes that they come from somewhere else now.
    fn set_origin(&self, origin: Origin);
}

/// A translated IPv4 flow: one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Translation4 {
    reply: Entry4Head,
    original: [Word; 2],
    origin: [Word; 2],
}

/// The layout of an [`Entry4`] without its alignment.
#[derive(Debug, Default)]
#[repr(C)]
struct Entry4Head {
    control: Word,
    key: [Word; 2],
    last_seen: HalfWord,
    created: HalfWord,
}

/// A translated IPv6 flow: two cache lines.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Translation6 {
    reply: Entry6Head,
    original: [Word; 5],
    origin: [Word; 2],
    reserved: [Word; 2],
}

#[derive(Debug, Default)]
#[repr(C)]
struct Entry6Head {
    control: Word,
    key: [Word; 5],
    last_seen: HalfWord,
    created: HalfWord,
}

const _: () = {
    assert!(size_of::<Entry4Head>() == size_of::<Entry4>());
    assert!(size_of::<Entry6Head>() + 8 == size_of::<Entry6>());
    assert!(size_of::<Translation4>() == 64);
    assert!(size_of::<Translation6>() == 128);
    assert!(size_of::<Bucket<Translation4>>() == 256);
    assert!(size_of::<Bucket<Translation6>>() == 512);
};

macro_rules! translation {
    ($entry:ident, $key:ident, $($word:literal),+) => {
        impl Entry for $entry {
            type Key = Translation<$key>;

            #[inline(always)]
            fn control(&self) -> &Word {
                &self.reply.control
            }

            #[inline(always)]
            fn last_seen(&self) -> &HalfWord {
                &self.reply.last_seen
            }

            #[inline(always)]
            fn created(&self) -> &HalfWord {
                &self.reply.created
            }

            #[inline(always)]
            fn holds(&self, key: &Translation<$key>) -> bool {
                $(self.reply.key[$word].load() == key.reply.words[$word])&&+
            }

            #[inline(always)]
            fn key(&self) -> Translation<$key> {
                Translation {
                    reply: $key { words: [$(self.reply.key[$word].load()),+] },
                    original: $key { words: [$(self.original[$word].load()),+] },
                    origin: self.origin(),
                }
            }

            #[inline(always)]
            fn set_key(&self, key: &Translation<$key>) {
                $(self.reply.key[$word].store(key.reply.words[$word]);)+
                $(self.original[$word].store(key.original.words[$word]);)+
                self.set_origin(key.origin);
            }
        }

        impl TranslationEntry for $entry {
            type Flow = $key;

            #[inline(always)]
            fn is_of(&self, original: &$key) -> bool {
                $(self.original[$word].load() == original.words[$word])&&+
            }

            #[inline(always)]
            fn origin(&self) -> Origin {
                Origin {
                    head: self.origin[0].load(),
                    tail: self.origin[1].load(),
                }
            }

            #[inline(always)]
            fn set_origin(&self, origin: Origin) {
                self.origin[0].store(origin.head);
                self.origin[1].store(origin.tail);
            }
        }
    };
}

translation!(Translation4, FlowKey4, 0, 1);
translation!(Translation6, FlowKey6, 0, 1, 2, 3, 4);

/// The entry in this place of the table, which a flow's target names, if it is this flow's translation and live.
#[inline(always)]
pub fn translation_at<'a, T>(
    table: &'a T,
    place: u32,
    original: &<T::Entry as TranslationEntry>::Flow,
) -> Option<Hit<'a, T::Entry>>
where
    T: Table + ?Sized,
    T::Entry: TranslationEntry,
{
    let bucket = table.bucket((place / WAYS as u32) & table.mask())?;
    let entry = &bucket.entries[place as usize % WAYS];
    let before = entry.state();
    if !before.is_live() || !entry.is_of(original) {
        return None;
    }
    let control = entry.state();
    control.same_life(before).then_some(Hit {
        entry,
        control,
        place,
    })
}

#[cfg(test)]
mod tests {
    use std::{boxed::Box, vec::Vec};

    use super::*;
    use crate::{
        abi::TimeoutTable,
        flow_state::{FlowState, Worth},
        flow_table::{Clock, Insertion, NewFlow, Target, insert, insert_sparing, lookup},
        hash::Seed,
    };

    fn table(buckets: usize) -> Box<[Bucket<Translation4>]> {
        (0..buckets).map(|_| Bucket::default()).collect()
    }

    fn translation(reply: u32, original: u32) -> Translation<FlowKey4> {
        Translation {
            reply: FlowKey4::new(1, reply, 0x1234_0050, 6),
            original: FlowKey4::new(original, 2, 0x5000_1234, 6),
            origin: Origin::new(3, 4, 5),
        }
    }

    fn flow(key: Translation<FlowKey4>, backend: u32) -> NewFlow<Translation<FlowKey4>> {
        NewFlow {
            key,
            hash: key.reply.hash(&Seed::TEST),
            target: Target::Backend(backend),
            state: FlowState::Established,
            class: 0,
        }
    }

    #[test]
    fn what_is_entered_is_found_by_the_reply_and_by_its_place() {
        let (table, timeouts) = (table(64), TimeoutTable::default());
        let clock = Clock {
            now: 0,
            timeouts: &timeouts,
        };
        let ours = translation(7, 70);
        assert_eq!(insert(&*table, &flow(ours, 3), &clock), Insertion::Inserted);
        let hash = ours.reply.hash(&Seed::TEST);
        let reply_alone = Translation {
            original: ours.reply,
            origin: Origin::default(),
            ..ours
        };
        let hit = lookup(&*table, &reply_alone, hash).unwrap();
        assert_eq!((hit.entry.key(), hit.control.backend()), (ours, Some(3)));
        let (place, control) = (hit.place, hit.control);
        let at = |original| translation_at(&*table, place, original).map(|hit| hit.control);
        assert_eq!(at(&ours.original), Some(control));
        assert_eq!(at(&ours.reply), None, "another flow's");
        assert!(hit.entry.remove(control));
        assert_eq!(at(&ours.original), None);
        assert!(lookup(&*table, &reply_alone, hash).is_none());
    }

    #[test]
    fn the_same_reply_is_given_out_once() {
        let (table, timeouts) = (table(64), TimeoutTable::default());
        let clock = Clock {
            now: 0,
            timeouts: &timeouts,
        };
        assert_eq!(
            insert(&*table, &flow(translation(7, 70), 3), &clock),
            Insertion::Inserted
        );
        let second = insert(&*table, &flow(translation(7, 71), 4), &clock);
        let Insertion::Existing(control) = second else {
            panic!("{second:?}")
        };
        assert_eq!(control.backend(), Some(3));
    }

    #[test]
    fn who_lives_is_not_evicted() {
        let (table, timeouts) = (table(2), TimeoutTable::default());
        timeouts.set_class(0, &[1000; FlowState::LIMIT]);
        let at = |now| Clock {
            now,
            timeouts: &timeouts,
        };
        let enter = |n, now| insert_sparing(&*table, &flow(translation(n, n), 1), &at(now));
        let ended: Vec<_> = (0..9).map(|n| enter(n, 1)).collect();
        assert_eq!(ended[..8], [Insertion::Inserted; 8]);
        assert_eq!(ended[8], Insertion::Contended);
        assert!(matches!(enter(8, 2000), Insertion::Evicted(Worth::Expired, _)));
    }
}
