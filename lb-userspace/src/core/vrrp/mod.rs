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
//! - Who joins several virtual routers decides for them: [`Takeover::OnOrder`], [`Event::Take`], [`Event::Yield`],
//!   [`Standing`].
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

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use lb_common::wire::vrrp::{Coverage, Endpoints, Interval, Refusal, Repr, Unsendable};

use self::state::{Active, Backup, State};
pub use self::{
    counters::Counters,
    input::{DOWN_ADVERTS, Event, Heard, Preempt, Settings, Standing, StopCause, Takeover, Vips},
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
    pub fn receive(
        &mut self,
        message: &[u8],
        endpoints: &Endpoints,
        hop_limit: u8,
        standing: Standing,
        now: Duration,
    ) {
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
        self.handle(Event::Advertisement(heard, standing), now);
    }

    /// How a sender stands to this router where there is nothing to know of it but its address.
    #[must_use]
    pub fn standing(&self, source: IpAddr) -> Standing {
        Standing {
            wins_tie: source > self.settings.primary,
            preempt: self.settings.preempt,
        }
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
        if !self.settings.peers.is_empty() && !self.settings.peers.contains(&source) {
            return Err(Refusal::UnknownPeer);
        }
        Ok(repr)
    }

    /// Takes in one event. `now` is monotonic, counted from any fixed point.
    pub fn handle(&mut self, event: Event, now: Duration) {
        match (&self.state, event) {
            (State::Initialize, Event::Start) if self.settings.priority == OWNER => self.start_as_owner(now),
            (State::Initialize, Event::Start) => {
                let interval = self.settings.interval;
                self.become_backup(interval, Cause::NobodyHeard, Cause::Started, now);
            }
            (State::Initialize, Event::Advertisement(..)) => self.counters.refuse(Refusal::NotRunning),
            (
                State::Initialize,
                Event::Stop(_) | Event::Tick | Event::Take(_) | Event::Yield(_) | Event::Lapse,
            )
            | (State::Backup(_) | State::Active(_), Event::Start)
            | (State::Backup(_), Event::Yield(_) | Event::Lapse)
            | (State::Active(_), Event::Take(_)) => {}

            (State::Backup(_), Event::Stop(cause)) => {
                self.enter(State::Initialize, Cause::Stopped(cause), now);
            }
            (State::Backup(_), Event::Tick) => {
                if self.settings.takeover == Takeover::AtOnce
                    && let Some(cause) = self.due(now)
                {
                    self.become_active(cause, now);
                }
            }
            (State::Backup(_), Event::Take(cause)) => self.become_active(cause, now),
            (State::Backup(backup), Event::Advertisement(heard, standing)) => {
                let backup = backup.hears(heard, standing.preempt, &self.settings, now);
                self.note(heard, now);
                self.state = State::Backup(backup);
            }

            (State::Active(_), Event::Stop(cause)) => {
                self.give_up();
                self.enter(State::Initialize, Cause::Stopped(cause), now);
            }
            (State::Active(_), Event::Yield(cause)) => {
                self.give_up();
                self.become_backup(self.settings.interval, Cause::NotTaken, cause, now);
            }
            (State::Active(_), Event::Lapse) => {
                self.give_up();
                let backup = Backup::after_lapse(&self.settings, now);
                self.enter(State::Backup(backup), Cause::Lapsed, now);
            }
            (State::Active(active), Event::Tick) => {
                if now >= active.advertise_at {
                    let active = active.advertised(&self.settings, now);
                    self.state = State::Active(active);
                    self.advertise(self.settings.priority);
                }
            }
            (State::Active(_), Event::Advertisement(..)) if self.settings.priority == OWNER => {
                self.counters.refuse(Refusal::LocalOwner);
            }
            (State::Active(active), Event::Advertisement(heard, standing)) => {
                let active = *active;
                self.note(heard, now);
                self.active_hears(active, heard, standing, now);
            }
        }
    }

    /// What to do next, in the order in which it is to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Why to take over, if the `Active_Down_Timer` has fired.
    #[must_use]
    pub fn due(&self, now: Duration) -> Option<Cause> {
        match &self.state {
            State::Backup(backup) => (now >= backup.down_at).then_some(backup.when_down),
            State::Initialize | State::Active(_) => None,
        }
    }

    /// When to hand in an [`Event::Tick`]; `None` while nothing runs. With [`Takeover::OnOrder`] it stays in the past from
    /// when the router is [due](Self::due).
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

    /// Goes on with other settings. An Active says so at its next [`Event::Tick`].
    pub fn reconfigure(&mut self, settings: Settings, now: Duration) {
        self.settings = settings;
        if let State::Active(active) = &mut self.state {
            active.advertise_at = now;
        }
    }

    /// What it works with.
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

    fn start_as_owner(&mut self, now: Duration) {
        match self.settings.takeover {
            Takeover::AtOnce => self.become_active(Cause::Owner, now),
            Takeover::OnOrder => {
                let backup = Backup::of_owner(&self.settings, now);
                self.enter(State::Backup(backup), Cause::Started, now);
            }
        }
    }

    /// First the address goes, then the word of it: two holders are worse than none.
    fn give_up(&mut self) {
        self.outputs.push_back(Output::Release);
        self.advertise(YIELD);
    }

    fn active_hears(&mut self, active: Active, heard: Heard, standing: Standing, now: Duration) {
        let priority = self.settings.priority;
        let cause = if heard.priority > priority {
            Some(Cause::Greater(heard))
        } else if heard.priority == priority && standing.wins_tie {
            Some(Cause::WinsTie(heard))
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
