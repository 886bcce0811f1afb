//! Fragments that came before the first one of their packet, on their way to the daemon.

use crate::packet::{FlowKey4, FlowKey6};

/// Longest frame that is held, in bytes.
pub const LONGEST_HELD: usize = 2048;

/// Buckets of the table of fragments, a power of two: packets whose fragments are under way at the same time, in fours.
pub const FRAGMENT_BUCKETS: u32 = 4096;

/// Bytes of the ring by which held fragments go to the daemon: room for some hundreds.
pub const HELD_RING: u32 = 1 << 20;

/// A frame.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct HeldFrame {
    /// 4 or 6.
    pub family: u32,
    /// Length of the frame.
    pub length: u32,
    /// Key of its packet in the family's table of fragments.
    pub key: [u64; 5],
    /// The frame, and whatever.
    pub bytes: [u8; LONGEST_HELD],
}

const _: () = assert!(size_of::<HeldFrame>() == 48 + LONGEST_HELD);

/// What the packet of a held frame is remembered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldKey {
    /// IPv4.
    V4(FlowKey4),
    /// IPv6.
    V6(FlowKey6),
}

impl HeldFrame {
    /// What its packet is remembered by.
    #[must_use]
    pub const fn key(&self) -> HeldKey {
        let [a, b, ..] = self.key;
        if self.family == 4 {
            HeldKey::V4(FlowKey4 { words: [a, b] })
        } else {
            HeldKey::V6(FlowKey6 { words: self.key })
        }
    }

    /// The frame.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        &self.bytes[..(self.length as usize).min(LONGEST_HELD)]
    }
}
