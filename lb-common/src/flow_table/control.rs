//! The first word of an entry.

use crate::tcp_state::FlowState;

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

/// The control word: backend (bits 0..32), state (32..40), phase (40..42), unused (42..48), version (48..64).
///
/// All zero is a free entry, so fresh memory is an empty table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Control(u64);

const STATE_SHIFT: u32 = 32;
const PHASE_SHIFT: u32 = 40;
const VERSION_SHIFT: u32 = 48;
const PHASE_MASK: u64 = 0b11 << PHASE_SHIFT;
const VERSION_UNIT: u64 = 1 << VERSION_SHIFT;
const IDENTITY_MASK: u64 = PHASE_MASK | (0xFFFF << VERSION_SHIFT);

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

    /// Whether nothing is here.
    #[inline(always)]
    #[must_use]
    pub const fn is_free(self) -> bool {
        self.0 & PHASE_MASK == 0
    }

    /// Whether both words speak of the same life of the entry; backend and state may differ.
    #[inline(always)]
    #[must_use]
    pub const fn same_life(self, other: Self) -> bool {
        (self.0 ^ other.0) & IDENTITY_MASK == 0
    }

    /// Number of the backend in the backend array.
    #[inline(always)]
    #[must_use]
    pub const fn backend(self) -> u32 {
        self.0 as u32
    }

    /// State; an unknown number counts as closed, so that it goes away soon.
    #[inline(always)]
    #[must_use]
    pub const fn state(self) -> FlowState {
        match FlowState::from_number((self.0 >> STATE_SHIFT) as u8) {
            Some(state) => state,
            None => FlowState::Close,
        }
    }

    /// The state as an index into tables of [`FlowState::LIMIT`] elements. It comes from the word itself: what the
    /// compiler concludes about [`Self::state`] the verifier would not know.
    #[inline(always)]
    #[must_use]
    pub const fn state_index(self) -> usize {
        (self.0 >> STATE_SHIFT) as usize & (FlowState::LIMIT - 1)
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
        Self(self.0 & !(0xFF << STATE_SHIFT) | (state as u64) << STATE_SHIFT)
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

    /// The same life with this backend and state.
    #[inline(always)]
    #[must_use]
    pub(super) const fn with_flow(self, backend: u32, state: FlowState) -> Self {
        Self(self.0 & IDENTITY_MASK | backend as u64 | (state as u64) << STATE_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_free() {
        assert!(Control::default().is_free());
        assert_eq!(Control::default().phase(), Phase::Free);
    }

    #[test]
    fn fields_do_not_touch_each_other() {
        let word = Control::default()
            .next_life(Phase::Pending)
            .with_flow(u32::MAX, FlowState::Datagram);
        assert_eq!(
            (word.backend(), word.state(), word.phase(), word.version()),
            (u32::MAX, FlowState::Datagram, Phase::Pending, 1)
        );
        let live = word.with_phase(Phase::Live).with_state(FlowState::Established);
        assert!(live.is_live());
        assert_eq!(
            (live.backend(), live.state(), live.version()),
            (u32::MAX, FlowState::Established, 1)
        );
        assert!(live.same_life(live.with_state(FlowState::Close)));
        assert!(!live.same_life(word));
    }

    #[test]
    fn the_version_wraps_inside_its_field() {
        let last = Control::from_bits(0xFFFF << VERSION_SHIFT);
        assert_eq!(last.next_life(Phase::Free), Control::default());
    }
}
