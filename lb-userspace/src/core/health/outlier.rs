//! Passive health: a backend that leaves connections unanswered, or refuses them, which others would have answered.
//!
//! What is looked at is how many of the connections that a backend was given lately were completed, and, where replies pass
//! the director, how many it refused with a reset. Whoever floods a service with
//! SYNs that he does not mean makes that bad for all alike; so a backend is judged by the others. One that is far worse than
//! they are is *ejected*: it takes no new connections for a while, longer each time, and only so many of a service are at once.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// Connections below which nothing can be said.
const LEAST: u64 = 10;
/// Share of connections that came to nothing, in percent, from which on a backend is suspect.
const SUSPECT: u64 = 50;
/// How many times worse than the others it must be.
const WORSE: u64 = 3;
/// Looks in a row at which it must be so.
const IN_A_ROW: u32 = 2;
/// How long the first ejection takes; each further one twice as long. Longer than a connection counts as one of late.
const FIRST: Duration = Duration::from_secs(20);
const LONGEST: Duration = Duration::from_secs(300);

/// Connections that a backend was given lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lately {
    /// That were completed.
    pub answered: u64,
    /// That were not.
    pub unanswered: u64,
    /// That it refused with a reset.
    pub refused: u64,
}

impl Lately {
    /// All of them.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.answered + self.failed()
    }

    /// Those that came to nothing.
    #[must_use]
    pub const fn failed(self) -> u64 {
        self.unanswered + self.refused
    }
}

/// The backends of a service, as their connections show them. `now` is monotonic, counted from any fixed point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outliers {
    members: BTreeMap<IpAddr, Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Member {
    /// Looks in a row at which it was far worse than the others.
    bad: u32,
    ejections: u32,
    ejected: Option<Ejection>,
    /// When it was ejected last.
    last: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ejection {
    until: Duration,
    for_what: Lately,
}

impl Outliers {
    /// Takes note of how connections went; whether others are ejected now. At most `most` percent of the backends are
    /// ejected at once, and never the last.
    pub fn look(&mut self, lately: &BTreeMap<IpAddr, Lately>, most: u32, now: Duration) -> bool {
        self.members.retain(|address, _| lately.contains_key(address));
        let mut changed = false;
        for member in self.members.values_mut() {
            if member.ejected.is_some_and(|ejection| ejection.until <= now) {
                member.ejected = None;
                changed = true;
            }
            // Who has behaved for a long time begins anew.
            if member.ejected.is_none() && now.saturating_sub(member.last) > LONGEST * 2 {
                member.ejections = 0;
            }
        }
        let room = (lately.len() as u64 * u64::from(most) / 100).max(1) as usize;
        let room = room.min(lately.len().saturating_sub(1));
        let is_ejected = |member: &&Member| member.ejected.is_some();
        let mut ejected = self.members.values().filter(is_ejected).count();
        let all = lately.values().fold(Lately::default(), |sum, seen| Lately {
            answered: sum.answered + seen.answered,
            unanswered: sum.unanswered + seen.unanswered,
            refused: sum.refused + seen.refused,
        });
        for (address, seen) in lately {
            let others = Lately {
                answered: all.answered - seen.answered,
                unanswered: all.unanswered - seen.unanswered,
                refused: all.refused - seen.refused,
            };
            let bad = is_outlier(*seen, others);
            let member = self.members.entry(*address).or_default();
            if member.ejected.is_some() {
                continue;
            }
            member.bad = if bad { member.bad + 1 } else { 0 };
            if member.bad >= IN_A_ROW && ejected < room {
                let length = (FIRST * 2_u32.saturating_pow(member.ejections.min(10))).min(LONGEST);
                member.ejected = Some(Ejection {
                    until: now + length,
                    for_what: *seen,
                });
                member.ejections += 1;
                member.last = now;
                member.bad = 0;
                ejected += 1;
                changed = true;
            }
        }
        changed
    }

    /// What a backend is ejected for, if it is.
    #[must_use]
    pub fn ejected(&self, address: IpAddr) -> Option<Lately> {
        Some(self.members.get(&address)?.ejected?.for_what)
    }
}

/// Whether these are far worse than those of the others.
fn is_outlier(seen: Lately, others: Lately) -> bool {
    seen.all() >= LEAST
        && others.all() >= LEAST
        && seen.failed() * 100 >= SUSPECT * seen.all()
        && seen.failed() * others.all() >= WORSE * others.failed() * seen.all()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn lately(seen: &[(u64, u64)]) -> BTreeMap<IpAddr, Lately> {
        let one = |(answered, unanswered)| Lately {
            answered,
            unanswered,
            refused: 0,
        };
        (1..)
            .zip(seen)
            .map(|(last, &counts)| (ip(last), one(counts)))
            .collect()
    }

    #[test]
    fn who_is_far_worse_than_the_others_is_ejected_and_comes_back() {
        let mut outliers = Outliers::default();
        let bad = lately(&[(100, 1), (0, 30), (100, 0)]);
        assert!(!outliers.look(&bad, 34, seconds(1)), "not at the first look");
        assert!(outliers.look(&bad, 34, seconds(2)));
        assert_eq!(
            outliers.ejected(ip(2)),
            Some(Lately {
                answered: 0,
                unanswered: 30,
                refused: 0
            })
        );
        assert_eq!(outliers.ejected(ip(1)), None);
        let quiet = lately(&[(100, 1), (0, 0), (100, 0)]);
        assert!(!outliers.look(&quiet, 34, seconds(21)));
        assert!(outliers.look(&quiet, 34, seconds(22)));
        assert_eq!(outliers.ejected(ip(2)), None);
        // The second time takes longer.
        outliers.look(&bad, 34, seconds(23));
        assert!(outliers.look(&bad, 34, seconds(24)));
        assert!(!outliers.look(&quiet, 34, seconds(63)));
        assert!(outliers.look(&quiet, 34, seconds(64)));
    }

    #[test]
    fn who_refuses_is_as_bad_as_who_does_not_answer() {
        let mut outliers = Outliers::default();
        let mut seen = lately(&[(100, 1), (10, 15), (100, 0)]);
        seen.entry(ip(2)).or_default().refused = 5;
        assert!(!outliers.look(&seen, 34, seconds(1)));
        assert!(outliers.look(&seen, 34, seconds(2)));
        assert_eq!(outliers.ejected(ip(2)), Some(seen[&ip(2)]));
        // All of them refuse: it is none of them alone.
        let mut outliers = Outliers::default();
        seen.values_mut().for_each(|seen| seen.refused = 200);
        for second in 0..10 {
            assert!(!outliers.look(&seen, 34, seconds(second)));
        }
    }

    #[test]
    fn a_flood_is_nobodys_fault() {
        let mut outliers = Outliers::default();
        let flood = lately(&[(10, 1000), (12, 1100), (9, 990)]);
        for second in 0..10 {
            assert!(!outliers.look(&flood, 34, seconds(second)));
        }
        // Too few to say anything.
        let few = lately(&[(100, 0), (0, 9)]);
        for second in 10..20 {
            assert!(!outliers.look(&few, 50, seconds(second)));
        }
    }

    proptest! {
        #[test]
        fn never_too_many_and_never_all(
            rounds in (1..8_usize).prop_flat_map(|backends| {
                let seen = (0..100_u64, 0..100_u64);
                proptest::collection::vec(proptest::collection::vec(seen, backends), 1..30)
            }),
            most in 0..=100_u32,
        ) {
            let mut outliers = Outliers::default();
            for (second, round) in (0..).zip(rounds) {
                let seen = lately(&round);
                outliers.look(&seen, most, seconds(second * 7));
                let ejected = seen.keys().filter(|address| outliers.ejected(**address).is_some()).count();
                let room = (seen.len() * most as usize / 100).max(1);
                prop_assert!(ejected <= room && ejected < seen.len());
            }
        }
    }
}
