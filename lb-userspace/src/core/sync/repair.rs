//! Finding what another director has and this one has not, and fetching it.
//!
//! ```text
//!  own survey done ──▶ their branches ──▶ their leaves below branches that differ ──▶ content of leaves that differ ──▶ done
//! ```
//! Each step is a question that is asked again when no answer comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lb_common::wire::sync::{Digest, Digests, LeafPart, Leaves, MAX_INTERVALS, SurveyId};

use super::bitmap::{Bitmap, runs};

/// How long an answer may take before the question is asked again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(60);
const LAST_RETRY: Duration = Duration::from_secs(1);
/// Questions without an answer after which the other is given up until the next survey.
const MOST_TRIES: u32 = 8;
/// Leaves that are asked for and have not come, at most.
const WINDOW: usize = 256;
/// Every so many surveys, what was fetched in vain is fetched again: what was in its way may be gone.
const TRY_ALL: u64 = 16;
/// Parts of one leaf, at most: some five thousand connections.
const MOST_PARTS: u16 = 256;

/// How a comparison stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    Idle,
    /// It is under way.
    UnderWay,
    /// It has found all differences, and fetched what the other has.
    Done,
    /// The other does not answer.
    GivenUp,
}

/// A question that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Patience {
    due: Duration,
    tries: u32,
}

impl Patience {
    fn new(now: Duration) -> Self {
        Self { due: now, tries: 0 }
    }

    /// Asks (again) if it is time; `None` if it is not.
    fn ask(&mut self, now: Duration) -> Option<Asked> {
        if now < self.due {
            return None;
        }
        if self.tries >= MOST_TRIES {
            return Some(Asked::TooOften);
        }
        self.due = now + (FIRST_RETRY * 2_u32.saturating_pow(self.tries)).min(LAST_RETRY);
        self.tries += 1;
        Some(Asked::Now)
    }

    /// An answer came, if not all of it.
    fn encouraged(&mut self, now: Duration) {
        self.tries = self.tries.min(1);
        self.due = self.due.max(now + FIRST_RETRY / 2);
    }
}

enum Asked {
    Now,
    TooOften,
}

/// How two tables differed when they were compared last. Connections are counted by what their digests say: where as many
/// are in a leaf here as there, and they are not the same, one of them differs at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Divergence {
    /// Connections here that were compared.
    pub compared: u64,
    /// Connections that only this director had.
    pub only_here: u64,
    /// Connections that only the other one had.
    pub only_there: u64,
    /// Connections that both had, and not with the same state or backend.
    pub otherwise: u64,
}

impl Divergence {
    /// How many differed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.only_here + self.only_there + self.otherwise
    }

    fn note(&mut self, ours: Digest, theirs: Digest) {
        self.only_here += u64::from(ours.count.saturating_sub(theirs.count));
        self.only_there += u64::from(theirs.count.saturating_sub(ours.count));
        self.otherwise += u64::from(ours.count == theirs.count && ours.sum != theirs.sum);
    }
}

#[derive(Debug)]
struct Outstanding {
    patience: Patience,
    /// Parts that have come, and how many there are if that is known.
    parts: BTreeSet<u16>,
    of: Option<u16>,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Branches(Patience),
    Leaves(Patience),
    Content,
    Done,
    GivenUp,
}

/// A question for the other director.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// For the digests below these branches; none: for those of the branches themselves.
    Digests(SurveyId, Vec<u16>),
    /// For the content of these leaves.
    Leaves(Vec<Leaves>),
}

/// The comparison with one other director.
#[derive(Debug)]
pub(super) struct Repair {
    stage: Stage,
    survey: Option<SurveyId>,
    /// The other's branches, and the survey that they are of.
    theirs: Vec<Option<Digest>>,
    their_survey: Option<SurveyId>,
    their_scope: u64,
    /// Leaves whose digests are wanted.
    undigested: Bitmap,
    /// Leaves that differ and were not asked for yet.
    differing: Bitmap,
    outstanding: BTreeMap<u16, Outstanding>,
    /// By leaf: of both digests, when the content was fetched and changed nothing; 0 where it never was. To fetch it again
    /// would be in vain until one of them changes.
    fruitless: Vec<u32>,
    divergence: Divergence,
    leaves: usize,
    branches: usize,
    fetched: usize,
    wanted: usize,
}

impl Repair {
    /// For 2 to the power of `leaf_bits` leaves.
    pub(super) fn new(leaf_bits: u8) -> Self {
        let (leaves, branches) = (1 << leaf_bits, branches(leaf_bits));
        Self {
            stage: Stage::Idle,
            survey: None,
            theirs: vec![None; branches],
            their_survey: None,
            their_scope: 0,
            undigested: Bitmap::new(leaves),
            differing: Bitmap::new(leaves),
            outstanding: BTreeMap::new(),
            fruitless: vec![0; leaves],
            divergence: Divergence::default(),
            leaves,
            branches,
            fetched: 0,
            wanted: 0,
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match self.stage {
            Stage::Idle => Standing::Idle,
            Stage::Branches(_) | Stage::Leaves(_) | Stage::Content => Standing::UnderWay,
            Stage::Done => Standing::Done,
            Stage::GivenUp => Standing::GivenUp,
        }
    }

    /// The survey that is compared, or was last.
    pub(super) fn survey(&self) -> Option<SurveyId> {
        self.survey
    }

    /// How the tables differ, as far as this comparison has come.
    pub(super) fn divergence(&self) -> Divergence {
        self.divergence
    }

    /// Leaves that were fetched, and all that are to be.
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.fetched, self.wanted)
    }

    /// The other begins a new life: what it said does not count any more.
    pub(super) fn reset(&mut self) {
        self.stage = Stage::Idle;
        self.survey = None;
        self.their_survey = None;
        self.theirs.fill(None);
        self.fruitless.fill(0);
        self.forget_questions();
    }

    fn forget_questions(&mut self) {
        // What was to be fetched, and was not, may well be worth it.
        for leaf in self
            .differing
            .iter()
            .chain(self.outstanding.keys().map(|leaf| usize::from(*leaf)))
        {
            self.fruitless[leaf] = 0;
        }
        self.undigested.clear();
        self.differing.clear();
        self.outstanding.clear();
        (self.fetched, self.wanted) = (0, 0);
    }

    /// Own survey is complete: the comparison begins.
    pub(super) fn begin(&mut self, own: &OwnSurvey<'_>, now: Duration) {
        self.forget_questions();
        self.survey = Some(own.survey);
        self.divergence = Divergence {
            compared: own.leaves.iter().map(|leaf| u64::from(leaf.count)).sum(),
            ..Divergence::default()
        };
        // The other may need a moment longer for its own.
        let mut patience = Patience::new(now);
        patience.due = now + FIRST_RETRY;
        self.stage = Stage::Branches(patience);
        self.compare_branches(own, now);
    }

    /// Takes note of digests of branches; of a survey that is still to come, too.
    pub(super) fn branches(&mut self, digests: &Digests<'_>, own: Option<&OwnSurvey<'_>>, now: Duration) {
        let is_newer = |known: SurveyId| digests.survey > known;
        if self.their_survey.is_none_or(is_newer) || self.their_scope != digests.scope {
            self.theirs.fill(None);
            self.their_survey = Some(digests.survey);
            self.their_scope = digests.scope;
        }
        if self.their_survey != Some(digests.survey) {
            return;
        }
        for (place, digest) in self
            .theirs
            .iter_mut()
            .skip(digests.first.into())
            .zip(digests.iter())
        {
            *place = Some(digest);
        }
        if let Some(own) = own {
            self.compare_branches(own, now);
        }
    }

    fn compare_branches(&mut self, own: &OwnSurvey<'_>, now: Duration) {
        let Stage::Branches(_) = self.stage else { return };
        if self.their_survey != Some(own.survey) || self.their_scope != own.scope {
            return;
        }
        if self.theirs.iter().any(Option::is_none) {
            return;
        }
        let below = self.leaves / self.branches;
        for (branch, theirs) in self.theirs.iter().enumerate() {
            if *theirs != Some(own.branch(branch)) {
                for leaf in branch * below..(branch + 1) * below {
                    self.undigested.insert(leaf);
                }
            }
        }
        self.stage = if self.undigested.is_empty() {
            Stage::Done
        } else {
            Stage::Leaves(Patience::new(now))
        };
    }

    /// Takes note of digests of leaves. `survey_count` counts the own surveys.
    pub(super) fn leaves(
        &mut self,
        digests: &Digests<'_>,
        own: &OwnSurvey<'_>,
        survey_count: u64,
        now: Duration,
    ) {
        let Stage::Leaves(patience) = &mut self.stage else {
            return;
        };
        if self.survey != Some(digests.survey) || digests.survey != own.survey || digests.scope != own.scope {
            return;
        }
        patience.encouraged(now);
        let tries_all = survey_count.is_multiple_of(TRY_ALL);
        for (leaf, theirs) in (usize::from(digests.first)..).zip(digests.iter()) {
            let Some(&ours) = own.leaves.get(leaf).filter(|_| self.undigested.remove(leaf)) else {
                continue;
            };
            self.divergence.note(ours, theirs);
            // What only this director has, the other will ask for.
            if ours == theirs || theirs.count == 0 {
                continue;
            }
            let both = ours.sum.rotate_left(1) ^ theirs.sum;
            let both = (both ^ both >> 32) as u32 | 1;
            let fruitless = &mut self.fruitless[leaf];
            if *fruitless != both || tries_all {
                *fruitless = both;
                self.differing.insert(leaf);
            }
        }
        if self.undigested.is_empty() {
            self.wanted = self.differing.len();
            self.stage = if self.differing.is_empty() {
                Stage::Done
            } else {
                Stage::Content
            };
        }
    }

    /// Takes note of the content of leaves; whether it made a difference.
    pub(super) fn content(&mut self, part: &LeafPart, differed: bool, now: Duration) {
        let Stage::Content = self.stage else { return };
        let leaves = part.leaves.first..=part.leaves.first.saturating_add(part.leaves.count - 1);
        for leaf in leaves {
            if differed && let Some(fruitless) = self.fruitless.get_mut(usize::from(leaf)) {
                *fruitless = 0;
            }
            let Some(outstanding) = self.outstanding.get_mut(&leaf) else {
                continue;
            };
            if part.last {
                outstanding.of = Some(part.part.min(MOST_PARTS) + 1);
            }
            if part.part < MOST_PARTS {
                outstanding.parts.insert(part.part);
            }
            outstanding.patience.encouraged(now);
            if outstanding
                .of
                .is_some_and(|of| outstanding.parts.len() >= of.into())
            {
                self.outstanding.remove(&leaf);
                self.fetched += 1;
            }
        }
        if self.outstanding.is_empty() && self.differing.is_empty() {
            self.stage = Stage::Done;
        }
    }

    /// The next thing to ask.
    pub(super) fn question(&mut self, now: Duration) -> Option<Question> {
        match &mut self.stage {
            Stage::Idle | Stage::Done | Stage::GivenUp => None,
            Stage::Branches(patience) => match patience.ask(now)? {
                Asked::Now => Some(Question::Digests(self.survey?, Vec::new())),
                Asked::TooOften => self.give_up(),
            },
            Stage::Leaves(patience) => match patience.ask(now)? {
                Asked::Now => {
                    let below = self.leaves / self.branches;
                    let mut branches: Vec<u16> =
                        self.undigested.iter().map(|leaf| (leaf / below) as u16).collect();
                    branches.dedup();
                    branches.truncate(MAX_INTERVALS);
                    Some(Question::Digests(self.survey?, branches))
                }
                Asked::TooOften => self.give_up(),
            },
            Stage::Content => self.ask_for_content(now),
        }
    }

    fn ask_for_content(&mut self, now: Duration) -> Option<Question> {
        let mut again = Vec::new();
        let mut too_often = false;
        for (&leaf, outstanding) in &mut self.outstanding {
            match outstanding.patience.ask(now) {
                None => {}
                Some(Asked::Now) => again.push(leaf),
                Some(Asked::TooOften) => too_often = true,
            }
        }
        if too_often {
            return self.give_up();
        }
        // New questions go out in numbers: half a window at a time.
        if again.is_empty() && self.outstanding.len() <= WINDOW / 2 {
            while self.outstanding.len() < WINDOW
                && let Some(leaf) = self.differing.next(0)
            {
                self.differing.remove(leaf);
                let mut patience = Patience::new(now);
                patience.ask(now);
                let outstanding = Outstanding {
                    patience,
                    parts: BTreeSet::new(),
                    of: None,
                };
                self.outstanding.insert(leaf as u16, outstanding);
                again.push(leaf as u16);
            }
        }
        let mut runs = runs(again);
        runs.truncate(MAX_INTERVALS);
        (!runs.is_empty()).then_some(Question::Leaves(runs))
    }

    fn give_up(&mut self) -> Option<Question> {
        self.forget_questions();
        self.stage = Stage::GivenUp;
        None
    }

    /// When [`Self::question`] will have one.
    pub(super) fn next_question(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Idle | Stage::Done | Stage::GivenUp => None,
            Stage::Branches(patience) | Stage::Leaves(patience) => Some(patience.due),
            Stage::Content if self.outstanding.len() <= WINDOW / 2 && !self.differing.is_empty() => {
                Some(Duration::ZERO)
            }
            Stage::Content => self.outstanding.values().map(|leaf| leaf.patience.due).min(),
        }
    }
}

/// What an own survey has found.
pub(super) struct OwnSurvey<'a> {
    pub(super) survey: SurveyId,
    pub(super) scope: u64,
    pub(super) leaves: &'a [Digest],
}

impl OwnSurvey<'_> {
    /// The digest of all leaves below a branch.
    pub(super) fn branch(&self, branch: usize) -> Digest {
        let below = self.leaves.len() / branches(self.leaves.len().trailing_zeros() as u8);
        let leaves = self.leaves.iter().skip(branch * below).take(below);
        leaves.fold(Digest::default(), |sum, leaf| Digest {
            sum: sum.sum.wrapping_add(leaf.sum),
            count: sum.count.saturating_add(leaf.count),
        })
    }
}

/// How many branches there are to 2 to the power of `leaf_bits` leaves: about as many as leaves below each.
pub(super) fn branches(leaf_bits: u8) -> usize {
    1 << (leaf_bits / 2)
}
