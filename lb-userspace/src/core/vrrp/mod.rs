//! VRRP version 3 (RFC 9568): which director of several on one link holds the VIPs.
//!
//! A [`VirtualRouter`] is one director's part in one election: one VRID, one interface, one address family.
//!
//! ```text
//!                     +---------------+
//!          +--------->|               |<-------------+
//!          |          |  Initialize   |              |
//!          |   +------|               |----------+   |
//!          |   |      +---------------+          |   |
//!          |   | priority 255                    |   |
//!          |   V                                 V   |
//!  +---------------+                       +---------------+
//!  |               |---------------------->|               |
//!  |    Active     |   a greater one heard |    Backup     |
//!  |               |<----------------------|               |
//!  +---------------+   Active_Down_Timer   +---------------+
//! ```
//!
//! [`VirtualRouter::receive`] and [`VirtualRouter::handle`] take in what happened, [`VirtualRouter::poll_output`] gives
//! out what to do, [`VirtualRouter::next_deadline`] says when to come back with [`Event::Tick`]. One input causes at most
//! four outputs; they are to be carried out in their order before the next input.
//!
//! # Architecture invariants
//! - VIPs are to be held exactly while the role is [`Role::Active`]: [`Output::Acquire`] and [`Output::Release`] alternate.
//! - A director that slept hears what its sockets hold before it looks at its timers: the caller receives everything
//!   that waits before it hands in an [`Event::Tick`], or else a Backup takes over from an Active that is well.
//!
//! # Where it goes beyond the RFC
//! - An Active that hears a lesser Active announces the VIPs again besides advertising. The RFC need not, since there
//!   both answer with one virtual MAC address; here each answers with its own, and the link has learned the wrong one.
//! - Such answers are given at most four times an interval, whatever is sent to provoke them.
//! - Priority 0 shortens the wait for a takeover and never prolongs it, or else a stream of them would prevent it.
//! - A Backup may wait before it preempts ([`Preempt::After`]).
//! - The IPv4 checksum is sent in the form last heard ([`Coverage`]).

mod counters;
mod input;
mod output;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulator;
mod state;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Duration};

use lb_common::wire::vrrp::{Coverage, Endpoints, Interval, Refusal, Repr, Unsendable};

use self::state::{Active, Backup, State};
pub use self::{
    counters::Counters,
    input::{Event, Heard, Preempt, Settings, StopCause, Vips},
    output::{Cause, Output, Role, Transition},
};

/// Priority of who owns the addresses: never Backup (RFC 9568 section 5.2.4).
pub const OWNER: u8 = 255;
/// Priority by which an Active says that it gives up (RFC 9568 section 5.2.4).
pub const YIELD: u8 = 0;

/// Answers to a lesser Active in one interval, at most.
const ANSWERS_PER_INTERVAL: u32 = 4;

/// One director's part in the election of one virtual router.
#[derive(Debug, Clone)]
pub struct VirtualRouter {
    settings: Settings,
    state: State,
    coverage: Coverage,
    heard: Option<(Heard, Duration)>,
    last_transition: Option<Transition>,
    outputs: VecDeque<Output>,
    counters: Counters,
}

impl VirtualRouter {
    /// In Initialize: nothing happens before [`Event::Start`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Initialize,
            // What keepalived expects; who speaks the other form is answered in it.
            coverage: Coverage::PseudoHeader,
            heard: None,
            last_transition: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes in a packet of protocol 112 that arrived on the interface, whoever sent it. `now` is monotonic, counted
    /// from any fixed point.
    pub fn receive(&mut self, message: &[u8], endpoints: &Endpoints, hop_limit: u8, now: Duration) {
        let repr = match self.accept(message, endpoints, hop_limit) {
            Ok(repr) => repr,
            Err(refusal) => return self.counters.refuse(refusal),
        };
        self.coverage = repr.coverage;
        if !self.settings.vips.are(repr.addresses) {
            self.counters.differing_addresses += 1;
        }
        if repr.interval != self.settings.interval {
            self.counters.differing_interval += 1;
        }
        let heard = Heard {
            source: endpoints.source(),
            priority: repr.priority,
            interval: repr.interval,
        };
        self.handle(Event::Advertisement(heard), now);
    }

    /// The checks of RFC 9568 section 7.1.
    fn accept<'a>(
        &self,
        message: &'a [u8],
        endpoints: &Endpoints,
        hop_limit: u8,
    ) -> Result<Repr<'a>, Refusal> {
        let repr = Repr::parse(message, endpoints, hop_limit)?;
        let primary = self.settings.primary;
        let source = endpoints.source();
        if repr.vrid != self.settings.vrid || source.is_ipv4() != primary.is_ipv4() {
            return Err(Refusal::OtherRouter);
        }
        if source == primary {
            return Err(Refusal::OwnSource);
        }
        Ok(repr)
    }

    /// Takes in one event. `now` is monotonic, counted from any fixed point.
    pub fn handle(&mut self, event: Event, now: Duration) {
        match (&self.state, event) {
            (State::Initialize, Event::Start) if self.settings.priority == OWNER => {
                self.become_active(Cause::Owner, now);
            }
            (State::Initialize, Event::Start) => {
                let interval = self.settings.interval;
                self.become_backup(interval, Cause::NobodyHeard, Cause::Started, now);
            }
            (State::Initialize, Event::Advertisement(_)) => self.counters.refuse(Refusal::NotRunning),
            (State::Initialize, Event::Stop(_) | Event::Tick)
            | (State::Backup(_) | State::Active(_), Event::Start) => {}

            (State::Backup(_), Event::Stop(cause)) => {
                self.enter(State::Initialize, Cause::Stopped(cause), now);
            }
            (State::Backup(backup), Event::Tick) => {
                if now >= backup.down_at {
                    let cause = backup.when_down;
                    self.become_active(cause, now);
                }
            }
            (State::Backup(backup), Event::Advertisement(heard)) => {
                let backup = backup.hears(heard, &self.settings, now);
                self.note(heard, now);
                self.state = State::Backup(backup);
            }

            (State::Active(_), Event::Stop(cause)) => {
                // First the address goes, then the word of it: two holders are worse than none.
                self.outputs.push_back(Output::Release);
                self.advertise(YIELD);
                self.enter(State::Initialize, Cause::Stopped(cause), now);
            }
            (State::Active(active), Event::Tick) => {
                if now >= active.advertise_at {
                    let active = active.advertised(&self.settings, now);
                    self.state = State::Active(active);
                    self.advertise(self.settings.priority);
                }
            }
            (State::Active(_), Event::Advertisement(_)) if self.settings.priority == OWNER => {
                self.counters.refuse(Refusal::LocalOwner);
            }
            (State::Active(active), Event::Advertisement(heard)) => {
                let active = *active;
                self.note(heard, now);
                self.active_hears(active, heard, now);
            }
        }
    }

    /// What to do next, in the order in which it is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in an [`Event::Tick`]; `None` while nothing runs.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Initialize => None,
            State::Backup(backup) => Some(backup.down_at),
            State::Active(active) => Some(active.advertise_at),
        }
    }

    /// Writes the advertisement that [`Output::Advertise`] asks for, for a packet between `endpoints`.
    ///
    /// # Errors
    /// If the VIPs do not fit a message, are of the other family than the packet, or `buffer` is too short.
    pub fn write<'b>(
        &self,
        priority: u8,
        endpoints: &Endpoints,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], Unsendable> {
        let repr = Repr {
            vrid: self.settings.vrid,
            priority,
            interval: self.settings.interval,
            coverage: self.coverage,
            addresses: self.settings.vips.addresses(),
        };
        repr.emit(endpoints, buffer)
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it is now.
    #[must_use]
    pub fn role(&self) -> Role {
        self.state.role()
    }

    /// How it came to be what it is; `None` before the first [`Event::Start`].
    #[must_use]
    pub fn last_transition(&self) -> Option<Transition> {
        self.last_transition
    }

    /// The last advertisement that counted, and when it came.
    #[must_use]
    pub fn last_heard(&self) -> Option<(Heard, Duration)> {
        self.heard
    }

    /// What was sent, received and refused.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn active_hears(&mut self, active: Active, heard: Heard, now: Duration) {
        let Settings {
            priority, primary, ..
        } = self.settings;
        let cause = if heard.priority > priority {
            Some(Cause::Greater(heard))
        } else if heard.priority == priority && heard.source > primary {
            Some(Cause::GreaterAddress(heard))
        } else {
            None
        };
        if let Some(cause) = cause {
            self.outputs.push_back(Output::Release);
            self.become_backup(heard.interval, Cause::Silent(heard), cause, now);
        } else if now >= active.answer_at {
            self.state = State::Active(active.answered(&self.settings, now));
            self.advertise(priority);
            self.outputs.push_back(Output::Announce);
        }
    }

    fn become_active(&mut self, cause: Cause, now: Duration) {
        self.advertise(self.settings.priority);
        self.outputs.push_back(Output::Acquire);
        let active = Active::new(&self.settings, now);
        self.enter(State::Active(active), cause, now);
    }

    fn become_backup(&mut self, interval: Interval, when_down: Cause, cause: Cause, now: Duration) {
        let backup = Backup::new(&self.settings, interval, when_down, now);
        self.enter(State::Backup(backup), cause, now);
    }

    fn enter(&mut self, state: State, cause: Cause, now: Duration) {
        let transition = Transition {
            from: self.state.role(),
            to: state.role(),
            cause,
            at: now,
        };
        self.state = state;
        self.last_transition = Some(transition);
        self.outputs.push_back(Output::Changed(transition));
    }

    fn note(&mut self, heard: Heard, now: Duration) {
        self.counters.received += 1;
        self.heard = Some((heard, now));
    }

    fn advertise(&mut self, priority: u8) {
        self.counters.sent += 1;
        self.outputs.push_back(Output::Advertise { priority });
    }
}
