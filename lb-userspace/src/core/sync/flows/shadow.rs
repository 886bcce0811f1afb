//! What the sync knows of an entry of the flow table, besides what stands there: one word for each place.

use lb_common::{flow_table::Control, wire::sync::Stamp};

/// Moment of the last change (bits 0..32), second of the last packet that the others know of (32..48), state (48..53),
/// whether anything is known (53), the version's lower bits (54..64).
///
/// It speaks of one life of the entry, and is worth nothing in the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shadow(u64);

const SEEN_SHIFT: u32 = 32;
const STATE_SHIFT: u32 = 48;
const STATE_MASK: u64 = 0x1F;
const KNOWN: u64 = 1 << 53;
const VERSION_SHIFT: u32 = 54;
const VERSION_MASK: u16 = 0x3FF;

impl Shadow {
    /// Of an entry with this control word, whose state the others know.
    pub(super) fn new(control: Control, stamp: Stamp, seen: u16) -> Self {
        Self(
            u64::from(stamp.0)
                | u64::from(seen) << SEEN_SHIFT
                | (u64::from(control.state_number()) & STATE_MASK) << STATE_SHIFT
                | KNOWN
                | u64::from(control.version() & VERSION_MASK) << VERSION_SHIFT,
        )
    }

    /// When state or target changed last.
    pub(super) fn stamp(self) -> Stamp {
        Stamp(self.0 as u32)
    }

    /// When its last packet came, as far as the others know: seconds of the jiffy clock.
    pub(super) fn seen(self) -> u16 {
        (self.0 >> SEEN_SHIFT) as u16
    }

    /// Whether anything was ever known of the place, be it of this life or of one before.
    pub(super) fn is_known(self) -> bool {
        self.0 & KNOWN != 0
    }

    /// Whether it speaks of this life of the entry.
    pub(super) fn is_of(self, control: Control) -> bool {
        self.is_known() && (self.0 >> VERSION_SHIFT) as u16 == control.version() & VERSION_MASK
    }

    /// Whether the others know this state.
    pub(super) fn has_state_of(self, control: Control) -> bool {
        self.0 >> STATE_SHIFT & STATE_MASK == u64::from(control.state_number()) & STATE_MASK
    }
}

#[cfg(test)]
mod tests {
    use lb_common::flow_state::FlowState;

    use super::*;

    #[test]
    fn fields_do_not_touch_each_other() {
        let control = Control::from_bits(0xFFFF << 48).with_state(FlowState::Template);
        let shadow = Shadow::new(control, Stamp(u32::MAX), u16::MAX);
        assert_eq!((shadow.stamp(), shadow.seen()), (Stamp(u32::MAX), u16::MAX));
        assert!(shadow.is_of(control) && shadow.has_state_of(control));
        assert!(!shadow.has_state_of(control.with_state(FlowState::Established)));
        let next = Control::from_bits(0x0001 << 48);
        assert!(!shadow.is_of(next) && !Shadow::default().is_of(Control::default()));
        let none = Shadow::new(Control::default(), Stamp(0), 0);
        assert_eq!((none.stamp(), none.seen()), (Stamp(0), 0));
        assert!(none.is_of(Control::default()) && none.is_known());
    }
}
