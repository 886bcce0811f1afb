//! What this director has found of backends goes to the others, and what they have found counts here until there is an own
//! outcome: after a start nobody has to be assumed to be well, or not.

use std::collections::BTreeSet;

use tracing::warn;

use super::director::Director;
use crate::core::{
    health::{Found, Like, Saying, Verdict},
    model::{Backend, Service},
    sync::Word,
};

impl Director {
    /// Says what own checks have found and nobody has said.
    pub(super) fn say_verdicts(&mut self) {
        let (Some(_), Some(identity)) = (&self.sync, &self.identity) else {
            return;
        };
        let (author, now) = (identity.keyring.own(), self.cluster_ms());
        let found = self.config.services.iter().flat_map(|service| {
            let likes = likes(service);
            let backends = service.backends.iter();
            let found = backends.filter_map(|backend| {
                let found = self.found(service, backend, &likes)?;
                Some(((service.name.clone(), backend.address), found))
            });
            found.collect::<Vec<_>>()
        });
        let found: Vec<_> = found.collect();
        let mut words = Vec::new();
        for ((service, backend), found) in found {
            match self.hearsay.find((&service, backend), found, author, now) {
                Ok(word) => words.extend(word),
                Err(error) => warn!(%error, "other directors do not hear how a backend is"),
            }
        }
        self.pass_on(words);
    }

    /// Takes back what was said of backends that are configured no more.
    pub(super) fn withdraw_verdicts(&mut self) {
        let (Some(_), Some(identity)) = (&self.sync, &self.identity) else {
            return;
        };
        let (author, now) = (identity.keyring.own(), self.cluster_ms());
        let of = |service: &Service| -> Vec<_> {
            let backends = service.backends.iter();
            backends
                .map(|backend| (service.name.clone(), backend.address))
                .collect()
        };
        let kept: BTreeSet<_> = self.config.services.iter().flat_map(of).collect();
        let words = self.hearsay.withdraw(&kept, author, now);
        self.pass_on(words);
    }

    /// What own checks have found of a backend, once all of them have had an outcome.
    fn found(&self, service: &Service, backend: &Backend, likes: &[Like]) -> Option<Saying> {
        let checks = (0..).zip(&service.health.checks).zip(likes);
        let checks = checks.map(|((number, check), like)| {
            let report = self.health.report(&service.name, backend.address, number)?;
            (report.finding.verdict != Verdict::Unknown).then(|| Found {
                check: check.probe.name().to_owned(),
                like: *like,
                state: report.finding.verdict,
                why: report.reason.clone(),
            })
        });
        let checks: Vec<_> = checks.collect::<Option<_>>()?;
        (!checks.is_empty()).then(|| Saying {
            by: self.config.director.name.clone(),
            checks,
        })
    }

    /// Takes note of what another director has found of a backend; `None` if the word is of something else, else whether
    /// it is news.
    pub(super) fn hear_verdict(&mut self, key: &str, word: &Word, cluster_ms: u64) -> Option<bool> {
        self.hearsay.hear(key, word, cluster_ms)
    }

    /// What was found by another director of a check that had no outcome here yet, and by whom.
    pub(super) fn heard(&self, service: &Service, backend: &Backend, like: Like) -> Option<(&str, &Found)> {
        let saying = self.hearsay.of(&service.name, backend.address)?;
        Some((&saying.by, saying.of(like)?))
    }
}

/// What tells the checks of a service from others.
pub(super) fn likes(service: &Service) -> Vec<Like> {
    service.health.checks.iter().map(Like::of).collect()
}
