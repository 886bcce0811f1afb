//! Times that lie far apart, in few numbers: the layout that the sink and the benchmark share.
//!
//! Each power of two is cut into 32 equal parts, so a time is known to 3 %, as in an HDR histogram.

/// Bits of a time that are kept.
const FINE: u32 = 5;
const PARTS: u32 = 1 << FINE;
/// Number of buckets: those of all 32-bit numbers.
pub(crate) const BUCKETS: usize = ((32 - FINE + 1) * PARTS) as usize;

/// Number of the bucket that this many nanoseconds belong to.
#[inline(always)]
#[must_use]
pub(crate) const fn bucket(nanoseconds: u32) -> u32 {
    if nanoseconds < PARTS {
        return nanoseconds;
    }
    let shift = 31 - FINE - nanoseconds.leading_zeros();
    shift * PARTS + (nanoseconds >> shift)
}

/// Least number of nanoseconds that belongs to this bucket.
#[cfg(not(target_arch = "bpf"))]
#[must_use]
pub(crate) const fn least(bucket: u32) -> u32 {
    if bucket < 2 * PARTS {
        return bucket;
    }
    let shift = bucket / PARTS - 1;
    (PARTS + bucket % PARTS) << shift
}
