//! Comparing tables because somebody wants to know.

use std::time::Duration;

use lb_common::wire::sync::{SurveyId, write};

use super::{
    Mended, Node, Replica, To,
    peer::Peer,
    repair::{Divergence, Standing},
};

/// How long a comparison may take.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// A comparison that somebody waits for.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The first survey that will do; `None` until it was called for.
    survey: Option<SurveyId>,
    until: Duration,
}

/// How the tables of this director and of another one compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The other.
    pub director: String,
    /// `None` if it did not answer in time.
    pub found: Option<Divergence>,
}

/// How the tables of all directors compare.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// With each of the others.
    pub directors: Vec<Comparison>,
    /// What was missing here or known otherwise, and has been mended: the first of it, as much as was asked for.
    pub mended: Vec<Mended>,
    /// How much that was in all.
    pub all_mended: u64,
    /// Connections of services of which nobody is told, at the last survey.
    pub untold: u64,
}

impl Node {
    /// Compares the tables of all directors once more.
    pub fn begin_comparison(&mut self, now: Duration) {
        self.wanted = Some(Wanted {
            survey: None,
            until: now + PATIENCE,
        });
    }

    /// Calls for the survey that is wanted, when none is under way.
    pub(super) fn call_wanted_survey(&mut self, replica: &mut impl Replica, now: Duration) {
        let clock = self.clock.at(now);
        let survey = SurveyId(clock);
        let is_free = self.surveys.running.is_none() && self.surveys.is_news(survey) && self.is_in_company();
        if let Some(wanted) = &mut self.wanted
            && wanted.survey.is_none()
            && is_free
        {
            wanted.survey = Some(survey);
            self.send(To::Group, |payload| write::survey(survey, clock, payload));
            self.begin_survey(survey, replica);
        }
    }

    /// What the comparison has found, once all have been compared with.
    pub fn poll_comparison(&mut self, replica: &impl Replica, now: Duration) -> Option<Compared> {
        let wanted = self.wanted.as_ref()?;
        let found = |peer: &Peer| {
            let is_new = wanted.survey.is_some() && peer.repair.survey() >= wanted.survey;
            let is_known = matches!(peer.repair.standing(), Standing::Done);
            (is_new && is_known).then(|| peer.repair.divergence())
        };
        let all: Vec<_> = self
            .company()
            .map(|peer| Comparison {
                director: peer.name(),
                found: found(peer),
            })
            .collect();
        if all.iter().any(|one| one.found.is_none()) && now < wanted.until {
            return None;
        }
        self.wanted = None;
        Some(Compared {
            directors: all,
            mended: replica.mended(),
            all_mended: self.company().map(|peer| peer.mended).sum(),
            untold: replica.untold(),
        })
    }
}
