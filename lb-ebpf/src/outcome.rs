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

    /// Whether this is the reason.
    #[inline(always)]
    pub(crate) const fn is(self, reason: Reason) -> bool {
        self.reason() == reason.number()
    }

    /// What becomes of the packet.
    #[inline(always)]
    pub(crate) const fn action(self) -> u32 {
        self.0 >> 8 & 0xFF
    }
}

const REFUSED: u64 = 1 << 63;

/// A result in one number: below 2^63, or a refusal.
#[inline(always)]
pub(crate) fn encode(result: Result<u64, Refusal>) -> u64 {
    match result {
        Ok(number) => number,
        Err(refusal) => u64::from(refusal.number()) | REFUSED,
    }
}

/// What [`encode`] made.
#[inline(always)]
pub(crate) fn decode(number: u64) -> Result<u64, Refusal> {
    if number & REFUSED == 0 {
        Ok(number)
    } else {
        Err(Refusal::from_number(number as u32))
    }
}

const TRANSLATION: u64 = 1 << 32;

/// [`encode`] for a target.
#[inline(always)]
pub(crate) fn encode_target(result: Result<Target, Refusal>) -> u64 {
    encode(result.map(|target| match target {
        Target::Backend(number) => u64::from(number),
        Target::Translation(place) => u64::from(place) | TRANSLATION,
    }))
}

/// [`decode`] for a target.
#[inline(always)]
pub(crate) fn decode_target(number: u64) -> Result<Target, Refusal> {
    decode(number).map(|number| {
        if number & TRANSLATION == 0 {
            Target::Backend(number as u32)
        } else {
            Target::Translation(number as u32)
        }
    })
}
