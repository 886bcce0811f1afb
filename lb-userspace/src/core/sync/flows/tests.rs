use super::*;

impl<M4, N4, M6, N6, J, T> FlowReplica<M4, N4, M6, N6, J, T>
where
    M4: Deref<Target = [Bucket<Entry4>]>,
    N4: Deref<Target = [Bucket<Translation4>]>,
    M6: Deref<Target = [Bucket<Entry6>]>,
    N6: Deref<Target = [Bucket<Translation6>]>,
    J: Deref<Target = [JournalRing]>,
    T: Deref<Target = TimeoutTable>,
{
    /// What is known of an IPv4 flow, for a test that failed.
    pub(in crate::core::sync) fn describe(&self, key: &lb_common::packet::FlowKey4, now: u64) -> String {
        let context = self.common.context(now);
        let Some((place, control)) = self.four.find(key, key.hash(&context.facts.seed)) else {
            return "unknown".into();
        };
        let shadow = self.four.shadow(place);
        let Some(flow) = self.four.snapshot(place) else {
            return "changing".into();
        };
        format!(
            "{:?} {:?} {} stamp {:?} (known {} of it {} state {}) idle {} ms, now {now}",
            self.four.route(key, control),
            control.state(),
            control.version(),
            self.four.stamp(&flow, shadow, &context),
            shadow.is_known(),
            shadow.is_of(control),
            shadow.has_state_of(control),
            context.idle_ms(&flow),
        )
    }
}
