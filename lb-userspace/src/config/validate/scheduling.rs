//! How services choose their backends.

use std::collections::BTreeSet;

use crate::config::Spanned;
use lb_common::scheduling::MOST_SLOTS;

use super::Validator;
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        file,
    },
    core::{
        model::{DEFAULT_TABLE_SIZE, Service, Thresholds},
        schedule::{Scheduler, Scheduling, maglev},
    },
};

/// Longest Maglev table of a service: the largest prime below 2^20. Longer ones spread no better and fall out of
/// caches.
const MAX_TABLE_SIZE: u32 = 1_048_573;

/// With fewer slots a backend, shares may be more than 1 % off their weights (Maglev paper, section 3.4).
pub(in crate::config) const SLOTS_PER_BACKEND: usize = 100;

/// Most connections that a threshold may be (as in `ipvsadm`).
pub(in crate::config) const MAX_THRESHOLD: u32 = 65_535;

impl Validator<'_> {
    pub(super) fn scheduling(&mut self, table: &file::Service) -> Scheduling {
        let scheduler = table
            .scheduler
            .as_ref()
            .map_or(Scheduler::Maglev, |given| *given.get_ref());
        let mut scheduling = Scheduling::new(scheduler, self.table_size(scheduler, table));
        if let Some(given) = &table.hash_on {
            if !scheduler.hashes() {
                self.no_hash("hash_on", scheduler, given.span());
            } else if given.get_ref().is_empty() {
                self.report(
                    Diagnostic::error("`hash_on` names nothing")
                        .at(given.span(), "expected at least one field, such as \"source\""),
                );
            } else {
                scheduling.hash_on = BTreeSet::from_iter(given.get_ref().iter().copied());
            }
        }
        if let Some(given) = &table.fallback {
            if scheduler.hashes() {
                scheduling.fallback = *given.get_ref();
            } else if *given.get_ref() {
                self.no_hash("fallback", scheduler, given.span());
            }
        }
        scheduling
    }

    fn no_hash(&mut self, key: &str, scheduler: Scheduler, span: std::ops::Range<usize>) {
        self.report(
            Diagnostic::error(format!("`{key}` means nothing to the scheduler `{scheduler}`"))
                .at(span, "expected only with `maglev`, `sh` or `dh`"),
        );
    }

    fn table_size(&mut self, scheduler: Scheduler, table: &file::Service) -> u32 {
        let Some(given) = &table.table_size else {
            return DEFAULT_TABLE_SIZE;
        };
        let wrong = match u32::try_from(*given.get_ref()) {
            _ if !scheduler.has_table_size() => Diagnostic::error(format!(
                "`table_size` means nothing to the scheduler `{scheduler}`"
            ))
            .at(given.span(), "expected only with `maglev`"),
            Ok(size @ 2..=MAX_TABLE_SIZE) if maglev::is_prime(size) => return size,
            Ok(size @ 2..=MAX_TABLE_SIZE) => Diagnostic::error(format!("`table_size` {size} is not a prime"))
                .at(
                    given.span(),
                    format!("expected a prime; the next is {}", next_prime(size as usize)),
                ),
            Ok(_) | Err(_) => Diagnostic::error("`table_size` is out of range").at(
                given.span(),
                format!("expected a prime from 2 to {MAX_TABLE_SIZE}"),
            ),
        };
        self.report(wrong);
        DEFAULT_TABLE_SIZE
    }

    pub(super) fn thresholds(&mut self, entry: &file::Backend) -> Thresholds {
        let upper = self.threshold("upper_threshold", entry.upper_threshold.as_ref());
        let lower = self.threshold("lower_threshold", entry.lower_threshold.as_ref());
        if let Some(given) = &entry.lower_threshold {
            if upper == 0 {
                self.report(
                    Diagnostic::error("`lower_threshold` without `upper_threshold`")
                        .at(given.span(), "a backend that is never full has none"),
                );
            } else if lower > upper {
                self.report(
                    Diagnostic::error("`lower_threshold` is above `upper_threshold`").at(
                        given.span(),
                        format!("expected at most {upper}: below it a full backend takes connections again"),
                    ),
                );
            }
        }
        Thresholds { upper, lower }
    }

    fn threshold(&mut self, key: &str, given: Option<&Spanned<i64>>) -> u32 {
        let Some(given) = given else { return 0 };
        match u32::try_from(*given.get_ref()) {
            Ok(flows @ 1..=MAX_THRESHOLD) => flows,
            Ok(_) | Err(_) => {
                self.report(Diagnostic::error(format!("`{key}` is out of range")).at(
                    given.span(),
                    format!("expected 1 to {MAX_THRESHOLD} connections; leave it out for no limit"),
                ));
                0
            }
        }
    }

    /// Whether there is anybody to send new connections to, and the schedule has room for them all.
    pub(super) fn balance(&mut self, service: &Service, table: &file::Service) {
        let (name, count) = (quote(&service.name), service.backends.len());
        if service.backends.iter().all(|backend| backend.weight == 0) {
            let what = if count == 0 {
                "no backend"
            } else {
                "only backends of weight 0"
            };
            self.report(
                Diagnostic::warning(format!("service {name} has {what}"))
                    .at(table.name.span(), "there is nowhere to send new connections"),
            );
        } else if service.backends.iter().all(|backend| backend.backup) {
            self.report(
                Diagnostic::warning(format!("service {name} has only backups"))
                    .at(table.name.span(), "they work as if they were none"),
            );
        }
        if service.scheduling.scheduler.has_table_size() {
            self.table_holds(service, table);
        } else if count > MOST_SLOTS as usize && !service.scheduling.scheduler.has_shares() {
            self.report(
                Diagnostic::error(format!("service {name} has {count} backends")).at(
                    table.name.span(),
                    format!(
                        "expected at most {MOST_SLOTS} with the scheduler `{}`, which looks at each of them for every new \
                         connection",
                        service.scheduling.scheduler
                    ),
                ),
            );
        }
    }

    /// Whether a Maglev table has a slot for every backend, and enough of them for the shares to come out.
    fn table_holds(&mut self, service: &Service, table: &file::Service) {
        let (name, count) = (quote(&service.name), service.backends.len());
        let slots = service.scheduling.table_size as usize;
        let span = table
            .table_size
            .as_ref()
            .map_or_else(|| table.name.span(), Spanned::span);
        let better = next_prime(count * SLOTS_PER_BACKEND);
        if service.backends.iter().all(|backend| backend.weight == 0) {
            return;
        }
        if count > slots {
            self.report(
                Diagnostic::error(format!("service {name} has {count} backends on {slots} slots")).at(
                    span,
                    format!("expected a `table_size` of {better} or another large prime"),
                ),
            );
        } else if slots < (count * SLOTS_PER_BACKEND).min(MAX_TABLE_SIZE as usize) {
            self.report(
                Diagnostic::warning(format!("service {name} has few slots for its {count} backends"))
                    .at(span, "shares will differ from weights")
                    .note(format!(
                        "a `table_size` of {better} or a larger prime would be better"
                    )),
            );
        }
    }
}

/// Most slots that the service's schedules may take while its backends come and go.
pub(super) fn slots(service: &Service) -> u32 {
    let weights = service.backends.iter().map(|backend| backend.weight);
    let backups = service.backends.iter().filter(|backend| backend.backup).count() as u32;
    service.scheduling.layout().most_slots(weights) + backups
}

/// The smallest prime from `least` that a table size may be, or else the largest.
pub(in crate::config) fn next_prime(least: usize) -> u32 {
    let least = u32::try_from(least).unwrap_or(MAX_TABLE_SIZE);
    (least..=MAX_TABLE_SIZE)
        .find(|n| maglev::is_prime(*n))
        .unwrap_or(MAX_TABLE_SIZE)
}
