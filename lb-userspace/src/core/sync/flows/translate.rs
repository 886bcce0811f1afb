//! Translations of flows that other directors tell of.
//!
//! The other director gave out the address and port that replies come to, so here they are free, or held by a flow of which
//! this one has not heard that it is over.

use std::ops::Deref;

use lb_common::flow_table::{
    Bucket, Control, Entry, Hit, Insertion, NewFlow, Origin, Snapshot, Target, Translation, TranslationEntry,
    insert_sparing, lookup, translation_at,
};

use super::{
    context::Context,
    half::{Half, SyncKey},
    take::News,
};
use crate::core::sync::replica::Applied;

/// Times that a translation is looked for while packets change the same entries.
const ATTEMPTS: usize = 3;
/// Units of creation (256 jiffies) after which a translation must have a flow: packets enter the flow right after it.
const SETTLED: u32 = 2;

/// Why a flow gets no translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The tuple of its replies is that of a flow that counts.
    Taken,
    /// There is no room.
    NoRoom,
}

impl Refused {
    pub(super) fn count(self, applied: &mut Applied) {
        match self {
            Self::Taken => applied.overruled += 1,
            Self::NoRoom => applied.no_room += 1,
        }
    }
}

impl<E, M, N> Half<E, M, N>
where
    E: Entry,
    E::Key: SyncKey,
    M: Deref<Target = [Bucket<E>]>,
    N: Deref<Target = [Bucket<<E::Key as SyncKey>::Translation>]>,
{
    /// The translation of the flow with this name and control word, if it has one.
    pub(super) fn translation(
        &self,
        key: &E::Key,
        control: Control,
    ) -> Option<Hit<'_, <E::Key as SyncKey>::Translation>> {
        match control.target() {
            Target::Backend(_) => None,
            Target::Translation(place) => translation_at(&*self.translations, place, key),
        }
    }

    /// What stands in the entry of the flow that is told of; of one that is translated, the place of its translation, which
    /// is entered before.
    pub(super) fn target(&self, news: &News<E::Key>, context: &Context<'_>) -> Result<Target, Refused> {
        let Some(reply) = news.reply else {
            return Ok(news.flow.target);
        };
        let key = Translation {
            reply,
            original: news.flow.key,
            // Until the client's next packet shows where it comes from, replies go by the kernel's routes.
            origin: Origin::default(),
        };
        let hash = reply.hashed(context.seed());
        let bid = NewFlow {
            key,
            hash,
            target: news.flow.target,
            state: news.flow.state,
            class: news.flow.class,
        };
        for _ in 0..ATTEMPTS {
            let ended = insert_sparing(&*self.translations, &bid, &context.clock());
            let Some(hit) = lookup(&*self.translations, &key, hash) else {
                if ended == Insertion::Contended {
                    return Err(Refused::NoRoom);
                }
                continue;
            };
            let (place, control) = (hit.place, hit.control);
            if !hit.entry.is_of(&news.flow.key) {
                self.displace(&hit, news, context)?;
            } else if control.backend() == Some(news.route.number)
                || hit.entry.change(control, control.with_flow(&bid))
            {
                return Ok(Target::Translation(place));
            }
        }
        Err(Refused::Taken)
    }

    /// Takes the translation from the flow that has it, if the news count for more: theirs is the later word on who gets
    /// these replies.
    fn displace(
        &self,
        hit: &Hit<'_, <E::Key as SyncKey>::Translation>,
        news: &News<E::Key>,
        context: &Context<'_>,
    ) -> Result<(), Refused> {
        let Some(held) = hit.entry.snapshot() else {
            return Ok(());
        };
        let holder = held.key.original;
        let living = self
            .find(&holder, holder.hashed(context.seed()))
            .filter(|(_, control)| control.target() == Target::Translation(hit.place));
        let Some((place, control)) = living else {
            // Its flow gave up its place, or is being entered.
            let age = ((context.clock().now >> 8) as u32).wrapping_sub(held.created);
            if !(SETTLED..=u32::MAX / 2).contains(&age) {
                return Err(Refused::Taken);
            }
            hit.entry.remove(hit.control);
            return Ok(());
        };
        if let Some(flow) = self.snapshot(place) {
            let own = self.stamp(&flow, self.shadow(place), context);
            let counts = news.stamp.is_after(own)
                || (news.stamp == own && news.content(context) > self.content(&flow, context));
            if !counts {
                return Err(Refused::Taken);
            }
            self.end(place, &holder, control);
        }
        Ok(())
    }

    /// The flow that was `before` has this control word now, and a packet at that time: so has its translation. One that it
    /// has no more goes.
    pub(super) fn follow(&self, before: &Snapshot<E::Key>, now: Control, seen: u32) {
        if now.target() != before.control.target()
            && let Some(old) = self.translation(&before.key, before.control)
        {
            old.entry.remove(old.control);
        }
        if let Some(new) = self.translation(&before.key, now) {
            new.entry.touch(seen);
            if new.control.state_number() != now.state_number() {
                // A reply that changes it at this moment has the last word.
                new.entry
                    .change(new.control, new.control.with_state_number(now.state_number()));
            }
        }
    }
}
