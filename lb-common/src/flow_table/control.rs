//! The first word of an entry.

use super::NewFlow;
use crate::{
    abi::TIMEOUT_CLASSES,
    flow_state::FlowState,
    tcp_state::{self, Heard, Segment},
};

/// Whether an entry is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Holds nothing.
    Free = 0,
    /// Its key is being written.
    Claimed = 1,
    /// Its key is written; whether it stands twice is being settled.
    Pending = 2,
    /// A flow.
    Live = 3,
}

/// Where a flow's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To the backend with this number.
    Backend(u32),
    /// Where the entry at this place of the family's translation table says: bucket × [`WAYS`](super::WAYS) + way.
    Translation(u32),
}

impl Target {
    /// All of it in one number, as the control word has it.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        match self {
            Self::Backend(number) => number as u64,
            Self::Translation(place) => place as u64 | TRANSLATED,
        }
    }

    /// From [`Self::bits`]; other bits mean nothing.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        if bits & TRANSLATED == 0 {
            Self::Backend(bits as u32)
        } else {
            Self::Translation(bits as u32)
        }
    }
}

/// The control word: target (bits 0..32), state (32..40), phase (40..42), timeout class (42..47), whether the target is a
/// translation (47), version (48..64).
///
/// All zero is a free entry, so fresh memory is an empty table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Control(u64);

const STATE_SHIFT: u32 = 32;
const STATE_MASK: u64 = 0xFF << STATE_SHIFT;
const PHASE_SHIFT: u32 = 40;
const PHASE_MASK: u64 = 0b11 << PHASE_SHIFT;
const CLASS_SHIFT: u32 = 42;
const TRANSLATED: u64 = 1 << 47;
const VERSION_SHIFT: u32 = 48;
const VERSION_UNIT: u64 = 1 << VERSION_SHIFT;
const IDENTITY_MASK: u64 = PHASE_MASK | (0xFFFF << VERSION_SHIFT);

const CLASS_MAX: u64 = TIMEOUT_CLASSES as u64 - 1;
const STATE_MAX: u64 = FlowState::LIMIT as u64 - 1;

/// States that a plain packet leaves as they are, of the client or, where it is heard, of the server, by number, as bits.
const STEADY: u32 = {
    let mut bits = 0;
    let mut index = 0;
    while index < FlowState::ALL.len() {
        let state = FlowState::ALL[index];
        let client = tcp_state::next(state, Heard::ClientAlone, Segment::Ack) as u8;
        let server = tcp_state::next(state, Heard::Server, Segment::Ack) as u8;
        if client == state as u8 && server == state as u8 {
            bits |= 1 << index;
        }
        index += 1;
    }
    bits
};

const _: () = assert!(CLASS_MAX << CLASS_SHIFT & !(TRANSLATED - 1) == 0);

impl Control {
    /// The word as it lies in memory.
    #[inline(always)]
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The word as it lies in memory.
    #[inline(always)]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Phase.
    #[inline(always)]
    #[must_use]
    pub const fn phase(self) -> Phase {
        match (self.0 & PHASE_MASK) >> PHASE_SHIFT {
            0 => Phase::Free,
            1 => Phase::Claimed,
            2 => Phase::Pending,
            _ => Phase::Live,
        }
    }

    /// Whether a flow lives here.
    #[inline(always)]
    #[must_use]
    pub const fn is_live(self) -> bool {
        self.0 & PHASE_MASK == PHASE_MASK
    }

    /// Whether the key that stands here belongs to this life of the entry.
    #[inline(always)]
    #[must_use]
    pub(super) const fn has_key(self) -> bool {
        self.0 & (0b10 << PHASE_SHIFT) != 0
    }

    /// The number of the phase, 0 where nothing is here.
    #[inline(always)]
    #[must_use]
    pub(super) const fn phase_bits(self) -> u32 {
        (self.0 >> PHASE_SHIFT) as u32 & 0b11
    }

    /// Whether nothing is here.
    #[inline(always)]
    #[must_use]
    pub const fn is_free(self) -> bool {
        self.0 & PHASE_MASK == 0
    }

    /// Whether both words speak of the same life of the entry; all else may differ.
    #[inline(always)]
    #[must_use]
    pub const fn same_life(self, other: Self) -> bool {
        (self.0 ^ other.0) & IDENTITY_MASK == 0
    }

    /// Where the flow's packets go.
    #[inline(always)]
    #[must_use]
    pub const fn target(self) -> Target {
        Target::from_bits(self.0)
    }

    /// The backend's number, where the entry names it itself.
    #[inline(always)]
    #[must_use]
    pub const fn backend(self) -> Option<u32> {
        match self.target() {
            Target::Backend(number) => Some(number),
            Target::Translation(_) => None,
        }
    }

    /// Whether a plain packet changes nothing about this flow: as nearly every packet.
    #[inline(always)]
    #[must_use]
    pub const fn is_steady(self) -> bool {
        STEADY >> self.state_index() & 1 != 0
    }

    /// Whose packets are heard when the client sends one: of a translated flow, the server's, too.
    #[inline(always)]
    #[must_use]
    pub const fn client_heard(self) -> Heard {
        if self.0 & TRANSLATED == 0 {
            Heard::ClientAlone
        } else {
            Heard::Client
        }
    }

    /// State; an unknown number counts as closed, so that it goes away soon.
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> FlowState {
        match FlowState::from_number(self.state_number()) {
            Some(state) => state,
            None => FlowState::Close,
        }
    }

    /// Number of the state, whether it is known or not.
    #[inline(always)]
    #[must_use]
    pub const fn state_number(self) -> u8 {
        (self.0 >> STATE_SHIFT) as u8
    }

    /// The state as an index into tables of [`FlowState::LIMIT`] elements. It comes from the word itself: what the
    /// compiler concludes about [`Self::state`] the verifier would not know.
    #[inline(always)]
    #[must_use]
    pub const fn state_index(self) -> usize {
        (self.0 >> STATE_SHIFT & STATE_MAX) as usize
    }

    /// Timeout class.
    #[inline(always)]
    #[must_use]
    pub const fn class(self) -> u8 {
        (self.0 >> CLASS_SHIFT & CLASS_MAX) as u8
    }

    /// Class and state as an index into a table of [`TIMEOUT_CLASSES`] × [`FlowState::LIMIT`] elements.
    #[inline(always)]
    #[must_use]
    pub const fn timeout_index(self) -> usize {
        (self.0 >> CLASS_SHIFT & CLASS_MAX) as usize * FlowState::LIMIT + self.state_index()
    }

    /// Version, raised by each claim and removal.
    #[inline(always)]
    #[must_use]
    pub const fn version(self) -> u16 {
        (self.0 >> VERSION_SHIFT) as u16
    }

    /// The same word with another state.
    #[inline(always)]
    #[must_use]
    pub const fn with_state(self, state: FlowState) -> Self {
        self.with_state_number(state as u8)
    }

    /// The same word with the state of this number.
    #[inline(always)]
    #[must_use]
    pub const fn with_state_number(self, state: u8) -> Self {
        Self(self.0 & !STATE_MASK | (state as u64) << STATE_SHIFT)
    }

    /// The same word with another phase.
    #[inline(always)]
    #[must_use]
    pub(super) const fn with_phase(self, phase: Phase) -> Self {
        Self(self.0 & !PHASE_MASK | (phase as u64) << PHASE_SHIFT)
    }

    /// The next life of the entry: a raised version, and nothing else.
    #[inline(always)]
    #[must_use]
    pub(super) const fn next_life(self, phase: Phase) -> Self {
        let version = self.0.wrapping_add(VERSION_UNIT) & (0xFFFF << VERSION_SHIFT);
        Self(version | (phase as u64) << PHASE_SHIFT)
    }

    /// The same life with this flow's target, state and class.
    #[inline(always)]
    #[must_use]
    pub const fn with_flow<K>(self, flow: &NewFlow<K>) -> Self {
        let target = flow.target.bits();
        let class = flow.class as u64 & CLASS_MAX;
        Self(self.0 & IDENTITY_MASK | target | (flow.state as u64) << STATE_SHIFT | class << CLASS_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(target: Target, state: FlowState, class: u8) -> NewFlow<()> {
        NewFlow {
            key: (),
            hash: 0,
            target,
            state,
            class,
        }
    }

    #[test]
    fn zero_is_free() {
        assert!(Control::default().is_free());
        assert_eq!(Control::default().phase(), Phase::Free);
    }

    #[test]
    fn fields_do_not_touch_each_other() {
        for target in [
            Target::Backend(0),
            Target::Backend(u32::MAX),
            Target::Translation(0),
            Target::Translation(u32::MAX),
        ] {
            for class in [0, 21, 31] {
                let word = Control::default().next_life(Phase::Pending).with_flow(&flow(
                    target,
                    FlowState::Udp,
                    class,
                ));
                assert_eq!(
                    (
                        word.target(),
                        word.state(),
                        word.phase(),
                        word.class(),
                        word.version()
                    ),
                    (target, FlowState::Udp, Phase::Pending, class, 1)
                );
                let live = word.with_phase(Phase::Live).with_state(FlowState::Established);
                assert!(live.is_live());
                assert_eq!(
                    (live.target(), live.state(), live.class(), live.version()),
                    (target, FlowState::Established, class, 1)
                );
                let steady = FlowState::ALL.map(|state| live.with_state(state).is_steady());
                let unsteady = {
                    use FlowState::*;
                    [
                        None, SynRecv, Close, LastAck, Listen, SynAck, SctpInit, SctpClosed, Ended, Severed,
                    ]
                };
                assert_eq!(steady, FlowState::ALL.map(|state| !unsteady.contains(&state)));
                let heard = match target {
                    Target::Backend(_) => Heard::ClientAlone,
                    Target::Translation(_) => Heard::Client,
                };
                assert_eq!(live.client_heard(), heard);
                assert!(live.same_life(live.with_state(FlowState::Close)));
                assert!(!live.same_life(word));
            }
        }
    }

    #[test]
    fn only_a_target_that_is_a_backend_is_one() {
        let word = |target| Control::default().with_flow(&flow(target, FlowState::Udp, 0));
        assert_eq!(word(Target::Backend(7)).backend(), Some(7));
        assert_eq!(word(Target::Translation(7)).backend(), None);
    }

    #[test]
    fn an_unknown_state_is_a_closed_flows() {
        let word = Control::default().with_state_number(0xFF);
        assert_eq!(word.state(), FlowState::Close);
        assert!(word.state_index() < FlowState::LIMIT);
    }

    #[test]
    fn the_version_wraps_inside_its_field() {
        let last = Control::from_bits(0xFFFF << VERSION_SHIFT);
        assert_eq!(last.next_life(Phase::Free), Control::default());
    }
}
