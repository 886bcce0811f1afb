//! How a step ends, as a number: what the functions return that the verifier checks on their own.
//!
//! Such a function (a *global* function: `no_mangle`, and never inlined) is verified once, for any arguments that match its
//! prototype, and not again for each way that leads to it. The price is a call, that it takes nothing but numbers, the
//! context and pointers to plain structures, and that it returns a number.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use lb_common::{
    flow_table::Target,
    reason::{Fate, Reason},
};

/// Why a packet is not forwarded, and what becomes of it: number of the reason (bits 0..8), XDP action (8..16).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Refusal(u32);

impl From<Reason> for Refusal {
    #[inline(always)]
    fn from(reason: Reason) -> Self {
        let action = match reason.fate() {
            Fate::Pass => XDP_PASS,
            Fate::Drop => XDP_DROP,
            Fate::Answer => XDP_TX,
        };
        Self(reason.number() | action << 8)
    }
}

impl Refusal {
    /// From [`Self::number`].
    #[inline(always)]
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// All of it in one number.
    #[inline(always)]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// Number of the reason.
    #[inline(always)]
    pub(crate) const fn reason(self) -> u32 {
        self.0 & 0xFF
    }

    /// What becomes of the packet.
    #[inline(always)]
    pub(crate) const fn action(self) -> u32 {
        self.0 >> 8 & 0xFF
    }
}

/// A target or a refusal: the number (bits 0..32), whether it is a translation's (32), whether it is a refusal (33).
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Outcome(u64);

const TRANSLATION: u64 = 1 << 32;
const REFUSED: u64 = 1 << 33;

impl From<Result<Target, Refusal>> for Outcome {
    #[inline(always)]
    fn from(result: Result<Target, Refusal>) -> Self {
        Self(match result {
            Ok(Target::Backend(number)) => number as u64,
            Ok(Target::Translation(place)) => place as u64 | TRANSLATION,
            Err(refusal) => refusal.number() as u64 | REFUSED,
        })
    }
}

impl Outcome {
    /// From [`Self::number`].
    #[inline(always)]
    pub(crate) const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// All of it in one number.
    #[inline(always)]
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// What it says.
    #[inline(always)]
    pub(crate) fn target(self) -> Result<Target, Refusal> {
        if self.0 & REFUSED != 0 {
            Err(Refusal::from_number(self.0 as u32))
        } else if self.0 & TRANSLATION != 0 {
            Ok(Target::Translation(self.0 as u32))
        } else {
            Ok(Target::Backend(self.0 as u32))
        }
    }
}
