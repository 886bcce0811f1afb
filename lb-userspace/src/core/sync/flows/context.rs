//! What all places of the flow tables have in common.

use std::collections::BTreeMap;

use lb_common::{
    abi::TimeoutTable,
    flow_state::FlowState,
    flow_table::{Clock, Control, NewFlow, Snapshot},
    hash::Seed,
    wire::sync::Stamp,
};

use super::{Facts, directory::Directory, shadow::Shadow, ticks::Ticks};

/// The time, and what numbers stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) ticks: Ticks,
    pub(super) timeouts: &'a TimeoutTable,
    pub(super) directory: &'a Directory,
    pub(super) released: &'a BTreeMap<u64, Stamp>,
    pub(super) facts: &'a Facts,
}

impl<'a> Context<'a> {
    pub(super) fn clock(&self) -> Clock<'a> {
        Clock {
            now: self.ticks.now,
            timeouts: self.timeouts,
        }
    }

    /// Of the flow tables' hash.
    pub(super) fn seed(&self) -> &Seed {
        &self.facts.seed
    }

    /// Of the hash that all directors share.
    pub(super) fn leaf_seed(&self) -> &Seed {
        &self.facts.leaf_seed
    }

    /// Milliseconds since the flow's last packet.
    pub(super) fn idle_ms<K>(&self, flow: &Snapshot<K>) -> u64 {
        self.ticks.ms(self.ticks.idle(flow.last_seen).into())
    }

    /// Whether the flows of this target were ended here after this word on one of them.
    pub(super) fn is_released(&self, identity: u64, stamp: Stamp) -> bool {
        let released = self.released.get(&identity);
        released.is_some_and(|at| !stamp.is_after(*at))
    }

    /// The timeout of a flow that is to be entered, in jiffies.
    pub(super) fn timeout<K>(&self, flow: &NewFlow<K>) -> u32 {
        self.timeouts.of(Control::default().with_flow(flow))
    }

    /// Whether a flow will expire so soon that it is no use to tell of it, or may have expired elsewhere already.
    pub(super) fn is_expiring<K>(&self, flow: &Snapshot<K>) -> bool {
        let timeout = self.timeouts.of(flow.control);
        let margin = (timeout / 8).max(4 * self.ticks.hz);
        self.ticks.idle(flow.last_seen) >= timeout.saturating_sub(margin)
    }

    /// Whether the others would take a living flow for an idle one for too long: some of its timeout has passed since the
    /// packet that they know of, or it seems to have come to rest since.
    pub(super) fn is_to_be_refreshed<K>(&self, flow: &Snapshot<K>, shadow: Shadow) -> bool {
        let advance = self.ticks.second(flow.last_seen).wrapping_sub(shadow.seen());
        // What others have told is ahead of what passed here.
        if advance == 0 || advance > u16::MAX / 2 {
            return false;
        }
        let timeout = self.timeouts.of(flow.control);
        u32::from(advance) * self.ticks.hz >= timeout / 4 || self.ticks.idle(flow.last_seen) >= timeout / 8
    }
}

/// Whether another director is to know of a flow in this state, whatever its service says.
pub(super) fn is_worth_telling(control: Control) -> bool {
    // Half-open: a flood of these is not worth a datagram, and the client will ask again.
    control.state() != FlowState::None && !is_half_open(control)
}

/// Whether the flow's handshake is not complete.
pub(super) fn is_half_open(control: Control) -> bool {
    FlowState::is_half_open(control.state_number().into())
}

/// What is told first, when not all can be told in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Connections that go on for long.
    AtOnce,
    /// What others can do without for a while: what has ended, and datagrams that may be on their own.
    Later,
    /// A handshake under way; what becomes of it will be told.
    Never,
}

impl Urgency {
    pub(super) fn of(control: Control) -> Self {
        match control.state() {
            FlowState::Established | FlowState::SctpEstablished | FlowState::Template => Self::AtOnce,
            FlowState::Udp
            | FlowState::FinWait
            | FlowState::TimeWait
            | FlowState::Close
            | FlowState::CloseWait
            | FlowState::LastAck
            | FlowState::SctpShutdown
            | FlowState::SctpClosed
            | FlowState::Ended
            | FlowState::Severed => Self::Later,
            FlowState::None
            | FlowState::SynSent
            | FlowState::SynRecv
            | FlowState::Listen
            | FlowState::SynAck
            | FlowState::SctpInit => Self::Never,
        }
    }
}
