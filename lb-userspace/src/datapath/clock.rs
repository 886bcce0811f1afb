//! The flow table's clock, jiffies, as userspace reads it.

use aya::programs::{TestRun as _, TestRunOptions, Xdp};
use nix::time::{ClockId, clock_gettime};

use super::DatapathError;

/// Rates that Linux is built with (`CONFIG_HZ`).
const RATES: [u32; 4] = [100, 250, 300, 1000];

/// What jiffies are worth on this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JiffyClock {
    hz: u32,
}

impl JiffyClock {
    /// The rate, from one reading of both clocks: jiffies begin five minutes before their lower half overflows
    /// (`INITIAL_JIFFIES` of linux/jiffies.h) at the same moment as the monotonic clock.
    #[must_use]
    pub fn from_reading(jiffies: u64, uptime_seconds: f64) -> Self {
        let error = |hz: u32| {
            let initial = f64::from(u32::MAX) + 1.0 - 300.0 * f64::from(hz);
            (jiffies as f64 - initial - uptime_seconds * f64::from(hz)).abs()
        };
        let best = RATES.into_iter().min_by(|&a, &b| error(a).total_cmp(&error(b)));
        Self {
            hz: best.unwrap_or(RATES[0]),
        }
    }

    /// Jiffies per second.
    #[must_use]
    pub fn hz(self) -> u32 {
        self.hz
    }
}

/// Reads jiffies by running the clock program once.
pub(super) fn read_jiffies(program: &Xdp) -> Result<u64, DatapathError> {
    // The kernel takes no packet shorter than an Ethernet header, and returns it as the program left it.
    let (input, mut output) = ([0; 64], [0; 64]);
    let mut options = TestRunOptions::new();
    options.data_in = Some(&input);
    options.data_out = Some(&mut output);
    program
        .test_run(options)
        .map_err(|error| DatapathError::Clock(error.to_string()))?;
    let (jiffies, _) = output.as_chunks::<8>();
    Ok(u64::from_ne_bytes(jiffies[0]))
}

/// The monotonic clock in seconds.
pub(super) fn uptime() -> Result<f64, DatapathError> {
    let time =
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(|error| DatapathError::Clock(error.to_string()))?;
    Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_is_told_from_the_others_soon_after_boot() {
        for hz in RATES {
            for uptime in [10.0, 60.0, 1e4, 1e7] {
                let initial = (1u64 << 32) - 300 * u64::from(hz);
                let jiffies = initial + (uptime * f64::from(hz)) as u64 + 3;
                assert_eq!(JiffyClock::from_reading(jiffies, uptime).hz(), hz, "{uptime} s");
            }
        }
    }
}
