//! What a program that is watched tells of packets, and of which.

/// Most bytes of a frame that are told.
pub const WATCHED_BYTES: usize = 1536;

/// Bytes of the ring in a program that nobody watches: the least there is.
pub const IDLE_WATCH_RING: u32 = 4096;

/// Of which packets, and how much: read-only data of the program, set before it is loaded. All zero is every packet, and nothing of
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct WatchFilter {
    /// Source address as it lies in a packet; of IPv4 in the first word.
    pub source: [u32; 4],
    /// Which bits of it count.
    pub source_mask: [u32; 4],
    /// Destination address, likewise.
    pub destination: [u32; 4],
    /// Which bits of it count.
    pub destination_mask: [u32; 4],
    /// 4 or 6; 0 for both.
    pub family: u32,
    /// IANA number; 0 for any.
    pub protocol: u32,
    /// Source port; 0 for any.
    pub source_port: u32,
    /// Destination port; 0 for any.
    pub destination_port: u32,
    /// A packet is told of where the bits of a random number that are set here are 0.
    pub sample_mask: u32,
    /// Bit 0: as it comes in. Bit 1: as it leaves.
    pub moments: u32,
    /// Bytes of the frame, at most [`WATCHED_BYTES`].
    pub bytes: u32,
    /// Always 0.
    pub reserved: u32,
}

/// Of [`WatchFilter::moments`] and [`WatchRecord::moment`]: the packet as it comes in.
pub const ARRIVES: u32 = 1;
/// The packet as it leaves the program.
pub const LEAVES: u32 = 2;

/// Of [`WatchRecord::told`]: it was not forwarded, and this is the number of the reason.
pub const REFUSED: u32 = 1 << 31;

/// A packet at a moment.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct WatchRecord {
    /// Nanoseconds of CLOCK_BOOTTIME.
    pub time: u64,
    /// Which packet: the same at both moments.
    pub number: u64,
    /// [`ARRIVES`] or [`LEAVES`].
    pub moment: u32,
    /// Interface that it came in by.
    pub ifindex: u32,
    /// XDP action; where it leaves.
    pub action: u32,
    /// The interface that it is sent out of, or the number of a reason and [`REFUSED`]; where it leaves.
    pub told: u32,
    /// Length of the frame.
    pub length: u32,
    /// How much of it is here.
    pub captured: u32,
    /// Records of this CPU so far that the ring had no room for.
    pub lost: u64,
    /// That.
    pub bytes: [u8; WATCHED_BYTES],
}

const _: () = {
    assert!(size_of::<WatchFilter>() == 96);
    assert!(size_of::<WatchRecord>() == 48 + WATCHED_BYTES);
};

impl WatchFilter {
    /// The bytes, as the loader wants them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `repr(C)` of integers without padding (the size is the sum of the fields), alive as long as `self`.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}
