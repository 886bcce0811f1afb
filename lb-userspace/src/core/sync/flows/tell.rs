//! Telling the others what they do not know, and giving them what they ask for.

use std::ops::Deref;

use lb_common::{
    flow_table::{Bucket, Entry, Snapshot},
    wire::sync::{BlockBuilder, Full, Record, Span, Stamp, Target},
};

use super::{
    context::{Context, is_half_open, is_worth_telling},
    half::{Half, SyncKey},
    shadow::Shadow,
};

impl<E, M, N> Half<E, M, N>
where
    E: Entry,
    E::Key: SyncKey,
    M: Deref<Target = [Bucket<E>]>,
    N: Deref<Target = [Bucket<<E::Key as SyncKey>::Translation>]>,
{
    /// Adds the flow at `place` to `block`, if there is something about it that the others do not know.
    pub(super) fn tell(
        &mut self,
        place: u32,
        block: &mut BlockBuilder,
        context: &Context<'_>,
    ) -> Result<(), Full> {
        let Some(flow) = self.snapshot(place).filter(|flow| self.is_told(flow, context)) else {
            return Ok(());
        };
        let shadow = self.shadow(place);
        let stamp = self.stamp(&flow, shadow, context);
        let is_news = !shadow.is_of(flow.control)
            || !shadow.has_state_of(flow.control)
            || context.is_to_be_refreshed(&flow, shadow);
        if is_news {
            self.push(&flow, stamp, block, context)?;
            let seen = context.ticks.second(flow.last_seen);
            self.set_shadow(place, Shadow::new(flow.control, stamp, seen));
        }
        Ok(())
    }

    /// Whether the others are told of a flow in its present state.
    fn is_told(&self, flow: &Snapshot<E::Key>, context: &Context<'_>) -> bool {
        if !is_half_open(flow.control) {
            return is_worth_telling(flow.control);
        }
        let known = self
            .route(&flow.key, flow.control)
            .and_then(|route| context.directory.known(route.number));
        known.is_some_and(|known| known.half_open)
    }

    /// Adds the flow at `place` to `block`, whether the others know it or not.
    pub(super) fn give(
        &self,
        place: u32,
        block: &mut BlockBuilder,
        context: &Context<'_>,
    ) -> Result<(), Full> {
        let flow = self.snapshot(place).filter(|flow| is_worth_telling(flow.control));
        let Some(flow) = flow.filter(|flow| !context.is_expiring(flow)) else {
            return Ok(());
        };
        let stamp = self.stamp(&flow, self.shadow(place), context);
        self.push(&flow, stamp, block, context)
    }

    fn push(
        &self,
        flow: &Snapshot<E::Key>,
        stamp: Stamp,
        block: &mut BlockBuilder,
        context: &Context<'_>,
    ) -> Result<(), Full> {
        let Some(route) = self.route(&flow.key, flow.control) else {
            return Ok(());
        };
        let Some(known) = context.directory.known(route.number) else {
            return Ok(());
        };
        let record = Record {
            key: flow.key,
            target: None,
            state: flow.control.state_number(),
            stamp,
            idle: Span::of_ms(context.idle_ms(flow)),
            age: Span::of_ms(context.ticks.age_ms(flow.created)),
            pool_port: route.pool_port,
        };
        let target = Target {
            rewrite: route.rewrite,
            ..known.target
        };
        E::Key::push(block, &record, Some((route.number, &target)))
    }

    /// Adds the removals that the others have not been told of.
    pub(super) fn tell_removals(&mut self, block: &mut BlockBuilder) -> Result<(), Full> {
        while let Some(&(key, stamp)) = self.unsaid.front() {
            let gone = Record {
                key,
                target: None,
                state: 0,
                stamp,
                idle: Span::default(),
                age: Span::default(),
                pool_port: 0,
            };
            E::Key::push(block, &gone, None)?;
            self.unsaid.pop_front();
        }
        Ok(())
    }
}
