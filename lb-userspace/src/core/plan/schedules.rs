//! From backends to schedules: who is in the list that new flows are given out by, and who stands by.

use lb_common::scheduling::Choice;

use super::DesiredBackend;
use crate::core::schedule::{Entry, Layout, ScheduleSpec, Scheduling, backend_id};

/// A backend of a service that could take new flows.
pub(super) struct Candidate<'a> {
    /// Its number.
    pub(super) number: u32,
    /// Its weight; 0 for one that cannot be reached.
    pub(super) weight: u32,
    /// What is wanted of it.
    pub(super) backend: &'a DesiredBackend,
}

/// Whether somebody may be full.
pub(super) fn has_thresholds(backends: &[DesiredBackend]) -> bool {
    backends.iter().any(|backend| backend.thresholds.upper > 0)
}

/// Whether flows are to be counted.
pub(super) fn is_counted(scheduling: &Scheduling, candidates: &[Candidate<'_>]) -> bool {
    let thresholds = candidates
        .iter()
        .any(|candidate| candidate.backend.thresholds.upper > 0);
    scheduling.scheduler.choice().counts() || thresholds
}

/// What new flows of a service are given out by.
pub(super) struct Schedules {
    /// Whoever is to have them.
    pub(super) schedule: ScheduleSpec,
    /// Whoever gets them where all of those are full.
    pub(super) backups: ScheduleSpec,
}

impl Schedules {
    /// Nobody gets any.
    pub(super) fn none() -> Self {
        Self {
            schedule: ScheduleSpec::NOBODY,
            backups: ScheduleSpec::NOBODY,
        }
    }

    /// Backups do the others' work where none of them can.
    pub(super) fn of(scheduling: &Scheduling, candidates: &[Candidate<'_>], key: u64) -> Self {
        let entries = |backup: bool| {
            let chosen = candidates
                .iter()
                .filter(move |candidate| candidate.backend.backup == backup);
            let entry = |candidate: &Candidate<'_>| Entry {
                id: backend_id(key, candidate.backend.address, 0),
                weight: candidate.weight,
            };
            chosen
                .map(|candidate| (candidate.number, entry(candidate)))
                .collect()
        };
        let schedule = |entries: Vec<(u32, Entry)>| ScheduleSpec {
            layout: scheduling.layout(),
            choice: scheduling.scheduler.choice(),
            entries,
        };
        let (ordinary, backups): (Vec<_>, Vec<_>) = (entries(false), entries(true));
        let is_anybody = |entries: &[(u32, Entry)]| entries.iter().any(|(_, entry)| entry.weight > 0);
        let (schedule, backups) = match (is_anybody(&ordinary), is_anybody(&backups)) {
            (true, true) => {
                let backups = ScheduleSpec {
                    layout: Layout::List,
                    choice: Choice::First,
                    entries: backups,
                };
                (schedule(ordinary), backups)
            }
            (false, true) => (schedule(backups), ScheduleSpec::NOBODY),
            (_, false) => (schedule(ordinary), ScheduleSpec::NOBODY),
        };
        Self { schedule, backups }
    }
}
