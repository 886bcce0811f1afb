//! How long flows live: a row of timeouts for each timeout class.

use crate::{
    flow_state::FlowState,
    flow_table::{Control, HalfWord},
};

/// Classes there may be: distinct sets of timeouts among all services.
pub const TIMEOUT_CLASSES: usize = 32;

/// Timeouts in jiffies, by number of the state.
pub type Timeouts = [u32; FlowState::LIMIT];

/// Timeouts in jiffies, by class and state: a page.
///
/// A flow's control word names both, so that whoever looks for a victim in a full bucket, or walks the table, needs to ask
/// nothing else.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct TimeoutTable {
    cells: [HalfWord; TIMEOUT_CLASSES * FlowState::LIMIT],
}

const _: () = assert!(size_of::<TimeoutTable>() == 4096);

impl Default for TimeoutTable {
    fn default() -> Self {
        Self {
            cells: [const { HalfWord::new(0) }; TIMEOUT_CLASSES * FlowState::LIMIT],
        }
    }
}

impl TimeoutTable {
    /// The timeout of a flow with this control word.
    #[inline(always)]
    #[must_use]
    pub fn of(&self, control: Control) -> u32 {
        self.cells[control.timeout_index()].load()
    }
}

/// Reading and writing whole classes; by the daemon alone.
#[cfg(not(target_arch = "bpf"))]
impl TimeoutTable {
    fn row(&self, class: u8) -> &[HalfWord] {
        let start = class as usize % TIMEOUT_CLASSES * FlowState::LIMIT;
        &self.cells[start..start + FlowState::LIMIT]
    }

    /// The timeouts of a class; all zero in one that is not in use.
    #[must_use]
    pub fn class(&self, class: u8) -> Timeouts {
        let mut timeouts = [0; FlowState::LIMIT];
        for (to, from) in timeouts.iter_mut().zip(self.row(class)) {
            *to = from.load();
        }
        timeouts
    }

    /// Sets the timeouts of a class.
    pub fn set_class(&self, class: u8, timeouts: &Timeouts) {
        for (to, &from) in self.row(class).iter().zip(timeouts) {
            to.store(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow_table::{NewFlow, Target};

    #[test]
    fn the_control_word_finds_its_timeout() {
        let table = TimeoutTable::default();
        for class in 0..TIMEOUT_CLASSES as u8 {
            let timeouts = core::array::from_fn(|state| u32::from(class) * 100 + state as u32);
            table.set_class(class, &timeouts);
            assert_eq!(table.class(class), timeouts);
        }
        for class in 0..TIMEOUT_CLASSES as u8 {
            for state in FlowState::ALL {
                let flow = NewFlow {
                    key: (),
                    hash: 0,
                    target: Target::Backend(u32::MAX),
                    state,
                    class,
                };
                let timeout = table.of(Control::default().with_flow(&flow));
                assert_eq!(timeout, u32::from(class) * 100 + state as u32);
            }
        }
    }
}
