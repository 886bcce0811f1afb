//! Schedules: how a service chooses backends, and the list of slots that the packet path chooses from.

mod backend;
pub mod maglev;
mod scheduler;
mod turns;

use lb_common::scheduling::Choice;

pub use self::{
    backend::{Entry, backend_id},
    scheduler::{HashField, Scheduler, Scheduling},
};

/// What the slots of a schedule are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A Maglev table of so many slots.
    Maglev(u32),
    /// Each backend as often as its weight says, spread out evenly.
    Interleaved,
    /// Each backend once, in the order of the configuration.
    List,
    /// Each backend once, the heaviest first; those of equal weight in the order of the configuration.
    ByWeight,
}

/// What a schedule is computed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSpec {
    /// What the slots are.
    pub layout: Layout,
    /// How a backend is chosen from them.
    pub choice: Choice,
    /// Number of each backend, and what schedules know of it. Who has no weight gets no slot.
    pub entries: Vec<(u32, Entry)>,
}

impl ScheduleSpec {
    /// That of a service to which nobody new gets.
    pub const NOBODY: Self = Self {
        layout: Layout::List,
        choice: Choice::Hash,
        entries: Vec::new(),
    };

    /// How many slots there are.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.layout
            .slots(self.entries.iter().map(|(_, entry)| entry.weight))
    }

    /// The slots: in each the number of a backend; none when no backend has a weight.
    #[must_use]
    pub fn table(&self) -> Vec<u32> {
        let entries: Vec<Entry> = self.entries.iter().map(|(_, entry)| *entry).collect();
        let weighted = || (0..).zip(&entries).filter(|(_, entry)| entry.weight > 0);
        let owners = match self.layout {
            Layout::Maglev(slots) => maglev::populate(&entries, slots),
            Layout::Interleaved => turns::in_turn(&entries).take(self.slots() as usize).collect(),
            Layout::List => weighted().map(|(index, _)| index).collect(),
            Layout::ByWeight => {
                let mut indices: Vec<u32> = weighted().map(|(index, _)| index).collect();
                indices.sort_by_key(|&index| std::cmp::Reverse(entries[index as usize].weight));
                indices
            }
        };
        owners
            .into_iter()
            .map(|index| self.entries[index as usize].0)
            .collect()
    }
}

impl Layout {
    /// How many slots backends need at most whose weights are at most these.
    pub fn most_slots(self, weights: impl Iterator<Item = u32>) -> u32 {
        match self {
            Self::Maglev(slots) => slots,
            Self::Interleaved => turns::longest(weights),
            Self::List | Self::ByWeight => weights.count() as u32,
        }
    }

    /// How many slots backends of these weights get.
    fn slots(self, weights: impl Iterator<Item = u32> + Clone) -> u32 {
        let weighted = weights.filter(|&weight| weight > 0);
        match self {
            Self::Maglev(slots) if weighted.clone().next().is_some() => slots,
            Self::Maglev(_) => 0,
            Self::Interleaved => turns::period(weighted),
            Self::List | Self::ByWeight => weighted.count() as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(layout: Layout, weights: &[u32]) -> Vec<u32> {
        let entry = |(number, &weight): (u32, &u32)| {
            (
                number,
                Entry {
                    id: u64::from(number),
                    weight,
                },
            )
        };
        let spec = ScheduleSpec {
            layout,
            choice: Choice::Hash,
            entries: (10..).zip(weights).map(entry).collect(),
        };
        let table = spec.table();
        assert_eq!(spec.slots() as usize, table.len(), "{layout:?} {weights:?}");
        table
    }

    #[test]
    fn layouts() {
        for (layout, weights, expected) in [
            (Layout::List, &[3, 0, 9][..], &[10, 12][..]),
            (Layout::ByWeight, &[3, 0, 9, 3, 4], &[12, 14, 10, 13]),
            (Layout::Interleaved, &[2, 0, 1], &[10, 12, 10]),
            (Layout::List, &[0, 0], &[]),
            (Layout::ByWeight, &[], &[]),
            (Layout::Interleaved, &[0], &[]),
            (Layout::Maglev(7), &[0], &[]),
        ] {
            assert_eq!(table(layout, weights), expected, "{layout:?} {weights:?}");
        }
        assert_eq!(table(Layout::Maglev(251), &[1, 1]).len(), 251);
        assert!(ScheduleSpec::NOBODY.table().is_empty());
    }
}
