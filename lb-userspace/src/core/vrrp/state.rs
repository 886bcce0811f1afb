//! What a virtual router remembers in each of its states.

use std::time::Duration;

use lb_common::wire::vrrp::Interval;

use super::{ANSWERS_PER_INTERVAL, Cause, Heard, Preempt, Role, Settings, YIELD};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Initialize,
    Backup(Backup),
    Active(Active),
}

impl State {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Initialize => Role::Initialize,
            Self::Backup(_) => Role::Backup,
            Self::Active(_) => Role::Active,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backup {
    /// `Active_Down_Timer`.
    pub(super) down_at: Duration,
    /// What to say when it fires.
    pub(super) when_down: Cause,
    /// `Active_Adver_Interval`.
    interval: Interval,
    /// Since when the Active is one that would be preempted.
    lesser_since: Option<Duration>,
}

impl Backup {
    pub(super) fn new(settings: &Settings, interval: Interval, when_down: Cause, now: Duration) -> Self {
        Self {
            down_at: now + settings.active_down_interval(interval),
            when_down,
            interval,
            lesser_since: None,
        }
    }

    /// Of who was Active and is not sure to be it still.
    pub(super) fn after_lapse(settings: &Settings, now: Duration) -> Self {
        let interval = settings.interval;
        Self {
            down_at: now + interval.duration() + settings.skew(interval),
            ..Self::new(settings, interval, Cause::NotTaken, now)
        }
    }

    /// Of who owns the addresses, and waits for nothing but the order.
    pub(super) fn of_owner(settings: &Settings, now: Duration) -> Self {
        Self {
            down_at: now,
            ..Self::new(settings, settings.interval, Cause::Owner, now)
        }
    }

    /// After an advertisement (RFC 9568 section 6.4.2).
    pub(super) fn hears(self, heard: Heard, preempt: Preempt, settings: &Settings, now: Duration) -> Self {
        if heard.priority == YIELD {
            let sooner = now + settings.skew(self.interval);
            return Self {
                down_at: self.down_at.min(sooner),
                when_down: Cause::Yielded(heard),
                ..self
            };
        }
        let obeyed = Self::new(settings, heard.interval, Cause::Silent(heard), now);
        match preempt {
            Preempt::After(delay) if heard.priority < settings.priority => {
                let since = self.lesser_since.unwrap_or(now);
                let backup = if now.saturating_sub(since) < delay {
                    obeyed
                } else {
                    Self {
                        when_down: Cause::Preempted(heard),
                        ..self
                    }
                };
                Self {
                    lesser_since: Some(since),
                    ..backup
                }
            }
            Preempt::After(_) | Preempt::Never => obeyed,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Active {
    /// `Adver_Timer`.
    pub(super) advertise_at: Duration,
    /// When a lesser Active is answered again.
    pub(super) answer_at: Duration,
}

impl Active {
    pub(super) fn new(settings: &Settings, now: Duration) -> Self {
        Self {
            advertise_at: now + settings.interval.duration(),
            answer_at: now,
        }
    }

    /// After an advertisement of our own. One that is late is not made up for.
    pub(super) fn advertised(self, settings: &Settings, now: Duration) -> Self {
        Self {
            advertise_at: now + settings.interval.duration(),
            ..self
        }
    }

    /// After an answer to a lesser Active, which is an advertisement too.
    pub(super) fn answered(self, settings: &Settings, now: Duration) -> Self {
        Self {
            answer_at: now + settings.interval.duration() / ANSWERS_PER_INTERVAL,
            ..self.advertised(settings, now)
        }
    }
}
