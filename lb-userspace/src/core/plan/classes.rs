//! Timeout classes: numbers for the distinct sets of timeouts among all services.

use std::collections::BTreeMap;

use lb_common::abi::{TIMEOUT_CLASSES, Timeouts};

use super::{QUIET_CENSUSES, Step, numbers::Numbers};

/// Which class stands for which timeouts. A flow keeps the class that it was made with, so a class that no service wants any
/// more stays as long as there are flows of it.
#[derive(Debug, Clone)]
pub(super) struct Classes {
    numbers: Numbers,
    known: BTreeMap<u8, Known>,
}

#[derive(Debug, Clone)]
struct Known {
    timeouts: Timeouts,
    wanted: bool,
    quiet_censuses: u32,
}

impl Classes {
    /// The classes that the maps hold.
    pub(super) fn new(inventory: &BTreeMap<u8, Timeouts>) -> Self {
        let known = |(&class, &timeouts): (&u8, &Timeouts)| {
            let known = Known {
                timeouts,
                wanted: false,
                quiet_censuses: 0,
            };
            (class, known)
        };
        Self {
            numbers: Numbers::new(
                TIMEOUT_CLASSES as u32,
                inventory.keys().map(|&class| class.into()),
            ),
            known: inventory.iter().map(known).collect(),
        }
    }

    /// Nobody wants any class, until [`Self::want`] says otherwise.
    pub(super) fn begin(&mut self) {
        self.known.values_mut().for_each(|known| known.wanted = false);
    }

    /// The class with these timeouts; `None` when all are taken.
    pub(super) fn want(&mut self, timeouts: &Timeouts, steps: &mut Vec<Step>) -> Option<u8> {
        if let Some((&class, known)) = self
            .known
            .iter_mut()
            .find(|(_, known)| known.timeouts == *timeouts)
        {
            known.wanted = true;
            known.quiet_censuses = 0;
            return Some(class);
        }
        let class = u8::try_from(self.numbers.take()?).ok()?;
        steps.push(Step::SetTimeouts {
            class,
            timeouts: *timeouts,
        });
        let known = Known {
            timeouts: *timeouts,
            wanted: true,
            quiet_censuses: 0,
        };
        self.known.insert(class, known);
        Some(class)
    }

    /// Takes note of a census: forgets what nobody needs.
    pub(super) fn census(&mut self, has_flows: impl Fn(u8) -> bool) {
        self.known.retain(|&class, known| {
            if known.wanted || has_flows(class) {
                known.quiet_censuses = 0;
                return true;
            }
            known.quiet_censuses += 1;
            if known.quiet_censuses < QUIET_CENSUSES {
                return true;
            }
            self.numbers.give_back(class.into());
            false
        });
    }
}
