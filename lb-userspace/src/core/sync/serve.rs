//! Sending the content of leaves to those who asked for it.

use lb_common::wire::sync::{BlockBuilder, Full, LeafPart, Leaves};

use super::{
    bitmap::Bitmap,
    replica::{Place, Replica},
};

/// Parts of a leaf, at most; the rest of a larger one is not sent.
const MOST_PARTS: u16 = 256;

/// Leaves that one other director wants.
#[derive(Debug)]
pub(super) struct Serve {
    asked: Bitmap,
    /// Where the last answer ended.
    from: usize,
    /// A leaf that is sent in parts.
    large: Option<Large>,
    places: Vec<Place>,
    sent: u64,
}

#[derive(Debug)]
struct Large {
    leaf: u16,
    places: Vec<Place>,
    next: usize,
    part: u16,
}

impl Serve {
    pub(super) fn new(leaves: usize) -> Self {
        Self {
            asked: Bitmap::new(leaves),
            from: 0,
            large: None,
            places: Vec::new(),
            sent: 0,
        }
    }

    /// The other begins a new life.
    pub(super) fn reset(&mut self) {
        self.asked.clear();
        self.large = None;
    }

    pub(super) fn ask(&mut self, wanted: &[Leaves]) {
        for leaves in wanted {
            for leaf in 0..usize::from(leaves.count) {
                self.asked.insert(usize::from(leaves.first) + leaf);
            }
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.large.is_none()
    }

    /// Connections that were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Fills `block`, which is empty, with the next answer.
    pub(super) fn answer(
        &mut self,
        replica: &mut impl Replica,
        block: &mut BlockBuilder,
        now: u64,
    ) -> Option<LeafPart> {
        let part = match self.large.take() {
            Some(large) => Some(self.part_of(large, replica, block, now)),
            None => self.leaves(replica, block, now),
        };
        self.sent += block.len() as u64;
        part
    }

    /// As many leaves as fit, one after the other.
    fn leaves(&mut self, replica: &mut impl Replica, block: &mut BlockBuilder, now: u64) -> Option<LeafPart> {
        let first = self.asked.next(self.from).or_else(|| self.asked.next(0))?;
        let mut leaf = first;
        while self.asked.contains(leaf) && leaf - first < usize::from(u16::MAX) {
            replica.leaf(leaf as u16, &mut self.places);
            let mark = block.mark();
            let fits = self
                .places
                .iter()
                .try_for_each(|place| replica.push(*place, block, now));
            if fits == Err(Full) {
                block.roll_back(mark);
                if leaf == first {
                    self.asked.remove(leaf);
                    self.from = leaf + 1;
                    let large = Large {
                        leaf: leaf as u16,
                        places: std::mem::take(&mut self.places),
                        next: 0,
                        part: 0,
                    };
                    return Some(self.part_of(large, replica, block, now));
                }
                break;
            }
            self.asked.remove(leaf);
            leaf += 1;
        }
        self.from = leaf;
        let leaves = Leaves {
            first: first as u16,
            count: (leaf - first) as u16,
        };
        Some(LeafPart {
            leaves,
            part: 0,
            last: true,
        })
    }

    fn part_of(
        &mut self,
        mut large: Large,
        replica: &mut impl Replica,
        block: &mut BlockBuilder,
        now: u64,
    ) -> LeafPart {
        while let Some(place) = large.places.get(large.next) {
            match replica.push(*place, block, now) {
                Ok(()) => large.next += 1,
                // One that does not fit an empty block never will.
                Err(Full) if block.is_empty() => large.next += 1,
                Err(Full) => break,
            }
        }
        let part = large.part;
        let last = large.next == large.places.len() || part + 1 == MOST_PARTS;
        let leaf = large.leaf;
        if last {
            self.places = large.places;
        } else {
            large.part += 1;
            self.large = Some(large);
        }
        LeafPart {
            leaves: Leaves {
                first: leaf,
                count: 1,
            },
            part,
            last,
        }
    }
}
