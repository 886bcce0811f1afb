//! Times on the wire.

use core::time::Duration;

/// Milliseconds in a unit of [`Stamp`] and [`Span`].
const UNIT_MS: u64 = 16;

/// When something changed, in the time that all directors of a cluster share: units of 16 ms, the lower 32 bits.
///
/// Stamps are compared as serial numbers (RFC 1982), so two of them must not be further apart than a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stamp(pub u32);

impl Stamp {
    /// The stamp of a moment, given in milliseconds.
    #[inline]
    #[must_use]
    pub const fn at(ms: u64) -> Self {
        Self((ms / UNIT_MS) as u32)
    }

    /// Whether this is a later moment than `other`.
    #[inline]
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) > 0
    }

    /// The later of both.
    #[inline]
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if other.is_after(self) { other } else { self }
    }

    /// The next moment.
    #[inline]
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// This many milliseconds earlier.
    #[inline]
    #[must_use]
    pub const fn earlier_by(self, ms: u64) -> Self {
        Self(self.0.wrapping_sub((ms / UNIT_MS) as u32))
    }
}

/// How long something has lasted: units of 16 ms in a floating-point number of 5 bits of exponent and 11 of mantissa.
/// Exact up to half a minute, within 0.05 % beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span(pub u16);

const MANTISSA: u32 = 11;
const IMPLICIT: u64 = 1 << MANTISSA;

impl Span {
    /// The nearest span that is not longer than `ms` milliseconds.
    #[inline]
    #[must_use]
    pub const fn of_ms(ms: u64) -> Self {
        let units = ms / UNIT_MS;
        if units < IMPLICIT {
            return Self(units as u16);
        }
        let shift = units.ilog2() - MANTISSA;
        if shift >= 31 {
            return Self(u16::MAX);
        }
        let mantissa = (units >> shift) & (IMPLICIT - 1);
        Self(((shift as u16 + 1) << MANTISSA) | mantissa as u16)
    }

    /// In milliseconds.
    #[inline]
    #[must_use]
    pub const fn ms(self) -> u64 {
        let exponent = self.0 >> MANTISSA;
        let mantissa = self.0 as u64 & (IMPLICIT - 1);
        let units = if exponent == 0 {
            mantissa
        } else {
            (mantissa | IMPLICIT) << (exponent - 1)
        };
        units * UNIT_MS
    }

    /// As a time.
    #[inline]
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.ms())
    }
}
