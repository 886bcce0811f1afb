//! Jiffies, without running a program in the kernel each time.

use std::time::Instant;

/// What the packet path's clock showed when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    jiffies: u64,
    at: Instant,
}

/// Reckons jiffies from a reading: both clocks are the kernel's monotonic one, counted in different units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticker {
    reading: Reading,
    hz: u32,
}

impl Ticker {
    pub(super) fn new(jiffies: u64, hz: u32) -> Self {
        Self {
            reading: Self::reading(jiffies),
            hz,
        }
    }

    /// What the clock shows at this moment.
    pub(super) fn reading(jiffies: u64) -> Reading {
        Reading {
            jiffies,
            at: Instant::now(),
        }
    }

    pub(super) fn set(&mut self, reading: Reading) {
        self.reading = reading;
    }

    pub(super) fn hz(self) -> u32 {
        self.hz
    }

    /// Jiffies now; by one more or less than packets see them.
    pub(super) fn now(self) -> u64 {
        let passed = self.reading.at.elapsed().as_micros() * u128::from(self.hz) / 1_000_000;
        self.reading.jiffies + passed as u64
    }
}
