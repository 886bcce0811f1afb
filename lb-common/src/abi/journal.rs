//! Where the packet path notes which flows are worth telling other directors of.
//!
//! A ring for each CPU: its packets write, the daemon's sync thread reads, and neither waits for the other. A slot holds a
//! place of a flow table and its own number in the sequence, in one word: so a reader knows whether a slot is written, and
//! whether the writer has gone round meanwhile. What is overwritten is found by walking the tables.

use crate::flow_table::Word;

/// Slots of a ring: at a million new flows a second on one CPU, time for the reader to sleep 16 ms.
pub const JOURNAL_SLOTS: usize = 1 << 14;

/// Which flow: bucket × [`WAYS`](crate::flow_table::WAYS) + way, in the table of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowPlace {
    /// Whether it is in the IPv6 table.
    pub is_v6: bool,
    /// The place.
    pub place: u32,
}

const V6: u32 = 1 << 31;

impl FlowPlace {
    const fn bits(self) -> u32 {
        if self.is_v6 { self.place | V6 } else { self.place }
    }

    #[cfg(not(target_arch = "bpf"))]
    const fn from_bits(bits: u32) -> Self {
        Self {
            is_v6: bits & V6 != 0,
            place: bits & !V6,
        }
    }
}

/// What one CPU noted.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct JournalRing {
    /// How many flows were noted; written by this CPU's packets alone.
    count: Word,
    reserved: [Word; 7],
    /// Number in the sequence, from 1 on (upper half), and place (lower half).
    slots: [Word; JOURNAL_SLOTS],
}

const _: () = assert!(size_of::<JournalRing>() == 64 + 8 * JOURNAL_SLOTS);

impl JournalRing {
    /// Notes a flow; by this ring's CPU alone.
    #[inline(always)]
    pub fn note(&self, flow: FlowPlace) {
        let number = self.count.load().wrapping_add(1);
        self.count.store(number);
        let slot = number as usize & (JOURNAL_SLOTS - 1);
        self.slots[slot].store(number << 32 | flow.bits() as u64);
    }
}

/// A reader's place in a ring.
#[cfg(not(target_arch = "bpf"))]
#[derive(Debug, Clone, Copy, Default)]
pub struct JournalReader {
    /// Number of the last flow that was read.
    read: u32,
    overrun: u64,
}

#[cfg(not(target_arch = "bpf"))]
impl JournalReader {
    /// A reader of what is noted from now on.
    #[must_use]
    pub fn from_now(ring: &JournalRing) -> Self {
        Self {
            read: ring.count.load() as u32,
            overrun: 0,
        }
    }

    /// The next flow; `None` while there is none.
    #[inline]
    pub fn next(&mut self, ring: &JournalRing) -> Option<FlowPlace> {
        let wanted = self.read.wrapping_add(1);
        let slot = ring.slots[wanted as usize & (JOURNAL_SLOTS - 1)].load();
        let number = (slot >> 32) as u32;
        let ahead = number.wrapping_sub(wanted);
        if ahead > u32::MAX / 2 || slot == 0 {
            return None;
        }
        self.overrun += u64::from(ahead);
        self.read = number;
        Some(FlowPlace::from_bits(slot as u32))
    }

    /// How many flows were noted and not read yet, those that are overwritten by now included.
    #[must_use]
    pub fn behind(&self, ring: &JournalRing) -> u32 {
        (ring.count.load() as u32).wrapping_sub(self.read)
    }

    /// Flows that were overwritten before they were read.
    #[must_use]
    pub fn overrun(&self) -> u64 {
        self.overrun
    }
}

#[cfg(not(target_arch = "bpf"))]
impl Default for JournalRing {
    fn default() -> Self {
        Self {
            count: Word::new(0),
            reserved: [const { Word::new(0) }; 7],
            slots: [const { Word::new(0) }; JOURNAL_SLOTS],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{boxed::Box, vec::Vec};

    use super::*;

    fn flow(n: u32) -> FlowPlace {
        FlowPlace {
            is_v6: n.is_multiple_of(3),
            place: n,
        }
    }

    fn all(reader: &mut JournalReader, ring: &JournalRing) -> Vec<FlowPlace> {
        std::iter::from_fn(|| reader.next(ring)).collect()
    }

    #[test]
    fn what_is_noted_is_read_once_in_order() {
        let ring = Box::new(JournalRing::default());
        let mut reader = JournalReader::from_now(&ring);
        assert_eq!(reader.next(&ring), None);
        for round in 0..5 {
            let from = round * 10_000;
            (from..from + 10_000).for_each(|n| ring.note(flow(n)));
            assert_eq!(reader.behind(&ring), 10_000);
            let expected: Vec<_> = (from..from + 10_000).map(flow).collect();
            assert_eq!(all(&mut reader, &ring), expected);
            assert_eq!(reader.behind(&ring), 0);
        }
        assert_eq!(reader.overrun(), 0);
        let mut late = JournalReader::from_now(&ring);
        assert_eq!(late.next(&ring), None);
    }

    #[test]
    fn a_reader_that_is_too_slow_gets_the_newest_and_knows_how_many_it_missed() {
        let slots = JOURNAL_SLOTS as u32;
        let ring = Box::new(JournalRing::default());
        let mut reader = JournalReader::from_now(&ring);
        (0..2 * slots + 100).for_each(|n| ring.note(flow(n)));
        let expected: Vec<_> = (slots + 100..2 * slots + 100).map(flow).collect();
        let read = all(&mut reader, &ring);
        // It jumps to what stands in the slot that it wanted, and goes on from there.
        assert_eq!(read.len() as u64 + reader.overrun(), 2 * u64::from(slots) + 100);
        assert!(expected.ends_with(&read) && read.len() >= 100, "{}", read.len());
    }

    #[test]
    fn numbers_wrap() {
        let ring = Box::new(JournalRing::default());
        ring.count.store(u64::from(u32::MAX) - 2);
        let mut reader = JournalReader::from_now(&ring);
        (0..9).for_each(|n| ring.note(flow(n)));
        assert_eq!(all(&mut reader, &ring), (0..9).map(flow).collect::<Vec<_>>());
    }
}
