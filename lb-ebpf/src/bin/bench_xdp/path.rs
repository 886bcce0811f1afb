//! When packets are sent, and what came to the sink: layouts that the programs and the benchmark share.

/// Which packets end at the sink: the one element of its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub(crate) struct Admission {
    /// Not zero: those with this mark, whatever they are, in the 8 bytes before the last 8.
    pub(crate) mark: u64,
    /// Else those with this EtherType, as it lies in memory.
    pub(crate) ether_type: u32,
    /// Not zero: the last 8 bytes of each packet are the time at which it was sent, by the clock of `bpf_ktime_get_ns`.
    pub(crate) are_stamped: u32,
}

/// Bytes of a time stamp, the last ones of a packet.
pub(crate) const STAMP: u32 = 8;
/// Bytes of a mark, which lies before the stamp.
pub(crate) const MARK: u32 = 8;

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
    /// Packets that were sent without an interval.
    pub(crate) sent: u64,
    /// How many of them will not come to the sink any more, modulo 2^64.
    pub(crate) lost: u64,
    /// Without an interval: how many may be under way to the sink; zero: any number.
    pub(crate) window: u32,
    /// CPU that the sink is on.
    pub(crate) sink_cpu: u32,
}
