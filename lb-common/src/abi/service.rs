//! Services as the packet path needs them.

use super::Schedule;
use crate::flow_table::Word;

/// What a service wants beside its schedule.
///
/// The word: timeout class (bits 0..8), kind of scheduler (8..16; 0: the table of slots), packets in the middle of a
/// connection that is not known (16..20; 0: schedule them), flows of backends that left the configuration (20..24; 0: keep
/// them), hash options (24..32), flags (32..64). What is not mentioned in [`Policy`] is 0 so far, and 0 is how things are
/// without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Timeout class of its flows, below [`TIMEOUT_CLASSES`](super::TIMEOUT_CLASSES).
    pub timeout_class: u8,
}

impl Policy {
    /// From the word.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            timeout_class: word as u8,
        }
    }

    /// The word.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.timeout_class as u64
    }
}

/// A service: one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct ServiceEntry {
    /// Where the schedule table lies: base in the lower, length in the upper half.
    schedule: Word,
    policy: Word,
    reserved: [Word; 6],
}

const _: () = assert!(size_of::<ServiceEntry>() == 64);

impl ServiceEntry {
    /// The table in force.
    #[inline(always)]
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let word = self.schedule.load();
        Schedule {
            base: word as u32,
            length: (word >> 32) as u32,
        }
    }

    /// What the service wants beside its schedule.
    #[inline(always)]
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::from_word(self.policy.load())
    }
}

/// Writing; by the daemon alone.
#[cfg(not(target_arch = "bpf"))]
impl ServiceEntry {
    /// Puts a table in force: one store, after its slots have been written.
    pub fn set_schedule(&self, schedule: Schedule) {
        self.schedule
            .publish(u64::from(schedule.base) | u64::from(schedule.length) << 32);
    }

    /// Puts a policy in force, with one store.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.publish(policy.to_word());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let entry = ServiceEntry::default();
        assert_eq!(
            (entry.schedule(), entry.policy()),
            (Schedule::default(), Policy::default())
        );
        let schedule = Schedule {
            base: u32::MAX - 15,
            length: 65_537,
        };
        let policy = Policy { timeout_class: 31 };
        entry.set_schedule(schedule);
        entry.set_policy(policy);
        assert_eq!((entry.schedule(), entry.policy()), (schedule, policy));
    }
}
