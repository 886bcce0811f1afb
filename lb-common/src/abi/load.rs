//! How busy backends are: live counts, for schedulers that go by them and for thresholds.
//!
//! Counts follow the flow table: whoever wins the compare-exchange that enters, changes or removes a flow changes the count.
//! So they are exact on any number of CPUs, but for flows that others enter or remove without counting; the daemon's census
//! makes up for those.

use crate::{flow_state::Standing, flow_table::HalfWord};

/// The load of one backend: half a cache line.
#[derive(Debug, Default)]
#[repr(C, align(32))]
pub struct BackendLoad {
    /// Flows with traffic. A signed number: it may be below zero for a moment.
    active: HalfWord,
    /// Flows that are over, but not forgotten; signed, too.
    inactive: HalfWord,
    /// Share of new flows relative to the other backends; 0 takes none.
    weight: HalfWord,
    /// Flows from which on it is full; 0: it never is.
    upper: HalfWord,
    /// Flows below which it is not full any more; 0: three quarters of `upper`.
    lower: HalfWord,
    /// Whether its flows are to be counted.
    counted: HalfWord,
    /// Whether it is full: reached `upper`, and not yet come below `lower`.
    full: HalfWord,
    /// Whether clients that have it keep it for flows to come.
    kept: HalfWord,
}

const _: () = assert!(size_of::<BackendLoad>() == 32);

/// What the daemon says of a backend's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadLimits {
    /// Share of new flows relative to the other backends; 0 takes none.
    pub weight: u32,
    /// Flows from which on it is full; 0: it never is.
    pub upper: u32,
    /// Flows below which it is not full any more; 0: three quarters of `upper`.
    pub lower: u32,
    /// Whether its flows are to be counted.
    pub counted: bool,
    /// Whether clients that have it keep it for flows to come.
    pub kept: bool,
}

/// Flows of a backend at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LoadCount {
    /// Flows with traffic.
    pub active: u32,
    /// Flows that are over, but not forgotten.
    pub inactive: u32,
}

impl BackendLoad {
    /// A flow in the state of this number was entered.
    #[inline(always)]
    pub fn entered(&self, state: u32) {
        self.count(state, 1);
    }

    /// A flow in the state of this number was removed.
    #[inline(always)]
    pub fn left(&self, state: u32) {
        self.count(state, -1);
    }

    /// A flow went from one state to another.
    #[inline(always)]
    pub fn moved(&self, from: u32, to: u32) {
        if Standing::of_number(from) != Standing::of_number(to) {
            self.count(from, -1);
            self.count(to, 1);
        }
    }

    #[inline(always)]
    fn count(&self, state: u32, change: i32) {
        if self.counted.load() == 0 {
            return;
        }
        match Standing::of_number(state) {
            Standing::Active => self.active.add(change),
            Standing::Inactive => self.inactive.add(change),
            Standing::Apart => return,
        }
        if self.upper.load() != 0 {
            self.judge();
        }
    }

    /// Notes whether the backend is full. CPUs that come here at the same moment may disagree by the flow that each of them
    /// saw; the next change sets it right.
    #[inline(always)]
    fn judge(&self) {
        let LoadCount { active, inactive } = self.counts();
        let (flows, upper, lower) = (active + inactive, self.upper.load(), self.lower.load());
        let lower = if lower == 0 {
            upper / 4 * 3 + upper % 4 * 3 / 4
        } else {
            lower
        };
        let full = u32::from(if self.full.load() == 0 {
            upper != 0 && flows >= upper
        } else {
            upper != 0 && (flows >= lower || flows >= upper)
        });
        if self.full.load() != full {
            self.full.store(full);
        }
    }

    /// The counts.
    #[inline(always)]
    #[must_use]
    pub fn counts(&self) -> LoadCount {
        // Half of the range is out of reach for a count, so what is there is below zero.
        let natural = |count: u32| if count > i32::MAX as u32 { 0 } else { count };
        LoadCount {
            active: natural(self.active.load()),
            inactive: natural(self.inactive.load()),
        }
    }

    /// Share of new flows relative to the other backends; 0 takes none.
    #[inline(always)]
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight.load()
    }

    /// Whether clients that have it keep it for flows to come.
    #[inline(always)]
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept.load() != 0
    }

    /// Whether it has more to do than its weight says that it should (`is_overloaded` of `ip_vs_lblc.c`).
    #[inline(always)]
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is_full() || self.counts().active > self.weight()
    }

    /// Whether it has not half as much to do as its weight says that it could.
    #[inline(always)]
    #[must_use]
    pub fn is_slack(&self) -> bool {
        !self.is_full() && self.counts().active.saturating_mul(2) < self.weight()
    }

    /// Whether the backend has as many flows as it may have.
    #[inline(always)]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full.load() != 0
    }
}

/// Writing; by the daemon alone.
#[cfg(not(target_arch = "bpf"))]
impl BackendLoad {
    /// Sets what goes by a configuration; the counts stay.
    pub fn set_limits(&self, limits: &LoadLimits) {
        self.weight.store(limits.weight);
        self.lower.store(limits.lower);
        self.upper.store(limits.upper);
        self.counted.store(limits.counted.into());
        self.kept.store(limits.kept.into());
        self.judge();
    }

    /// What [`Self::set_limits`] set.
    #[must_use]
    pub fn limits(&self) -> LoadLimits {
        LoadLimits {
            weight: self.weight.load(),
            upper: self.upper.load(),
            lower: self.lower.load(),
            counted: self.counted.load() != 0,
            kept: self.is_kept(),
        }
    }

    /// Changes the counts by so many flows that were counted wrongly.
    pub fn correct(&self, active: i32, inactive: i32) {
        self.active.add(active);
        self.inactive.add(inactive);
        self.judge();
    }

    /// Makes the entry that of a backend of which nothing is known.
    pub fn clear(&self) {
        self.set_limits(&LoadLimits::default());
        self.active.store(0);
        self.inactive.store(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_state::FlowState::*;

    fn counted(upper: u32, lower: u32) -> BackendLoad {
        let load = BackendLoad::default();
        load.set_limits(&LoadLimits {
            weight: 1,
            upper,
            lower,
            counted: true,
            kept: false,
        });
        load
    }

    fn enter(load: &BackendLoad, flows: u32) {
        (0..flows).for_each(|_| load.entered(SynRecv as u32));
    }

    fn leave(load: &BackendLoad, flows: u32) {
        (0..flows).for_each(|_| load.left(Close as u32));
    }

    #[test]
    fn a_flow_is_counted_once_whatever_becomes_of_it() {
        let load = counted(0, 0);
        let counts = |active, inactive| LoadCount { active, inactive };
        load.entered(SynRecv as u32);
        load.entered(Template as u32);
        assert_eq!(load.counts(), counts(1, 0));
        load.moved(SynRecv as u32, Established as u32);
        assert_eq!(load.counts(), counts(1, 0));
        load.moved(Established as u32, FinWait as u32);
        assert_eq!(load.counts(), counts(0, 1));
        load.moved(FinWait as u32, SynRecv as u32);
        load.moved(SynRecv as u32, Close as u32);
        load.left(Close as u32);
        load.left(Template as u32);
        assert_eq!(load.counts(), counts(0, 0));
        load.left(Udp as u32);
        assert_eq!(
            load.counts(),
            counts(0, 0),
            "a count that was forgotten is no huge number"
        );
        load.correct(3, 1);
        assert_eq!(load.counts(), counts(2, 1));
    }

    #[test]
    fn nobody_counts_what_nobody_asks_for() {
        let load = BackendLoad::default();
        load.entered(SynRecv as u32);
        load.left(Close as u32);
        assert_eq!(load.counts(), LoadCount::default());
    }

    #[test]
    fn full_from_the_upper_threshold_until_below_the_lower() {
        let load = counted(4, 2);
        enter(&load, 3);
        assert!(!load.is_full());
        enter(&load, 1);
        assert!(load.is_full());
        // Flows that are over count as well.
        load.moved(SynRecv as u32, Close as u32);
        assert!(load.is_full());
        load.left(Close as u32);
        load.left(SynRecv as u32);
        assert!(load.is_full(), "two, and not below two");
        load.left(SynRecv as u32);
        assert!(!load.is_full());
    }

    #[test]
    fn without_a_lower_threshold_three_quarters_will_do() {
        let load = counted(8, 0);
        enter(&load, 8);
        (0..8).for_each(|_| load.moved(SynRecv as u32, Close as u32));
        leave(&load, 2);
        assert!(load.is_full(), "six of eight");
        leave(&load, 1);
        assert!(!load.is_full(), "five of eight");
    }

    #[test]
    fn a_change_of_thresholds_counts_at_once() {
        let load = counted(0, 0);
        enter(&load, 5);
        assert!(!load.is_full());
        let mut limits = load.limits();
        limits.upper = 5;
        load.set_limits(&limits);
        assert!(load.is_full());
        limits.upper = 0;
        load.set_limits(&limits);
        assert!(!load.is_full());
    }
}
