//! Walking over a table: what do the others not know, and what is in each leaf?

use std::ops::Deref;

use lb_common::{
    flow_table::{Bucket, Entry, Snapshot, WAYS},
    wire::sync::{Digest, Stamp},
};

use super::{
    context::{Context, is_worth_telling},
    digest,
    half::{END, Half, Met, SyncKey},
    shadow::Shadow,
};

/// What a walk does with a flow that the others do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Tells them.
    Tell,
    /// Leaves it to the comparison: nearly all may be known to them.
    Adopt,
}

/// What a survey finds.
#[derive(Debug)]
pub(super) struct Findings<'a, F> {
    /// Flows that changed after this are left out of the digests.
    pub(super) cutoff: Stamp,
    pub(super) unknown: Unknown,
    /// By leaf.
    pub(super) digests: &'a mut [Digest],
    /// Takes the place of a flow that the others are to be told of.
    pub(super) tell: F,
}

impl<E, M, N> Half<E, M, N>
where
    E: Entry,
    E::Key: SyncKey,
    M: Deref<Target = [Bucket<E>]>,
    N: Deref<Target = [Bucket<<E::Key as SyncKey>::Translation>]>,
{
    pub(super) fn begin_survey(&mut self) {
        self.heads.fill(END);
        self.walked = 0;
        self.counted = Met::default();
    }

    /// Walks over up to `buckets` buckets; whether the end was reached.
    pub(super) fn walk(
        &mut self,
        buckets: usize,
        findings: &mut Findings<'_, impl FnMut(u32)>,
        context: &Context<'_>,
    ) -> bool {
        let end = (self.walked + buckets).min(self.table.len());
        for bucket in self.walked..end {
            for way in 0..WAYS {
                let flow = self.table[bucket].entries[way].snapshot();
                if let Some(flow) = flow.filter(|flow| is_worth_telling(flow.control)) {
                    self.meet((bucket * WAYS + way) as u32, &flow, findings, context);
                }
            }
        }
        self.walked = end;
        let is_done = end == self.table.len();
        if is_done {
            self.flows = self.counted;
        }
        is_done
    }

    fn meet(
        &mut self,
        place: u32,
        flow: &Snapshot<E::Key>,
        findings: &mut Findings<'_, impl FnMut(u32)>,
        context: &Context<'_>,
    ) {
        let Some(route) = self.route(&flow.key, flow.control) else {
            return;
        };
        let Some(known) = context.directory.known(route.number) else {
            self.counted.untold += 1;
            return;
        };
        self.counted.told += 1;
        let shadow = self.shadow(place);
        let stamp = self.stamp(flow, shadow, context);
        let is_told = shadow.is_of(flow.control) && shadow.has_state_of(flow.control);
        if !is_told && findings.unknown == Unknown::Adopt {
            let seen = context.ticks.second(flow.last_seen);
            self.set_shadow(place, Shadow::new(flow.control, stamp, seen));
        } else if !is_told || context.is_to_be_refreshed(flow, shadow) {
            (findings.tell)(place);
        }
        let hash = flow.key.hashed(context.leaf_seed());
        let leaf = usize::from(digest::leaf(hash, context.facts.leaf_bits));
        self.next[place as usize] = self.heads[leaf];
        self.heads[leaf] = place;
        if known.in_scope && !stamp.is_after(findings.cutoff) && !context.is_expiring(flow) {
            let digest = &mut findings.digests[leaf];
            let own = digest::of_flow(hash, known.identity, flow.control.state_number(), &route);
            digest.sum = digest.sum.wrapping_add(own);
            digest.count += 1;
        }
    }

    /// The places that the last survey found in a leaf.
    pub(super) fn leaf(&self, leaf: u16) -> impl Iterator<Item = u32> + '_ {
        let mut place = self.heads.get(usize::from(leaf)).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let here = place;
            place = *self.next.get(here as usize)?;
            Some(here)
        })
    }
}
