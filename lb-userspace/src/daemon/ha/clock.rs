//! The clock of the threads that work for the cluster.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since the machine was started, asleep or not. Whoever sets the date does not move it, and a machine that slept
/// notices.
pub(in crate::daemon) fn now() -> Duration {
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(time) => Duration::from(time),
        // Since Linux 2.6.39 there is one.
        Err(errno) => unreachable!("CLOCK_BOOTTIME: {errno}"),
    }
}
