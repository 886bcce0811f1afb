//! What a packet's flow says of its way, as the global function that looks it up hands it on.

use lb_common::flow_table::Target;

/// What is known of a packet's way.
pub(super) enum Placed {
    /// It belongs to a flow that leads there.
    Known(Target),
    /// It is of a new flow, which goes to this backend.
    Chosen(u32),
    /// It is of a new flow, for which a backend is to be searched.
    Open,
    /// It is of a flow that is new here, and names this backend itself.
    Named(u32),
}

const TRANSLATION: u64 = 1 << 32;
const CHOSEN: u64 = 1 << 33;
const OPEN: u64 = 1 << 34;
const NAMED: u64 = 1 << 35;

impl Placed {
    /// From [`Self::number`].
    #[inline(always)]
    pub(super) const fn from_number(number: u64) -> Self {
        if number & OPEN != 0 {
            Self::Open
        } else if number & NAMED != 0 {
            Self::Named(number as u32)
        } else if number & CHOSEN != 0 {
            Self::Chosen(number as u32)
        } else if number & TRANSLATION != 0 {
            Self::Known(Target::Translation(number as u32))
        } else {
            Self::Known(Target::Backend(number as u32))
        }
    }

    /// All of it in one number.
    #[inline(always)]
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::Known(Target::Backend(number)) => number as u64,
            Self::Known(Target::Translation(place)) => place as u64 | TRANSLATION,
            Self::Chosen(backend) => backend as u64 | CHOSEN,
            Self::Open => OPEN,
            Self::Named(backend) => backend as u64 | NAMED,
        }
    }
}
