//! Programs of the operator around each move of VIPs: test, `pre_acquire`, `post_acquire`, `pre_release`, `post_release`.
//!
//! Whoever wants to take VIPs, or to give them away, [asks](Hooks::ask) again and again until the answer is
//! [`Answer::Go`]; meanwhile the programs run elsewhere, and nothing waits longer for them than they may take. What cannot
//! be put off is not asked about: VIPs that are lost are lost, and the programs hear of it.
//!
//! A test alone can say no, and only by ending with a code other than 0. One that hangs or cannot be run says nothing: a
//! broken script must not keep the VIPs from whoever could serve them.

use std::{net::IpAddr, time::Duration};

use super::{Output, event::Event, group::Outputs};
use crate::core::{
    model::{Instance, Step},
    vrrp::Role,
};

/// Programs that were killed because their time was over are heard of a little later.
const GRACE: Duration = Duration::from_millis(500);
/// Who was told no does not ask again for this long.
const VETO: Duration = Duration::from_secs(30);

/// Which way VIPs move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To this director.
    Acquire,
    /// Away from it.
    Release,
}

impl Direction {
    /// Its name in the environment of programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Release => "release",
        }
    }

    const fn first(self) -> [Step; 2] {
        match self {
            Self::Acquire => [Step::Test, Step::PreAcquire],
            Self::Release => [Step::Test, Step::PreRelease],
        }
    }
}

/// Programs to be run one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Name of the group.
    pub group: String,
    /// What [`super::Input::Ran`] has to say of it; `None` if nobody waits for it.
    pub id: Option<u64>,
    /// At which point.
    pub step: Step,
    /// Which way the VIPs move.
    pub direction: Direction,
    /// Why.
    pub why: String,
    /// The programs.
    pub calls: Vec<Call>,
}

/// A program of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name of the instance.
    pub instance: String,
    /// Its interface.
    pub interface: String,
    /// Its VIPs.
    pub vips: Vec<IpAddr>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How long it may run.
    pub timeout: Duration,
}

/// What came of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ran {
    /// It ended with the code 0.
    Well,
    /// A test that ended with another code: no. What it said.
    Refused(String),
    /// It ended otherwise, was killed, or could not be run: why. That changes nothing.
    Failed(String),
}

/// Whether VIPs may move now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// They may.
    Go,
    /// Ask again.
    Wait,
    /// They may not.
    No,
}

/// What runs, and what was said.
#[derive(Debug, Clone, Default)]
pub(super) struct Hooks {
    asked: Option<Asked>,
    /// What said no to which direction, and until when that counts.
    vetoes: Vec<(Direction, Duration, String)>,
    /// Everything that was to happen before a release has happened: it is no surprise.
    released: bool,
    last: u64,
}

#[derive(Debug, Clone)]
struct Asked {
    direction: Direction,
    step: Step,
    id: u64,
    /// The programs have ended by then.
    until: Duration,
    has_ended: bool,
}

impl Hooks {
    /// Whether VIPs may move; has the programs run that have a say in it.
    pub(super) fn ask(
        &mut self,
        direction: Direction,
        why: &str,
        whose: Whose<'_>,
        now: Duration,
        outputs: &mut Outputs<'_>,
    ) -> Answer {
        if self.veto(direction, now).is_some() {
            return Answer::No;
        }
        let [first, second] = direction.first();
        let next = match &self.asked {
            Some(asked) if asked.direction == direction => {
                if !asked.has_ended && now < asked.until {
                    return Answer::Wait;
                }
                (asked.step == first).then_some(second)
            }
            Some(_) | None => Some(first),
        };
        self.asked = None;
        let mut steps = next.into_iter().chain((next == Some(first)).then_some(second));
        let found = steps.find_map(|step| Some((step, whose.calls(step)?)));
        let Some((step, calls)) = found else {
            self.released = direction == Direction::Release;
            return Answer::Go;
        };
        self.last += 1;
        let time: Duration = calls.iter().map(|call| call.timeout).sum();
        self.asked = Some(Asked {
            direction,
            step,
            id: self.last,
            until: now + time + GRACE,
            has_ended: false,
        });
        outputs.queue.push_back(Output::Run(Run {
            group: whose.group.to_owned(),
            id: Some(self.last),
            step,
            direction,
            why: why.to_owned(),
            calls,
        }));
        Answer::Wait
    }

    /// The programs of a run have ended; `veto` is what a test said that said no.
    pub(super) fn ran(&mut self, id: u64, veto: Option<&str>, now: Duration) {
        let Some(asked) = self.asked.as_mut().filter(|asked| asked.id == id) else {
            return;
        };
        asked.has_ended = true;
        if let (Step::Test, Some(veto)) = (asked.step, veto) {
            let direction = asked.direction;
            self.vetoes
                .retain(|(known, until, _)| *known != direction && now < *until);
            self.vetoes.push((direction, now + VETO, veto.to_owned()));
            self.asked = None;
        }
    }

    /// An operator wants to know again what was vetoed.
    pub(super) fn lift(&mut self, direction: Direction) {
        self.vetoes.retain(|(known, ..)| *known != direction);
    }

    /// VIPs are not to move any more.
    pub(super) fn forget(&mut self) {
        self.asked = None;
    }

    /// What said no, while that counts.
    pub(super) fn veto(&self, direction: Direction, now: Duration) -> Option<&str> {
        let mut vetoes = self.vetoes.iter();
        let veto = vetoes.find(|(known, until, _)| *known == direction && now < *until)?;
        Some(&veto.2)
    }

    /// VIPs have moved.
    pub(super) fn moved(
        &mut self,
        from: Role,
        to: Role,
        why: &str,
        whose: Whose<'_>,
        outputs: &mut Outputs<'_>,
    ) {
        let was_asked = std::mem::take(&mut self.released);
        self.asked = None;
        let (direction, steps) = match (from, to) {
            (Role::Initialize | Role::Backup, Role::Active) => (Direction::Acquire, &[Step::PostAcquire][..]),
            (Role::Active, Role::Initialize | Role::Backup) if was_asked => {
                (Direction::Release, &[Step::PostRelease][..])
            }
            (Role::Active, Role::Initialize | Role::Backup) => {
                (Direction::Release, &[Step::PreRelease, Step::PostRelease][..])
            }
            (Role::Initialize | Role::Backup, Role::Initialize | Role::Backup)
            | (Role::Active, Role::Active) => return,
        };
        for &step in steps {
            if let Some(calls) = whose.calls(step) {
                outputs.queue.push_back(Output::Run(Run {
                    group: whose.group.to_owned(),
                    id: None,
                    step,
                    direction,
                    why: why.to_owned(),
                    calls,
                }));
            }
        }
    }

    /// When there is something to do.
    pub(super) fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let asked = self.asked.iter().map(|asked| asked.until);
        let vetoes = self.vetoes.iter().map(|(_, until, _)| *until);
        asked.chain(vetoes).filter(|at| *at > now).min()
    }
}

/// Whose hooks they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose<'a> {
    /// Name of the group.
    pub(super) group: &'a str,
    /// Its instances.
    pub(super) instances: &'a [Instance],
}

impl Whose<'_> {
    /// The programs of a step; `None` where there are none.
    fn calls(self, step: Step) -> Option<Vec<Call>> {
        let calls = self.instances.iter().filter_map(|instance| {
            Some(Call {
                instance: instance.name.clone(),
                interface: instance.interface.clone(),
                vips: instance.vips.clone(),
                command: instance.hooks.commands.get(&step)?.clone(),
                timeout: instance.hooks.timeout,
            })
        });
        let calls: Vec<_> = calls.collect();
        (!calls.is_empty()).then_some(calls)
    }
}

impl Run {
    /// What is to be told of one of its programs.
    #[must_use]
    pub fn event(&self, call: &Call, ran: Ran, took: Duration) -> Event {
        Event::Hook {
            group: self.group.clone(),
            instance: call.instance.clone(),
            step: self.step,
            direction: self.direction,
            ran,
            took,
        }
    }
}
