//! How services of IPVS choose their real servers, and what that becomes.

use std::collections::BTreeSet;

use super::{document::Table, lvs::Backend, report::Outcome};
use crate::{
    config::validate::{MAX_THRESHOLD, SLOTS_PER_BACKEND, next_prime},
    core::{
        model::DEFAULT_TABLE_SIZE,
        schedule::{HashField, Scheduler, Scheduling},
    },
};

/// A scheduler with its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    scheduler: Scheduler,
    /// `sh-port`, `mh-port`
    port: bool,
    /// `sh-fallback`, `mh-fallback`
    fallback: bool,
}

impl Default for Chosen {
    /// What `ipvsadm` and keepalived take where none is named.
    fn default() -> Self {
        Self {
            scheduler: Scheduler::Wlc,
            port: false,
            fallback: false,
        }
    }
}

impl Chosen {
    /// Takes a scheduler by its name in IPVS.
    pub(super) fn scheduler(&mut self, name: &str) -> Outcome {
        let known = match name {
            "mh" => Some(Scheduler::Maglev),
            _ => Scheduler::ALL
                .iter()
                .copied()
                .find(|scheduler| scheduler.name() == name),
        };
        match known {
            Some(scheduler) => {
                self.scheduler = scheduler;
                Outcome::translated(format!("scheduler = \"{scheduler}\""))
            }
            None => Outcome::missing(format!(
                "there is no scheduler `{name}`; it is {} as if none were given",
                self.scheduler
            )),
        }
    }

    /// Takes flags of the scheduler by their names.
    pub(super) fn flag(&mut self, name: &str) -> Outcome {
        match name {
            "sh-fallback" | "mh-fallback" | "flag-1" => {
                self.fallback = true;
                Outcome::translated("fallback = true, for `sh` and `mh`")
            }
            "sh-port" | "mh-port" | "flag-2" => {
                self.port = true;
                Outcome::translated("hash_on = [\"source\", \"source-port\"], for `sh` and `mh`")
            }
            "flag-3" => Outcome::needless("no scheduler of IPVS has a third flag"),
            _ => Outcome::missing(format!("no scheduler has a flag `{name}`")),
        }
    }

    /// What it becomes, with so many backends.
    pub(super) fn scheduling(self, backends: usize) -> Scheduling {
        // Slots for shares within 1 % of the weights.
        let slots = backends * SLOTS_PER_BACKEND;
        let table_size = if slots <= DEFAULT_TABLE_SIZE as usize {
            DEFAULT_TABLE_SIZE
        } else {
            next_prime(slots)
        };
        let mut scheduling = Scheduling::new(self.scheduler, table_size);
        if matches!(self.scheduler, Scheduler::Sh | Scheduler::Maglev) {
            scheduling.fallback = self.fallback;
            scheduling.hash_on = if self.port {
                BTreeSet::from([HashField::Source, HashField::SourcePort])
            } else {
                BTreeSet::from([HashField::Source])
            };
        }
        scheduling
    }
}

/// Sets the keys that differ from what a service has without them.
pub(super) fn write(scheduling: &Scheduling, table: &mut Table) {
    let usual = Scheduling::new(scheduling.scheduler, DEFAULT_TABLE_SIZE);
    table.set("scheduler", scheduling.scheduler.name());
    if scheduling.scheduler.has_table_size() && scheduling.table_size != usual.table_size {
        table.set("table_size", i64::from(scheduling.table_size));
    }
    if scheduling.hash_on != usual.hash_on
        && let Ok(toml::Value::Array(fields)) = toml::Value::try_from(&scheduling.hash_on)
    {
        table.set("hash_on", fields);
    }
    if scheduling.fallback {
        table.set("fallback", true);
    }
}

/// Takes a threshold of a backend; 0 is none, as in IPVS.
pub(super) fn threshold(key: &str, text: &str, into: &mut u32) -> Outcome {
    match text.parse::<u32>() {
        Ok(flows) if flows <= MAX_THRESHOLD => {
            *into = flows;
            Outcome::translated(format!("`{key}`"))
        }
        _ => Outcome::missing(format!("not a number from 0 to {MAX_THRESHOLD}; it is none")),
    }
}

/// Sets the thresholds of a backend, as far as they mean anything.
pub(super) fn write_thresholds(backend: &Backend, table: &mut Table) {
    if backend.upper > 0 {
        table.set("upper_threshold", i64::from(backend.upper));
        // IPVS takes any lower one; above the upper one it is the upper one that decides.
        if backend.lower > 0 {
            table.set("lower_threshold", i64::from(backend.lower.min(backend.upper)));
        }
    }
}
