//! Putting a flow into the table.

use super::{Bucket, Control, Entry, Phase, Table, Target, WAYS, lookup, places};
use crate::{
    abi::TimeoutTable,
    flow_state::{FlowState, Worth},
    verifier::{blur, forget},
};

/// Entries that are tried before an insertion is given up: another CPU may claim the chosen one first.
const ATTEMPTS: usize = 2;

/// The time, and how long flows live.
#[derive(Debug, Clone, Copy)]
pub struct Clock<'a> {
    /// Jiffies.
    pub now: u64,
    /// Timeouts by class and state.
    pub timeouts: &'a TimeoutTable,
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
        let state = control.state_index() as u32;
        (
            FlowState::worth_of_number(state, idle, self.timeouts.of(control)),
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
    /// Where its packets go.
    pub target: Target,
    /// Its state.
    pub state: FlowState,
    /// Its timeout class, below [`TIMEOUT_CLASSES`](crate::abi::TIMEOUT_CLASSES).
    pub class: u8,
}

/// How an insertion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// The flow is in a place that was free.
    Inserted,
    /// The flow is in the place of another: what that was worth, and its control word.
    Evicted(Worth, Control),
    /// Another CPU inserted the same flow first; this is its control word, whose target counts.
    Existing(Control),
    /// Other CPUs took each chosen place first; the flow is not in the table.
    Contended,
}

/// A place that may be taken, and what it costs, in a number that is less the less the place costs: what the flow in it is
/// worth (bits 35..38; [`FREE`], or one more than the number of its [`Worth`]), how recently it was seen (3..35), and the
/// place itself in both buckets (0..3): `0..WAYS` in the first, `WAYS..2 * WAYS` in the second.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Offer(u64);

const FREE: u64 = 0;
const PLACE_MASK: u64 = 2 * WAYS as u64 - 1;

impl Offer {
    /// More than anybody can pay.
    const NONE: Self = Self(u64::MAX);

    const fn new(worth: u64, idle: u32, place: usize) -> Self {
        Self(worth << 35 | ((u32::MAX - idle) as u64) << 3 | place as u64)
    }

    const fn worth(self) -> usize {
        (self.0 >> 35) as usize & 7
    }

    const fn place(self) -> usize {
        (self.0 & PLACE_MASK) as usize
    }
}

/// Which places of both buckets are free: a hexadecimal digit each, 1 or 0, those of the first bucket in the lower half.
/// Arithmetic all through, since each condition here would double what the verifier has to look at.
///
/// A flow goes into its first bucket, where each of its packets finds it with one miss of the cache, until that has a
/// single place left: then into the second, if that is emptier. In a table half full 0.03 % of all flows then meet two full
/// buckets, instead of 0.4 %, and a tenth of them lies in its second bucket.
#[derive(Clone, Copy)]
struct FreePlaces(u32);

impl FreePlaces {
    const DIGIT: u32 = u32::BITS / (2 * WAYS as u32);
    const BUCKET: u32 = Self::DIGIT * WAYS as u32;
    /// A 1 in each place of one bucket.
    const ONES: u32 = 0x1111;

    #[inline(always)]
    fn of<E: Entry>(first: &Bucket<E>, second: &Bucket<E>) -> Self {
        let mut phases = 0;
        for place in 0..2 * WAYS {
            phases |= at(first, second, place).state().phase_bits() << (Self::DIGIT * place as u32);
        }
        let all = Self::ONES << Self::BUCKET | Self::ONES;
        Self(!(phases | phases >> 1) & all)
    }

    const fn any(self) -> bool {
        self.0 != 0
    }

    /// Of the places of one bucket, how many are free.
    #[inline(always)]
    const fn count(ones: u32) -> u32 {
        ones.wrapping_mul(Self::ONES) >> (Self::BUCKET - Self::DIGIT) & 7
    }

    /// Of the places of one bucket, the first that is free.
    #[inline(always)]
    const fn lowest(ones: u32) -> u32 {
        Self::count((ones & ones.wrapping_neg()).wrapping_sub(1) & Self::ONES)
    }

    /// The place to take, if there is [`any`](Self::any).
    #[inline(always)]
    const fn best(self) -> u32 {
        let (first, second) = (self.0 & Self::ONES, self.0 >> Self::BUCKET);
        let left = Self::count(first);
        if left < 2 && Self::count(second) > left {
            WAYS as u32 + Self::lowest(second)
        } else {
            Self::lowest(first)
        }
    }

    /// The place to take, if there is [`any`](Self::any), and its control word. Where another CPU takes it meanwhile, it is
    /// not the one that is found there.
    #[inline(always)]
    fn offer<E: Entry>(self, buckets: (&Bucket<E>, &Bucket<E>), noise: u64) -> (Offer, Control) {
        let place = self.best() as usize;
        let seen = chosen(buckets, place, noise).state().with_phase(Phase::Free);
        (Offer::new(FREE, 0, place), seen)
    }
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
    insert_evicting::<T, EVERYBODY>(table, flow, clock)
}

/// [`insert`], but no entry goes that has not expired; rather the flow is not inserted ([`Insertion::Contended`]).
#[inline(always)]
pub fn insert_sparing<T: Table + ?Sized>(
    table: &T,
    flow: &NewFlow<<T::Entry as Entry>::Key>,
    clock: &Clock<'_>,
) -> Insertion {
    insert_evicting::<T, { Worth::Expired as u32 }>(table, flow, clock)
}

/// Every [`Worth`].
const EVERYBODY: u32 = u32::MAX;

/// Evicts nobody who is worth more than `DEAREST`.
#[inline(always)]
fn insert_evicting<T: Table + ?Sized, const DEAREST: u32>(
    table: &T,
    flow: &NewFlow<<T::Entry as Entry>::Key>,
    clock: &Clock<'_>,
) -> Insertion {
    let (first, second) = places(flow.hash, table.mask());
    let (Some(first), Some(second)) = (table.bucket(first), table.bucket(second)) else {
        return Insertion::Contended;
    };
    for _ in 0..ATTEMPTS {
        let free = FreePlaces::of(first, second);
        let (offer, seen) = if free.any() {
            free.offer((first, second), flow.hash)
        } else {
            best_offer::<_, DEAREST>((first, second), flow.hash, clock)
        };
        // Which of the eight it is, and why, must not multiply what comes after.
        let offer = Offer(blur(offer.0, flow.hash));
        let seen = Control::from_bits(blur(seen.bits(), flow.hash));
        if offer == Offer::NONE {
            return Insertion::Contended;
        }
        let entry = chosen((first, second), offer.place(), flow.hash);
        let claimed = seen.next_life(Phase::Claimed);
        if !entry.control().compare_exchange(seen.bits(), claimed.bits()) {
            continue;
        }
        let ended = settle(
            table,
            (first, second),
            (entry, offer.place()),
            claimed,
            flow,
            clock,
        );
        return match (ended, Worth::ALL.get(offer.worth().wrapping_sub(1))) {
            (Insertion::Inserted, Some(&worth)) => Insertion::Evicted(worth, seen),
            (ended, _) => ended,
        };
    }
    Insertion::Contended
}

/// Puts an entry into the flow's first bucket, where nobody minds if one is lost or stands twice: into a free place, or that of
/// whoever was silent longest. `now` is in jiffies.
#[inline(always)]
pub fn put<T: Table + ?Sized>(table: &T, flow: &NewFlow<<T::Entry as Entry>::Key>, now: u64) {
    let Some(bucket) = table.bucket(places(flow.hash, table.mask()).0) else {
        return;
    };
    // How long it was silent, and which of the four it is, in one number.
    let mut best = 0;
    for (way, entry) in (0_u64..).zip(&bucket.entries) {
        let idle = if entry.state().is_free() {
            u32::MAX
        } else {
            (now as u32).wrapping_sub(entry.last_seen().load())
        };
        let offer = u64::from(idle) << 2 | way;
        best = blur(if offer > best { offer } else { best }, flow.hash);
    }
    let entry =
        &bucket.entries[forget::<{ WAYS as u64 - 1 }>(best as usize & (WAYS - 1), flow.hash as u32) % WAYS];
    let seen = entry.state();
    let claimed = seen.next_life(Phase::Claimed);
    if !(seen.is_free() || seen.is_live()) || !entry.control().compare_exchange(seen.bits(), claimed.bits()) {
        return;
    }
    entry.set_key(&flow.key);
    entry.last_seen().store(now as u32);
    entry.created().store((now >> 8) as u32);
    entry
        .control()
        .exchange(claimed.with_phase(Phase::Live).with_flow(flow).bits());
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

/// [`at`] for a place that was computed.
#[inline(always)]
fn chosen<'a, E>((first, second): (&'a Bucket<E>, &'a Bucket<E>), place: usize, noise: u64) -> &'a E {
    let bucket = if place < WAYS { first } else { second };
    &bucket.entries[forget::<{ WAYS as u64 - 1 }>(place % WAYS, noise as u32) % WAYS]
}

/// The cheapest place among those that are taken, and its control word.
#[inline(always)]
fn best_offer<E: Entry, const DEAREST: u32>(
    (first, second): (&Bucket<E>, &Bucket<E>),
    noise: u64,
    clock: &Clock<'_>,
) -> (Offer, Control) {
    // Which of the eight it is, and why, must not multiply what comes after.
    let blurred = |offer: Offer| Offer(blur(offer.0, noise));
    let (mut best, mut best_seen) = (Offer::NONE, Control::default());
    for place in 0..2 * WAYS {
        let entry = at(first, second, place);
        let seen = entry.state();
        if !seen.is_live() {
            continue;
        }
        let (worth, idle) = clock.worth(entry, seen);
        if DEAREST != EVERYBODY && worth as u32 > DEAREST {
            continue;
        }
        let offer = blurred(Offer::new(1 + worth as u64, idle, place));
        if offer.0 < best.0 {
            (best, best_seen) = (offer, seen);
        }
        best = blurred(best);
    }
    (best, best_seen)
}

/// Fills the claimed entry, which is in place `own` of both buckets, and makes it live unless the same flow stands
/// elsewhere.
#[inline(always)]
fn settle<T: Table + ?Sized>(
    table: &T,
    (first, second): (&Bucket<T::Entry>, &Bucket<T::Entry>),
    (entry, own): (&T::Entry, usize),
    claimed: Control,
    flow: &NewFlow<<T::Entry as Entry>::Key>,
    clock: &Clock<'_>,
) -> Insertion {
    entry.set_key(&flow.key);
    entry.last_seen().store(clock.stamp());
    entry.created().store((clock.now >> 8) as u32);
    let pending = claimed.with_phase(Phase::Pending).with_flow(flow);
    entry.control().exchange(pending.bits());

    for place in 0..2 * WAYS {
        let rival = at(first, second, place);
        if place == own {
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
            Phase::Pending if place < own => Some(theirs),
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
        return Insertion::Inserted;
    }
    match lookup(table, &flow.key, flow.hash) {
        Some(hit) => Insertion::Existing(hit.control),
        None => Insertion::Contended,
    }
}
