//! How many new flows there may be in a second: of a service, and of one client.

use crate::flow_table::Word;

/// Limits of a service; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FloodLimits {
    /// SYNs a second that leave an entry; those beyond are forwarded without.
    pub syns: u32,
    /// New flows a second of one client; those beyond are dropped.
    pub of_source: u32,
}

impl FloodLimits {
    /// From the word.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self {
            syns: word as u32,
            of_source: (word >> 32) as u32,
        }
    }

    /// The word.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.syns as u64 | (self.of_source as u64) << 32
    }
}

/// How often something happened in one second: the second (bits 32..64), and the number (0..32).
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Rate(Word);

impl Rate {
    /// One more in this second; how many there were in it, this one included.
    ///
    /// Two CPUs that begin a second at the same moment may count one too few.
    #[inline(always)]
    pub fn count(&self, second: u32) -> u32 {
        let word = self.0.load();
        if (word >> 32) as u32 == second {
            return self.0.fetch_add(1) as u32 + 1;
        }
        let first = (second as u64) << 32 | 1;
        if self.0.compare_exchange(word, first) {
            1
        } else {
            self.0.fetch_add(1) as u32 + 1
        }
    }
}

/// Counters of a row of [`SourceTable`].
const SOURCES: usize = 8192;

/// How many flows clients began in one second: two rows of counters, in each of which a client has one by its hash. So a client
/// counts for more than it did only where others share both of its counters (a count-min sketch).
#[derive(Debug)]
#[repr(C, align(64))]
pub struct SourceTable {
    rows: [[Rate; SOURCES]; 2],
}

const _: () = assert!(size_of::<SourceTable>() == 2 * 8 * SOURCES);

impl SourceTable {
    /// One more flow of the client with this hash; how many it began in this second at most.
    #[inline(always)]
    pub fn count(&self, hash: u64, second: u32) -> u32 {
        let first = self.rows[0][hash as usize % SOURCES].count(second);
        let second = self.rows[1][(hash >> 32) as usize % SOURCES].count(second);
        if first < second { first } else { second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    #[test]
    fn a_rate_begins_anew_with_each_second() {
        let rate = Rate::default();
        assert_eq!([rate.count(7), rate.count(7), rate.count(7)], [1, 2, 3]);
        assert_eq!([rate.count(8), rate.count(8)], [1, 2]);
        assert_eq!(rate.count(7), 1);
    }

    #[test]
    fn clients_count_apart_unless_both_counters_are_shared() {
        // SAFETY: words, of which all-zero is a value.
        let table: Box<SourceTable> = unsafe { Box::new_zeroed().assume_init() };
        for n in 1..=5 {
            assert_eq!(table.count(1 << 32 | 1, 9), n);
        }
        assert_eq!(table.count(2 << 32 | 1, 9), 1, "one counter is shared");
        assert_eq!(table.count(1 << 32 | 1, 9), 6);
        assert_eq!(table.count(1 << 32 | 1, 10), 1);
    }

    #[test]
    fn what_is_written_is_read() {
        let limits = FloodLimits {
            syns: u32::MAX,
            of_source: 7,
        };
        assert_eq!(FloodLimits::from_word(limits.to_word()), limits);
        assert_eq!(FloodLimits::from_word(0), FloodLimits::default());
    }
}
