//! What the HA thread shares with the packet path: until when questions for VIPs may be answered, and who else answers.

use std::{sync::Arc, time::Duration};

use lb_common::abi::{CLAIMS, Claim, ClaimTable, LEASES, LeaseTable};

use crate::{core::ha::LeaseNumbers, datapath::Region};

/// Memory that is shared with the packet path.
pub(in crate::daemon) struct Answers {
    pub(in crate::daemon) leases: Arc<Region<LeaseTable>>,
    pub(in crate::daemon) claims: Arc<Region<ClaimTable>>,
}

impl Answers {
    /// Prolongs a lease to this time since boot.
    pub(super) fn set_lease(&self, number: u8, until: Duration) {
        self.leases[0].set(number, u64::try_from(until.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Ends the leases of numbers that no group has.
    pub(super) fn end_all_but(&self, numbers: &LeaseNumbers) {
        let mut used = [false; LEASES];
        for number in numbers.all() {
            used[usize::from(number)] = true;
        }
        for number in (0..=u8::MAX).filter(|number| !used[usize::from(*number)]) {
            self.leases[0].set(number, 0);
        }
    }

    /// Versions of all claims: those that are there already are old.
    pub(super) fn versions(&self) -> [u64; CLAIMS] {
        let mut versions = [0; CLAIMS];
        // What is being written at this moment will be new.
        for (version, slot) in versions.iter_mut().zip(self.claims[0].iter()) {
            *version = slot.read(0).map_or(0, |(version, _)| version);
        }
        versions
    }

    /// Claims that are new since `seen`, which is brought up to date.
    pub(super) fn claims(&self, seen: &mut [u64; CLAIMS]) -> Vec<Claim> {
        let slots = self.claims[0].iter().zip(seen);
        let new = slots.filter_map(|(slot, seen)| {
            let (version, claim) = slot.read(*seen)?;
            *seen = version;
            Some(claim)
        });
        new.collect()
    }
}
