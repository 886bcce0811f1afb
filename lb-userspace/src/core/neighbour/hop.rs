//! One next hop on one interface: what the kernel's neighbour entry lets us conclude.
//!
//! ```text
//!            no answer in time / FAILED
//!   Asked ───────────────────────────────► Failed ◄──────────┐
//!     │  ▲                                   │               │ settled
//!     │  └── link up ── Dormant ◄─ link down │ answer        │
//!     │ answer                (from any)     ▼               │
//!     └───────────────────────────────────► Usable ──FAILED─► Failing
//!                                  answer ▲  │                  │
//!                                         │  ▼ deleted          │ deleted (a flush)
//!                                         Lost ◄────────────────┘
//! ```
//! From `Lost` (the entry was collected as garbage, which says nothing about the neighbour) the last MAC address stays
//! in use until the renewed question is answered or its time is over.

use std::time::Duration;

use super::{Mac, Timing};

/// What an entry or its absence, the clock or a refusal tells about a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The kernel has a link-layer address. `fixed`: set by an administrator or the device, or kept by
    /// somebody else; not ours to verify. `probing`: the kernel is verifying it at this moment.
    Answer { mac: Mac, fixed: bool, probing: bool },
    /// The kernel holds the entry for usable, without an Ethernet address.
    NoAddress,
    /// The kernel is asking, or has an entry that says nothing.
    Resolving,
    /// The kernel asked and nobody answered.
    Failed,
    /// There is no entry.
    Deleted,
    /// The kernel has no room for an entry.
    TableFull,
    /// The state's time is over.
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The link is down: nothing is asked, nothing is believed.
    Dormant,
    /// Asked, no answer yet.
    Asked { until: Duration },
    /// The kernel vouches for this address.
    Usable { mac: Mac, fixed: bool, probing: bool },
    /// FAILED was reported a moment ago. `ip neigh flush` reports it too, then deletes the entry: wait and see.
    Failing { mac: Mac, until: Duration },
    /// The entry vanished without a verdict; asked again.
    Lost { mac: Mac, until: Duration },
    /// Nobody answers.
    Failed,
    /// Usable to the kernel, but without a MAC address.
    Addressless,
    /// The neighbour table is full.
    TableFull,
}

impl State {
    /// The transition function.
    pub(super) fn next(self, event: Event, now: Duration, timing: &Timing) -> Self {
        use Event as E;
        let answer_by = now.saturating_add(timing.answer);
        match (self, event) {
            (Self::Dormant, _) => Self::Dormant,
            (_, E::Answer { mac, fixed, probing }) => Self::Usable { mac, fixed, probing },
            (_, E::NoAddress) => Self::Addressless,

            (Self::Usable { mac, .. }, E::Failed) => Self::Failing {
                mac,
                until: now.saturating_add(timing.settle),
            },
            (Self::Failing { .. }, E::Failed | E::Resolving | E::TableFull) => self,
            (
                Self::Asked { .. } | Self::Lost { .. } | Self::Failed | Self::Addressless | Self::TableFull,
                E::Failed,
            ) => Self::Failed,

            (Self::Usable { mac, .. }, E::Deleted | E::Resolving)
            | (Self::Failing { mac, .. }, E::Deleted) => Self::Lost {
                mac,
                until: answer_by,
            },
            (Self::Addressless, E::Deleted | E::Resolving) | (Self::TableFull, E::Resolving) => {
                Self::Asked { until: answer_by }
            }
            (Self::Asked { .. } | Self::Lost { .. } | Self::Failed, E::Deleted | E::Resolving)
            | (Self::TableFull, E::Deleted) => self,

            (Self::Asked { .. } | Self::Failed | Self::Addressless | Self::TableFull, E::TableFull) => {
                Self::TableFull
            }
            // A known address stays good for its time although the entry could not be renewed.
            (Self::Usable { .. } | Self::Lost { .. }, E::TableFull) => self,

            (Self::Asked { .. } | Self::Lost { .. } | Self::Failing { .. }, E::Expired) => Self::Failed,
            (Self::Usable { .. } | Self::Failed | Self::Addressless | Self::TableFull, E::Expired) => self,
        }
    }

    /// When [`Event::Expired`] is due.
    pub(super) const fn expiry(self) -> Option<Duration> {
        match self {
            Self::Asked { until } | Self::Failing { until, .. } | Self::Lost { until, .. } => Some(until),
            Self::Dormant | Self::Usable { .. } | Self::Failed | Self::Addressless | Self::TableFull => None,
        }
    }

    /// Whether both are the same box of the diagram, whatever they carry.
    fn same_kind(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// What is asked of the kernel about a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum ProbeKind {
    /// Verify an address that is in use, at once (NUD_PROBE): direct routing never shows the kernel an answer, so
    /// nothing else would tell it that the neighbour died.
    Confirm,
    /// Report the entry's present state, and unless it is usable have the kernel ask (NTF_USE, creating the entry).
    Resolve,
}

/// A state with its schedule of probes.
#[derive(Debug)]
pub(super) struct Hop {
    state: State,
    probe_at: Option<Duration>,
    /// This hop's place within a period, which spreads the probes of many hops; 0..2^32.
    phase: u32,
}

impl Hop {
    /// A hop to resolve at once where the link is up.
    pub(super) fn new(phase: u32, link_up: bool, now: Duration, timing: &Timing) -> Self {
        let mut hop = Self {
            state: State::Dormant,
            probe_at: None,
            phase,
        };
        if link_up {
            hop.wake(now, timing);
        }
        hop
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// The link came up: ask.
    pub(super) fn wake(&mut self, now: Duration, timing: &Timing) {
        self.state = State::Asked {
            until: now.saturating_add(timing.answer),
        };
        self.probe_at = Some(now);
    }

    /// The link went down or away.
    pub(super) fn sleep(&mut self) {
        self.state = State::Dormant;
        self.probe_at = None;
    }

    pub(super) fn handle(&mut self, event: Event, now: Duration, timing: &Timing) {
        let was = self.state;
        self.state = was.next(event, now, timing);
        let entered = !self.state.same_kind(was);
        let was_fixed = matches!(was, State::Usable { fixed: true, .. });
        match self.state {
            State::Dormant
            | State::Usable { fixed: true, .. }
            | State::Failing { .. }
            | State::Addressless => {
                self.probe_at = None;
            }
            State::Usable { fixed: false, .. } if entered || was_fixed => {
                self.probe_at = Some(now.saturating_add(self.offset(timing.refresh)));
            }
            State::Asked { .. } | State::Lost { .. } if entered => self.probe_at = Some(now),
            // The kernel only asked the address it knew; a neighbour that changed it answers a broadcast.
            State::Failed if matches!(was, State::Failing { .. }) => self.probe_at = Some(now),
            State::Failed | State::TableFull if entered => {
                self.probe_at = Some(now.saturating_add(self.offset(timing.retry)));
            }
            State::Usable { .. }
            | State::Asked { .. }
            | State::Lost { .. }
            | State::Failed
            | State::TableFull => {}
        }
    }

    /// When [`Hop::tick`] wants to be called.
    pub(super) fn due(&self) -> Option<Duration> {
        match (self.state.expiry(), self.probe_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Does what is due and says what to ask the kernel.
    pub(super) fn tick(&mut self, now: Duration, timing: &Timing) -> Option<ProbeKind> {
        if self.state.expiry().is_some_and(|at| at <= now) {
            self.handle(Event::Expired, now, timing);
        }
        let at = self.probe_at.filter(|at| *at <= now)?;
        let (period, kind) = match self.state {
            // Asking again would restart the kernel's count of unanswered questions.
            State::Usable { probing: true, .. } => (timing.refresh, None),
            State::Usable { .. } => (timing.refresh, Some(ProbeKind::Confirm)),
            State::Asked { .. } | State::Lost { .. } | State::Failed | State::TableFull => {
                (timing.retry, Some(ProbeKind::Resolve))
            }
            State::Dormant | State::Failing { .. } | State::Addressless => {
                self.probe_at = None;
                return None;
            }
        };
        // Keep the phase, but never make up for probes that a long pause swallowed.
        let next = at.saturating_add(period);
        self.probe_at = Some(if next > now {
            next
        } else {
            now.saturating_add(period)
        });
        kind
    }

    /// A point within (0, period], the same for this hop each time.
    fn offset(&self, period: Duration) -> Duration {
        let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let part = (u128::from(nanos) * u128::from(self.phase)) >> 32;
        Duration::from_nanos(u64::try_from(part).unwrap_or(nanos)) + Duration::from_nanos(1)
    }
}
