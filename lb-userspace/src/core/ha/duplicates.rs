//! Other machines that claim VIPs which this director holds.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::event::Unfit;
use crate::core::{model::OnDuplicate, neighbour::Mac};

/// A VIP that is claimed over and over is spoken of once in this time.
const REMIND: Duration = Duration::from_secs(60);
/// VIPs that are remembered as spoken of.
const MOST_TOLD: usize = 64;
/// Announcements against claims come this far apart at least, or two directors that both do so would flood the link.
const REPAIR: Duration = Duration::from_secs(1);
/// Who gives way does so for this long.
const YIELD: Duration = Duration::from_secs(60);

/// What a group remembers of claims.
#[derive(Debug, Clone, Default)]
pub(super) struct Duplicates {
    told: BTreeMap<IpAddr, Duration>,
    /// By virtual router.
    repairs: BTreeMap<usize, Repair>,
    giving_way: Option<(IpAddr, Mac, Duration)>,
}

/// Announcements against claims.
#[derive(Debug, Clone, Copy)]
struct Repair {
    /// When the next one may be, at the earliest.
    at: Duration,
    /// Whether there is something to repair.
    is_due: bool,
}

impl Duplicates {
    /// Somebody claims a VIP of this virtual router, which is held here; whether to tell people.
    pub(super) fn claimed(
        &mut self,
        wire: usize,
        vip: IpAddr,
        mac: Mac,
        policy: OnDuplicate,
        now: Duration,
    ) -> bool {
        match policy {
            OnDuplicate::Announce => {
                let repair = self.repairs.entry(wire).or_insert(Repair {
                    at: now,
                    is_due: true,
                });
                repair.is_due = true;
            }
            OnDuplicate::Yield => self.giving_way = Some((vip, mac, now + YIELD)),
            OnDuplicate::Ignore => {}
        }
        self.told.retain(|_, at| now < *at + REMIND);
        let tell = self.told.len() < MOST_TOLD && !self.told.contains_key(&vip);
        if tell {
            self.told.insert(vip, now);
        }
        tell
    }

    /// Whether the VIPs of this virtual router are to be announced now.
    pub(super) fn repair(&mut self, wire: usize, now: Duration) -> bool {
        let due = self
            .repairs
            .get_mut(&wire)
            .filter(|repair| repair.is_due && now >= repair.at);
        if let Some(repair) = due {
            *repair = Repair {
                at: now + REPAIR,
                is_due: false,
            };
            return true;
        }
        false
    }

    /// Why the group cannot hold its VIPs for now, if that is so.
    pub(super) fn unfit(&self, now: Duration) -> Option<Unfit> {
        let (vip, mac, until) = self.giving_way?;
        (now < until).then_some(Unfit::Duplicate { vip, mac })
    }

    /// When one of those changes.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let given_way = self.giving_way.map(|(_, _, until)| until);
        let given_way = given_way.filter(|until| *until > now);
        let repairs = self.repairs.values().filter(|repair| repair.is_due);
        repairs.map(|repair| repair.at).chain(given_way).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    fn vip(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    #[test]
    fn a_storm_of_claims_is_told_once_a_minute_and_answered_once_a_second() {
        let mut duplicates = Duplicates::default();
        let (mut told, mut announced) = (0, 0);
        for millisecond in 0..120_000 {
            let now = Duration::from_millis(millisecond);
            let tell = duplicates.claimed(0, vip(1), MAC, OnDuplicate::Announce, now);
            told += u32::from(tell);
            announced += u32::from(duplicates.repair(0, now));
        }
        assert_eq!((told, announced), (2, 120));
        for n in 0..=255 {
            duplicates.claimed(0, vip(n), MAC, OnDuplicate::Announce, Duration::from_secs(500));
        }
        assert_eq!(duplicates.told.len(), MOST_TOLD);
    }

    #[test]
    fn a_claim_soon_after_another_is_answered_a_little_later() {
        let mut duplicates = Duplicates::default();
        let at = Duration::from_millis;
        let mut claim = |wire, now| {
            duplicates.claimed(wire, vip(1), MAC, OnDuplicate::Announce, now);
            let repaired = duplicates.repair(wire, now);
            (repaired, duplicates.next_deadline(now))
        };
        assert_eq!(claim(0, at(0)), (true, None));
        // Of another virtual router at once.
        assert_eq!(claim(1, at(400)), (true, None));
        assert_eq!(claim(0, at(500)), (false, Some(at(1000))));
        assert!(!duplicates.repair(0, at(999)));
        assert!(duplicates.repair(0, at(1000)));
        assert!(!duplicates.repair(0, at(5000)));
        assert_eq!(duplicates.next_deadline(at(5000)), None);
    }

    #[test]
    fn who_gives_way_does_so_for_a_minute_after_the_last_claim() {
        let mut duplicates = Duplicates::default();
        let (start, end) = (Duration::from_secs(10), Duration::from_secs(70));
        assert!(duplicates.claimed(0, vip(1), MAC, OnDuplicate::Yield, start));
        assert!(!duplicates.repair(0, start));
        let unfit = Unfit::Duplicate {
            vip: vip(1),
            mac: MAC,
        };
        assert_eq!(duplicates.unfit(start), Some(unfit));
        assert_eq!(duplicates.next_deadline(start), Some(end));
        assert_eq!(
            (duplicates.unfit(end), duplicates.next_deadline(end)),
            (None, None)
        );
        let mut duplicates = Duplicates::default();
        assert!(duplicates.claimed(0, vip(1), MAC, OnDuplicate::Ignore, start));
        assert!(!duplicates.repair(0, start));
        assert_eq!(duplicates.unfit(start), None);
    }
}
