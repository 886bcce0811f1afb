//! Surveys of the own tables: when they begin, and what they are of.

use std::time::Duration;

use lb_common::wire::sync::{ServiceId, SurveyId};
use ring::digest::{SHA256, digest};

use super::settings::SURVEY_PERIOD_MS;

/// A survey that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) survey: SurveyId,
    /// Digest of the services that it is of.
    pub(super) scope: u64,
}

/// The survey under way, and the last one that is complete.
#[derive(Debug, Default)]
pub(super) struct Surveys {
    pub(super) running: Option<Begun>,
    pub(super) done: Option<Begun>,
    pub(super) count: u64,
    /// When a survey was last called for by this director.
    pub(super) called: Option<Duration>,
    latest: u64,
}

impl Surveys {
    /// The periodic survey whose time has come.
    pub(super) fn periodic(&self, now_ms: u64) -> Option<SurveyId> {
        let id = now_ms / SURVEY_PERIOD_MS * SURVEY_PERIOD_MS;
        (self.running.is_none() && id > self.latest).then_some(SurveyId(id))
    }

    /// How many milliseconds there are to the next periodic survey.
    pub(super) fn until_periodic(&self, now_ms: u64) -> u64 {
        SURVEY_PERIOD_MS - now_ms % SURVEY_PERIOD_MS
    }

    /// Whether a survey that another calls for is to be taken.
    pub(super) fn is_news(&self, survey: SurveyId) -> bool {
        survey.0 > self.latest
    }

    pub(super) fn begin(&mut self, survey: SurveyId, scope: u64) {
        self.latest = survey.0;
        self.running = Some(Begun { survey, scope });
    }

    pub(super) fn complete(&mut self) -> Option<Begun> {
        let begun = self.running.take()?;
        self.done = Some(begun);
        self.count += 1;
        Some(begun)
    }
}

/// Digest of a list of services in ascending order: the first 8 bytes of the SHA-256 of their 8 bytes each.
pub(super) fn digest_of(services: &[ServiceId]) -> u64 {
    let bytes: Vec<u8> = services
        .iter()
        .flat_map(|service| service.0.to_be_bytes())
        .collect();
    let hash = digest(&SHA256, &bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    u64::from_be_bytes(first)
}

/// The name of a service on the wire: the first 8 bytes of the SHA-256 of its name.
#[must_use]
pub fn service_id(name: &str) -> ServiceId {
    let hash = digest(&SHA256, name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    ServiceId(u64::from_be_bytes(first))
}
