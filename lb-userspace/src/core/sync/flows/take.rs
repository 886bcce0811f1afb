//! Taking in what another director tells.

use std::{collections::VecDeque, ops::Deref};

use lb_common::{
    flow_state::{FlowState, Worth},
    flow_table::{self, Bucket, Clock, Control, Entry, NewFlow, Snapshot, Table, WAYS, places, prefetch},
    wire::sync::{Record, Rewrite, Stamp, Target},
};

use super::{
    context::{Context, is_half_open},
    digest,
    directory::Resolved,
    half::{Half, SyncKey},
    route::Route,
    shadow::Shadow,
};
use crate::core::sync::replica::{Applied, Moment, Source};

/// Records whose memory is fetched ahead of their turn.
const AHEAD: usize = 12;
/// Times that a change is tried when packets change the same entry.
const ATTEMPTS: usize = 4;
/// A packet that came this much later settles which of two changes of the same moment counts.
const CLEARLY_LATER_MS: u64 = 2_000;
/// Flows that wait until their backend has a number, at most.
const MOST_PARKED: usize = 1 << 14;
/// Removals that are remembered, at most.
const MOST_REMOVED: usize = 1 << 14;

/// A flow whose backend has no number yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parked<K> {
    record: Record<K>,
    target: Target,
    source: Source,
    sent: u64,
}

/// A flow that another director speaks of, and where it goes here.
#[derive(Debug, Clone, Copy)]
pub(super) struct News<K> {
    /// Its target is the backend, also where it is translated.
    pub(super) flow: NewFlow<K>,
    pub(super) route: Route,
    /// How replies look when they reach a director, if it is translated.
    pub(super) reply: Option<K>,
    /// Of the target, in digests.
    identity: u64,
    pub(super) stamp: Stamp,
    /// Milliseconds since its last packet, now.
    idle_ms: u64,
    /// Milliseconds since its first packet, now.
    age_ms: u64,
}

impl<K: SyncKey> News<K> {
    /// What the flow adds to the digest of its leaf.
    pub(super) fn content(&self, context: &Context<'_>) -> u64 {
        let hash = self.flow.key.hashed(context.leaf_seed());
        digest::of_flow(hash, self.identity, self.flow.state as u8, &self.route)
    }
}

impl<E, M, N> Half<E, M, N>
where
    E: Entry,
    E::Key: SyncKey,
    M: Deref<Target = [Bucket<E>]>,
    N: Deref<Target = [Bucket<<E::Key as SyncKey>::Translation>]>,
{
    /// Takes in records whose targets are these. `want` is given those that have no number yet and need one.
    pub(super) fn take_all(
        &mut self,
        mut records: impl Iterator<Item = Record<E::Key>>,
        (targets, source, moment): (&[(Target, Resolved)], Source, Moment),
        applied: &mut Applied,
        mut want: impl FnMut(Target),
        context: &Context<'_>,
    ) {
        // Each is a few cache misses: they overlap with work on those before it.
        let mut coming = std::mem::take(&mut self.coming);
        loop {
            while coming.len() < AHEAD
                && let Some(record) = records.next()
            {
                let hash = record.key.hashed(context.seed());
                self.prefetch(hash);
                coming.push_back((record, hash));
            }
            let Some((record, hash)) = coming.pop_front() else {
                break;
            };
            let target = record.target.and_then(|target| targets.get(usize::from(target)));
            if let Some(homeless) = self.take((&record, hash), target, source, moment, applied, context) {
                want(homeless);
            }
        }
        self.coming = coming;
    }

    /// Takes in one record with this hash; its target, if that has no number yet and needs one.
    #[inline]
    fn take(
        &mut self,
        (record, hash): (&Record<E::Key>, u64),
        target: Option<&(Target, Resolved)>,
        source: Source,
        moment: Moment,
        applied: &mut Applied,
        context: &Context<'_>,
    ) -> Option<Target> {
        let Some((target, resolved)) = target else {
            applied.removed += u64::from(self.remove(&record.key, hash, record.stamp, context));
            return None;
        };
        let (number, class) = match *resolved {
            Resolved::Backend { number, class } => (number, class),
            Resolved::UnknownService => {
                applied.unknown_service += 1;
                return None;
            }
            Resolved::UnknownBackend => {
                applied.waiting += 1;
                self.park(record, target, source, moment);
                return Some(*target);
            }
        };
        let (Some(state), Some(known)) = (
            FlowState::from_number(record.state),
            context.directory.known(number),
        ) else {
            return None;
        };
        if FlowState::is_half_open(record.state.into()) && !known.half_open {
            applied.expired += 1;
            return None;
        }
        let reply = record.key.reply(target, record.pool_port);
        if reply.is_none() && target.rewrite != Rewrite::Nothing {
            // An address of the other family is no translation's.
            return None;
        }
        let under_way = moment.now - moment.sent;
        let news = News {
            flow: NewFlow {
                key: record.key,
                hash,
                target: flow_table::Target::Backend(number),
                state,
                class,
            },
            route: Route {
                number,
                rewrite: target.rewrite,
                // Without a pool it says nothing.
                pool_port: match target.rewrite {
                    Rewrite::Both(_) => record.pool_port,
                    Rewrite::Nothing | Rewrite::Destination => 0,
                },
            },
            reply,
            identity: known.identity,
            stamp: record.stamp,
            idle_ms: record.idle.ms() + under_way,
            age_ms: record.age.ms() + under_way,
        };
        if self.is_removed(&record.key, record.stamp) || context.is_released(known.identity, record.stamp) {
            applied.overruled += 1;
        } else {
            self.enter(&news, source, applied, context);
        }
        None
    }

    fn park(&mut self, record: &Record<E::Key>, target: &Target, source: Source, moment: Moment) {
        if self.parked.len() < MOST_PARKED {
            self.parked.push_back(Parked {
                record: *record,
                target: *target,
                source,
                sent: moment.sent,
            });
        }
    }

    /// Takes in what was waiting for a number.
    pub(super) fn take_parked(&mut self, now: u64, applied: &mut Applied, context: &Context<'_>) {
        for parked in std::mem::take(&mut self.parked) {
            let target = (parked.target, context.directory.resolve(&parked.target));
            let moment = Moment {
                sent: parked.sent.min(now),
                now,
            };
            // Who still has no number asks again when the next record comes.
            self.take(
                (&parked.record, parked.record.key.hashed(context.seed())),
                Some(&target),
                parked.source,
                moment,
                applied,
                context,
            );
        }
    }

    fn enter(&mut self, news: &News<E::Key>, source: Source, applied: &mut Applied, context: &Context<'_>) {
        let before = (applied.new, applied.changed);
        for _ in 0..ATTEMPTS {
            let done = match self.find(&news.flow.key, news.flow.hash) {
                Some((place, control)) => self.change(place, control, news, applied, context),
                None => self.insert(news, source, applied, context),
            };
            if done {
                let differed = before != (applied.new, applied.changed);
                if source == Source::Repair && differed && self.mended.len() < self.most_mended {
                    self.mended.push((news.flow.key, applied.changed > before.1));
                }
                return;
            }
        }
        applied.no_room += 1;
    }

    /// A word on a flow that is known; whether it is done, or packets have changed the entry meanwhile.
    fn change(
        &mut self,
        place: u32,
        control: Control,
        news: &News<E::Key>,
        applied: &mut Applied,
        context: &Context<'_>,
    ) -> bool {
        let Some(flow) = self
            .snapshot(place)
            .filter(|flow| flow.control.same_life(control))
        else {
            return false;
        };
        let shadow = self.shadow(place);
        let own = self.stamp(&flow, shadow, context);
        let goes_there = self.route(&flow.key, flow.control) == Some(news.route);
        let is_same = goes_there && flow.control.state() == news.flow.state;
        let own_idle_ms = context.idle_ms(&flow);
        // What no comparison looks at, a handshake under way, does not compete with what one does.
        let is_mute = is_half_open(flow.control) && !FlowState::is_half_open(news.flow.state as u32);
        let draw = || is_mute || wins_the_draw(news, own_idle_ms, self.content(&flow, context), context);
        let counts = news.stamp.is_after(own) || (news.stamp == own && draw());
        if !counts && !is_same {
            applied.overruled += 1;
            return true;
        }
        let next = if is_same {
            flow.control
        } else {
            let target = if goes_there {
                Ok(flow.control.target())
            } else {
                self.target(news, context)
            };
            match target {
                Ok(target) => flow.control.with_flow(&NewFlow { target, ..news.flow }),
                Err(refused) => {
                    refused.count(applied);
                    return true;
                }
            }
        };
        if let Some(entry) = self.entry(place) {
            if next != flow.control && !entry.change(flow.control, next) {
                return false;
            }
            // A later packet is a later packet, whoever saw it.
            let seen = context.ticks.last_seen(news.idle_ms.min(own_idle_ms));
            if news.idle_ms < own_idle_ms {
                entry.touch(seen);
            }
            self.follow(&flow, next, seen);
        }
        let told = context.ticks.second(context.ticks.last_seen(news.idle_ms));
        let seen = if shadow.is_of(flow.control) {
            later(shadow.seen(), told)
        } else {
            told
        };
        self.set_shadow(place, Shadow::new(next, news.stamp.max(own), seen));
        if is_same {
            applied.known += 1;
        } else {
            applied.changed += 1;
        }
        true
    }

    /// A word on a flow that is not known; whether it is done.
    fn insert(
        &mut self,
        news: &News<E::Key>,
        source: Source,
        applied: &mut Applied,
        context: &Context<'_>,
    ) -> bool {
        let (ticks, clock, flow) = (context.ticks, context.clock(), &news.flow);
        if ticks.jiffies(news.idle_ms) >= context.timeout(flow).into() || flow.state == FlowState::None {
            applied.expired += 1;
            return true;
        }
        if source == Source::Repair && !self.has_room(flow.hash, &clock) {
            applied.no_room += 1;
            return true;
        }
        let target = match self.target(news, context) {
            Ok(target) => target,
            Err(refused) => {
                refused.count(applied);
                return true;
            }
        };
        flow_table::insert(&*self.table, &NewFlow { target, ..*flow }, &clock);
        let Some((place, control)) = self.find(&flow.key, flow.hash) else {
            return false;
        };
        let last_seen = ticks.last_seen(news.idle_ms);
        if let Some(entry) = self.entry(place) {
            entry.touch(last_seen);
            entry.created().store(ticks.created(news.age_ms));
        }
        if let Some(translation) = self.translation(&flow.key, control) {
            translation.entry.touch(last_seen);
        }
        self.set_shadow(place, Shadow::new(control, news.stamp, ticks.second(last_seen)));
        applied.new += 1;
        true
    }

    /// Whether a flow with this hash finds a place without pushing out one that lives.
    fn has_room(&self, hash: u64, clock: &Clock<'_>) -> bool {
        let (first, second) = places(hash, self.table.mask());
        let buckets = [first, second]
            .into_iter()
            .filter_map(|bucket| self.table.get(bucket as usize));
        buckets.flat_map(|bucket| &bucket.entries).any(|entry| {
            let control = entry.state();
            control.is_free() || (control.is_live() && clock.worth(entry, control).0 == Worth::Expired)
        })
    }

    /// The flow was removed by order elsewhere; whether it was here.
    fn remove(&mut self, key: &E::Key, hash: u64, stamp: Stamp, context: &Context<'_>) -> bool {
        remember(&mut self.removed, *key, stamp);
        let Some((place, control)) = self.find(key, hash) else {
            return false;
        };
        let Some(flow) = self.snapshot(place) else {
            return false;
        };
        let own = self.stamp(&flow, self.shadow(place), context);
        !own.is_after(stamp) && self.end(place, key, control)
    }

    /// Removes a flow by order; whether it was here. The others will be told.
    pub(super) fn order_removal(&mut self, key: &E::Key, context: &Context<'_>) -> bool {
        let Some((place, control)) = self.find(key, key.hashed(context.seed())) else {
            return false;
        };
        let Some(flow) = self.snapshot(place) else {
            return false;
        };
        let own = self.stamp(&flow, self.shadow(place), context);
        let stamp = Stamp::at(context.ticks.now_ms).max(own.next());
        let removed = self.end(place, key, control);
        if removed {
            remember(&mut self.removed, *key, stamp);
            remember(&mut self.unsaid, *key, stamp);
        }
        removed
    }

    /// Removes a flow, and its translation after it; whether it was still there.
    pub(super) fn end(&self, place: u32, key: &E::Key, control: Control) -> bool {
        let translation = self.translation(key, control);
        let ended = self.entry(place).is_some_and(|entry| entry.remove(control));
        if let Some(translation) = translation.filter(|_| ended) {
            translation.entry.remove(translation.control);
        }
        ended
    }

    /// What a flow adds to the digest of its leaf.
    pub(super) fn content(&self, flow: &Snapshot<E::Key>, context: &Context<'_>) -> u64 {
        // Of one whose translation is gone, nobody hears.
        let Some(route) = self.route(&flow.key, flow.control) else {
            return 0;
        };
        let known = context.directory.known(route.number);
        let identity = known.map_or(0, |known| known.identity);
        let hash = flow.key.hashed(context.leaf_seed());
        digest::of_flow(hash, identity, flow.control.state_number(), &route)
    }

    /// Whether the flow was removed after this word on it.
    fn is_removed(&self, key: &E::Key, stamp: Stamp) -> bool {
        // Removals are few and seldom.
        self.removed
            .iter()
            .any(|(removed, at)| removed == key && !stamp.is_after(*at))
    }

    /// Has the memory fetched that a flow with this hash will need in a moment.
    fn prefetch(&self, hash: u64) {
        let (first, second) = places(hash, self.table.mask());
        for number in [first, second] {
            if let Some(bucket) = self.table.get(number as usize) {
                prefetch(bucket);
            }
        }
        // Most live in their first bucket.
        if let Some(shadow) = self.shadows.get(first as usize * WAYS) {
            prefetch(shadow);
        }
    }
}

fn remember<K>(removals: &mut VecDeque<(K, Stamp)>, key: K, stamp: Stamp) {
    if removals.len() >= MOST_REMOVED {
        removals.pop_front();
    }
    removals.push_back((key, stamp));
}

/// The later of two seconds.
fn later(a: u16, b: u16) -> u16 {
    if b.wrapping_sub(a) < u16::MAX / 2 { b } else { a }
}

/// Of two words of the same moment, that of the director counts whose packets are clearly later; else one of them, and
/// the same on both sides.
fn wins_the_draw<K: SyncKey>(news: &News<K>, own_idle_ms: u64, own: u64, context: &Context<'_>) -> bool {
    if news.idle_ms + CLEARLY_LATER_MS < own_idle_ms {
        return true;
    }
    if own_idle_ms + CLEARLY_LATER_MS < news.idle_ms {
        return false;
    }
    news.content(context) > own
}
