//! When packets are sent, and what came to the sink: layouts that the programs and the benchmark share.

/// The one element of the sink's map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Arrivals {
    /// IPv4 packets so far.
    pub(crate) packets: u64,
    /// Not zero: the last 8 bytes of each packet are the time at which it was sent, by the clock of `bpf_ktime_get_ns`.
    pub(crate) are_stamped: u64,
}

/// Bits behind the binary point of a generator's times.
pub(crate) const FRACTION: u32 = 10;

/// When packets are sent: the one element of the generator's map. Nanoseconds of the clock of `bpf_ktime_get_ns`, with
/// [`FRACTION`] bits behind the binary point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Pace {
    /// When the last packet was due.
    pub(crate) due: u64,
    /// Time between two packets; zero: none is waited for.
    pub(crate) interval: u64,
}

/// Places of the least balancer's table; a power of two.
pub(crate) const CHOICES: u32 = 1024;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Choice {
    /// Index of the interface that packets leave by.
    pub(crate) interface: u32,
    /// Destination and source MAC address, as they lie in memory.
    pub(crate) macs: [u32; 3],
}
