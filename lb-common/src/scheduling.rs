//! How backends are chosen for new flows: what the schedulers have in common, and what they compare.
//!
//! Definitions are those of IPVS (`net/netfilter/ipvs/ip_vs_*.c`); each has its paragraph in `docs/scheduling.md`. A
//! schedule is a list of slots that hold numbers of backends; what the list is, the daemon decides
//! (`lb_userspace::core::schedule`), and where in it the choice falls is decided here.

use crate::{
    abi::{BackendLoad, LoadCount, NO_BACKEND},
    verifier::blur,
};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal,)+) => {
        /// How a service chooses. The numbers are part of the ABI.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[repr(u8)]
        pub enum Choice {
            $($(#[$doc])* $kind = $number,)+
        }

        impl Choice {
            /// Every way to choose, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The one with this number; an unknown number is a table's.
            #[inline(always)]
            #[must_use]
            pub const fn from_number(number: u8) -> Self {
                match number {
                    $($number => Self::$kind,)+
                    _ => Self::Hash,
                }
            }
        }
    };
}

kinds! {
    /// By a hash of the flow: `maglev`, `sh`, `dh`.
    #[default]
    Hash = 0,
    /// One after the other: `rr`, `wrr`.
    Turn = 1,
    /// The first of the list that may be taken: `fo`.
    First = 2,
    /// The first of the list that has no more active flows than its weight: `ovf`.
    Spill = 3,
    /// The less busy of two that are drawn at random: `twos`.
    TwoDraws = 4,
    /// The least busy: `lc`.
    Least = 5,
    /// The least busy for its weight: `wlc`.
    WeightedLeast = 6,
    /// The one with the shortest expected delay: `sed`.
    ShortestDelay = 7,
    /// One that is idle, or else that with the shortest expected delay: `nq`.
    NeverQueue = 8,
}

impl Choice {
    /// Whether it goes by live counts.
    #[must_use]
    pub const fn counts(self) -> bool {
        match self {
            Self::Hash | Self::Turn | Self::First => false,
            Self::Spill
            | Self::TwoDraws
            | Self::Least
            | Self::WeightedLeast
            | Self::ShortestDelay
            | Self::NeverQueue => true,
        }
    }
}

/// What one more flow would cost at a backend: `cost / weight`. Weights are at most 65535, and costs below 2^40.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Bid {
    /// Work there is.
    pub cost: u64,
    /// Share of it that is the backend's.
    pub weight: u64,
}

impl Bid {
    /// More than anybody asks.
    pub const NONE: Self = Self {
        cost: 1 << 40,
        weight: 1,
    };

    /// Whether it is less than the other. Of equals, whoever came first stays.
    #[inline(always)]
    #[must_use]
    pub const fn beats(self, other: Self) -> bool {
        self.cost * other.weight < other.cost * self.weight
    }
}

/// By what bids are made up: one formula for all schedulers, since each branch in it would be one more way for the verifier
/// to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Tariff {
    /// For each active flow.
    pub active: u32,
    /// For each flow that is over.
    pub inactive: u32,
    /// For the flow to come.
    pub base: u32,
    /// 1 where the weight counts, else 0.
    pub weighted: u32,
    /// 1 where a backend without an active flow bids nothing, else 0.
    pub idle_is_free: u32,
    /// 1 where a backend with more active flows than its weight makes no bid, else 0.
    pub spills: u32,
}

/// An active flow counts as much as 256 that are over (`ip_vs_dest_conn_overhead`).
const OVERHEAD: Tariff = Tariff {
    active: 256,
    inactive: 1,
    ..Tariff::FREE
};

const DELAY: Tariff = Tariff {
    active: 1,
    base: 1,
    weighted: 1,
    ..Tariff::FREE
};

impl Tariff {
    /// Everybody bids nothing: the first that makes a bid is the one.
    pub const FREE: Self = Self {
        active: 0,
        inactive: 0,
        base: 0,
        weighted: 0,
        idle_is_free: 0,
        spills: 0,
    };

    /// That of a choice. Of two that are drawn it is what they are compared by; they are drawn from whoever makes a bid.
    #[inline(always)]
    #[must_use]
    pub const fn of(choice: Choice) -> Self {
        match choice {
            Choice::Hash | Choice::Turn | Choice::First => Self::FREE,
            Choice::Spill => Self {
                spills: 1,
                ..Self::FREE
            },
            Choice::Least => OVERHEAD,
            Choice::TwoDraws | Choice::WeightedLeast => Self {
                weighted: 1,
                ..OVERHEAD
            },
            Choice::ShortestDelay => DELAY,
            Choice::NeverQueue => Self {
                idle_is_free: 1,
                ..DELAY
            },
        }
    }

    /// The bid of a backend with this load; `None` of one that is not to be taken.
    #[inline(always)]
    #[must_use]
    pub fn bid(&self, load: &BackendLoad) -> Option<Bid> {
        let LoadCount { active, inactive } = load.counts();
        let weight = load.weight();
        if load.is_full() || (self.spills != 0 && active > weight) {
            return None;
        }
        let cost =
            active as u64 * self.active as u64 + inactive as u64 * self.inactive as u64 + self.base as u64;
        Some(Bid {
            cost: if self.idle_is_free != 0 && active == 0 {
                0
            } else {
                cost
            },
            weight: if self.weighted != 0 { weight as u64 } else { 1 },
        })
    }
}

/// Slots of a schedule that are looked at for one that may be taken, or that bids least.
pub const MOST_SLOTS: u32 = 4096;

/// A walk over the slots of a schedule for the best bid.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Search {
    /// Least bid so far.
    pub best: Bid,
    tariff: Tariff,
    /// Whose it is; [`NO_BACKEND`] before there is any.
    pub backend: u32,
}

impl Search {
    /// Nobody has been looked at. `noise` must be a number that the verifier cannot know: it is to take every step for the
    /// same.
    #[inline(always)]
    #[must_use]
    pub fn new(tariff: Tariff, noise: u64) -> Self {
        let blurred = |number: u32| blur(number as u64, noise) as u32;
        Self {
            best: Bid {
                cost: blur(Bid::NONE.cost, noise),
                weight: blur(Bid::NONE.weight, noise),
            },
            tariff: Tariff {
                active: blurred(tariff.active),
                inactive: blurred(tariff.inactive),
                base: blurred(tariff.base),
                weighted: blurred(tariff.weighted),
                idle_is_free: blurred(tariff.idle_is_free),
                spills: blurred(tariff.spills),
            },
            backend: blurred(NO_BACKEND),
        }
    }

    /// Looks at one backend; whether there is no need to look at more, since nobody can bid less.
    #[inline(always)]
    pub fn consider(&mut self, backend: u32, load: &BackendLoad) -> bool {
        let Some(bid) = self.tariff.bid(load) else {
            return false;
        };
        if bid.beats(self.best) {
            (self.best, self.backend) = (bid, backend);
        }
        self.best.cost == 0
    }

    /// The backend with the least bid; `None` where there was no bid at all.
    #[inline(always)]
    #[must_use]
    pub fn found(&self) -> Option<u32> {
        (self.backend != NO_BACKEND).then_some(self.backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{abi::LoadLimits, flow_state::FlowState};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Active flows, flows that are over, weight, whether it is full.
    type Backend = (u32, u32, u32, bool);

    fn load((active, inactive, weight, full): Backend) -> BackendLoad {
        let load = BackendLoad::default();
        load.set_limits(&LoadLimits {
            weight,
            upper: if full { 1 } else { 0 },
            lower: 0,
            counted: true,
            kept: false,
        });
        (0..active).for_each(|_| load.entered(FlowState::Established as u32));
        (0..inactive).for_each(|_| load.entered(FlowState::Close as u32));
        if full && active + inactive == 0 {
            load.entered(FlowState::Close as u32);
            assert!(load.is_full());
            load.left(FlowState::Close as u32);
        }
        load
    }

    /// Numbers of backends begin at 10, so that none is what an index might be.
    fn chosen(choice: Choice, backends: &[Backend]) -> Option<u32> {
        let mut search = Search::new(Tariff::of(choice), 0);
        for (number, &backend) in (10..).zip(backends) {
            if search.consider(number, &load(backend)) {
                break;
            }
        }
        search.found()
    }

    #[test]
    fn numbers_are_their_own() {
        for (number, &choice) in (0..).zip(Choice::ALL) {
            assert_eq!(choice as u8, number);
            assert_eq!(Choice::from_number(number), choice);
        }
        assert_eq!(Choice::from_number(255), Choice::Hash);
    }

    #[test]
    fn each_choice_is_its_own() {
        use Choice::*;
        let backends = [(4, 0, 400, false), (3, 900, 100, false), (2, 400, 100, false)];
        for (choice, number) in [
            (Hash, 10),
            (Turn, 10),
            (First, 10),
            (Spill, 10),
            (Least, 12),
            (WeightedLeast, 10),
            (ShortestDelay, 10),
            (NeverQueue, 10),
        ] {
            assert_eq!(chosen(choice, &backends), Some(number), "{choice:?}");
        }
        // The expected delay is that of the flow to come: an idle slow backend is not better than a fast one with little.
        let uneven = [(1, 0, 300, false), (0, 0, 100, false)];
        assert_eq!(chosen(ShortestDelay, &uneven), Some(10));
        assert_eq!(chosen(WeightedLeast, &uneven), Some(11));
        assert_eq!(chosen(NeverQueue, &uneven), Some(11));
        // One above the weight is still taken, as in IPVS.
        assert_eq!(chosen(Spill, &[(2, 0, 2, false), (0, 0, 1, false)]), Some(10));
        assert_eq!(chosen(Spill, &[(3, 0, 2, false), (0, 0, 1, false)]), Some(11));
        assert_eq!(chosen(Spill, &[(3, 0, 2, false), (2, 0, 1, false)]), None);
    }

    #[test]
    fn who_is_full_is_never_chosen() {
        for &choice in Choice::ALL {
            assert_eq!(
                chosen(choice, &[(0, 0, 9, true), (1, 1, 1, false)]),
                Some(11),
                "{choice:?}"
            );
            assert_eq!(chosen(choice, &[(0, 0, 9, true)]), None, "{choice:?}");
        }
    }

    #[test]
    fn among_equals_the_first_is_chosen() {
        for &choice in Choice::ALL {
            let equals = [(2, 4, 2, false), (2, 4, 2, false), (1, 2, 1, false)];
            let expected = if choice == Choice::Least { 12 } else { 10 };
            assert_eq!(chosen(choice, &equals), Some(expected), "{choice:?}");
        }
    }

    /// The quotient in whole numbers, as a reader would write it down.
    fn quotient(choice: Choice, (active, inactive, weight, _): Backend) -> (u128, u128) {
        let overhead = u128::from(active) * 256 + u128::from(inactive);
        match choice {
            Choice::Least => (overhead, 1),
            Choice::NeverQueue if active == 0 => (0, 1),
            Choice::NeverQueue | Choice::ShortestDelay => (u128::from(active) + 1, weight.into()),
            _ => (overhead, weight.into()),
        }
    }

    proptest! {
        #[test]
        fn nobody_else_would_have_been_better(
            backends in proptest::collection::vec((0..40u32, 0..600u32, 1..=65_535u32, any::<bool>()), 1..12),
            choice in prop_oneof![
                Just(Choice::Least), Just(Choice::WeightedLeast), Just(Choice::ShortestDelay), Just(Choice::NeverQueue),
            ],
        ) {
            let free: Vec<usize> = (0..backends.len()).filter(|&n| !load(backends[n]).is_full()).collect();
            match chosen(choice, &backends) {
                None => prop_assert!(free.is_empty()),
                Some(number) => {
                    let chosen = number as usize - 10;
                    prop_assert!(free.contains(&chosen));
                    let (cost, weight) = quotient(choice, backends[chosen]);
                    for n in free {
                        let (other, its_weight) = quotient(choice, backends[n]);
                        prop_assert!(cost * its_weight <= other * weight, "{n} was better than {chosen}");
                    }
                }
            }
        }
    }
}
