//! Putting a flow into the table.

use super::{Bucket, Control, Entry, Phase, Table, WAYS, lookup, places};
use crate::tcp_state::{FlowState, Worth};

/// Entries that are tried before an insertion is given up: another CPU may claim the chosen one first.
const ATTEMPTS: usize = 2;

/// The time, and how long flows live.
#[derive(Debug, Clone, Copy)]
pub struct Clock<'a> {
    /// Jiffies.
    pub now: u64,
    /// Timeout by number of the state, in jiffies.
    pub timeouts: &'a [u32; FlowState::LIMIT],
}

impl Clock<'_> {
    /// The present as entries store it.
    #[inline(always)]
    #[must_use]
    pub const fn stamp(&self) -> u32 {
        self.now as u32
    }

    /// How dear the flow is.
    #[inline(always)]
    pub fn worth<E: Entry>(&self, entry: &E, control: Control) -> (Worth, u32) {
        let idle = self.idle(entry.last_seen().load());
        (
            control.state().worth(idle, self.timeouts[control.state_index()]),
            idle,
        )
    }

    /// Jiffies since `last_seen`. A stamp from the future (another CPU's, a jiffy ahead) is no time at all.
    #[inline(always)]
    #[must_use]
    pub const fn idle(&self, last_seen: u32) -> u32 {
        let idle = self.stamp().wrapping_sub(last_seen);
        if idle > u32::MAX / 2 { 0 } else { idle }
    }
}

/// A flow to be inserted.
#[derive(Debug, Clone, Copy)]
pub struct NewFlow<K> {
    /// Its name.
    pub key: K,
    /// Its keyed hash.
    pub hash: u64,
    /// Number of its backend.
    pub backend: u32,
    /// Its state.
    pub state: FlowState,
}

/// How an insertion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// The flow is in a place that was free.
    Inserted,
    /// The flow is in the place of another, whose worth is given.
    Evicted(Worth),
    /// Another CPU inserted the same flow first; this is its control word, whose backend counts.
    Existing(Control),
    /// Other CPUs took each chosen place first; the flow is not in the table.
    Contended,
}

/// An entry that may be taken.
struct Candidate<'a, E> {
    entry: &'a E,
    seen: Control,
    /// Position of the entry in both buckets: `0..WAYS` in the first, `WAYS..2 * WAYS` in the second.
    place: usize,
    /// `None` for a free entry.
    worth: Option<Worth>,
}

/// Inserts a flow that [`lookup`] did not find.
///
/// When both buckets are full, the entry of the least [`Worth`] goes, and among equals the one that was silent longest.
#[inline(always)]
pub fn insert<T: Table + ?Sized>(
    table: &T,
    flow: &NewFlow<<T::Entry as Entry>::Key>,
    clock: &Clock<'_>,
) -> Insertion {
    let (first, second) = places(flow.hash, table.mask());
    let (Some(first), Some(second)) = (table.bucket(first), table.bucket(second)) else {
        return Insertion::Contended;
    };
    for _ in 0..ATTEMPTS {
        let Some(candidate) = choose(first, second, clock) else {
            return Insertion::Contended;
        };
        let claimed = candidate.seen.next_life(Phase::Claimed);
        if !candidate
            .entry
            .control()
            .compare_exchange(candidate.seen.bits(), claimed.bits())
        {
            continue;
        }
        return settle(table, first, second, &candidate, claimed, flow, clock);
    }
    Insertion::Contended
}

/// The entry in this place of both buckets. Iterator chains would be nicer, but end in pointer comparisons that the
/// verifier cannot follow.
#[inline(always)]
fn at<'a, E>(first: &'a Bucket<E>, second: &'a Bucket<E>, place: usize) -> &'a E {
    if place < WAYS {
        &first.entries[place % WAYS]
    } else {
        &second.entries[place % WAYS]
    }
}

/// The entry to take: the first free one, or else the cheapest.
#[inline(always)]
fn choose<'a, E: Entry>(
    first: &'a Bucket<E>,
    second: &'a Bucket<E>,
    clock: &Clock<'_>,
) -> Option<Candidate<'a, E>> {
    free(first, 0)
        .or_else(|| free(second, WAYS))
        .or_else(|| cheapest(first, second, clock))
}

#[inline(always)]
fn free<E: Entry>(bucket: &Bucket<E>, place: usize) -> Option<Candidate<'_, E>> {
    for way in 0..WAYS {
        let entry = &bucket.entries[way];
        let seen = entry.state();
        if seen.is_free() {
            return Some(Candidate {
                entry,
                seen,
                place: place + way,
                worth: None,
            });
        }
    }
    None
}

#[inline(always)]
fn cheapest<'a, E: Entry>(
    first: &'a Bucket<E>,
    second: &'a Bucket<E>,
    clock: &Clock<'_>,
) -> Option<Candidate<'a, E>> {
    let mut best: Option<Candidate<'a, E>> = None;
    let mut least = u64::MAX;
    for place in 0..2 * WAYS {
        let entry = at(first, second, place);
        let seen = entry.state();
        if !seen.is_live() {
            continue;
        }
        let (worth, idle) = clock.worth(entry, seen);
        let price = (worth as u64) << 32 | u64::from(u32::MAX - idle);
        if price < least {
            least = price;
            best = Some(Candidate {
                entry,
                seen,
                place,
                worth: Some(worth),
            });
        }
    }
    best
}

/// Fills the claimed entry, and makes it live unless the same flow stands elsewhere.
#[inline(always)]
fn settle<T: Table + ?Sized>(
    table: &T,
    first: &Bucket<T::Entry>,
    second: &Bucket<T::Entry>,
    own: &Candidate<'_, T::Entry>,
    claimed: Control,
    flow: &NewFlow<<T::Entry as Entry>::Key>,
    clock: &Clock<'_>,
) -> Insertion {
    let entry = own.entry;
    entry.set_key(&flow.key);
    entry.last_seen().store(clock.stamp());
    entry.created().store((clock.now >> 8) as u32);
    let pending = claimed
        .with_phase(Phase::Pending)
        .with_flow(flow.backend, flow.state);
    entry.control().exchange(pending.bits());

    for place in 0..2 * WAYS {
        let rival = at(first, second, place);
        if place == own.place {
            continue;
        }
        let before = rival.state();
        // One that is only claimed may still show the key of its previous life. It will look around after us.
        if !before.has_key() || !rival.holds(&flow.key) {
            continue;
        }
        let theirs = rival.state();
        // The version alone tells one life from another: a rival that went live meanwhile is still one.
        if theirs.version() != before.version() {
            continue;
        }
        let lost_to = match theirs.phase() {
            Phase::Free | Phase::Claimed => None,
            Phase::Live => Some(theirs),
            Phase::Pending if place < own.place => Some(theirs),
            Phase::Pending if rival.remove(theirs) => None,
            // It went live, or withdrew, in this very moment.
            Phase::Pending => {
                Some(rival.state()).filter(|now| now.is_live() && now.version() == theirs.version())
            }
        };
        if let Some(winner) = lost_to {
            // Fails only where a rival in a lower place has removed it already.
            entry.remove(pending);
            return Insertion::Existing(winner);
        }
    }

    let live = pending.with_phase(Phase::Live);
    if entry.control().compare_exchange(pending.bits(), live.bits()) {
        return own.worth.map_or(Insertion::Inserted, Insertion::Evicted);
    }
    match lookup(table, &flow.key, flow.hash) {
        Some(hit) => Insertion::Existing(hit.control),
        None => Insertion::Contended,
    }
}
