//! What the service manager hears: that the daemon is ready, and that it lives (sd_notify(3)).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

/// The way to systemd. Where there is none, nothing is said.
#[derive(Debug)]
pub(super) struct ServiceManager {
    /// Between two signs of life, and when the next is due.
    watchdog: Option<(Duration, Instant)>,
}

impl ServiceManager {
    /// As the environment has it.
    pub(super) fn find() -> Self {
        let mut microseconds = 0;
        let wanted = sd_notify::watchdog_enabled(false, &mut microseconds);
        // Twice as often as it is asked for: one may be late.
        let watchdog = wanted.then(|| (Duration::from_micros(microseconds) / 2, Instant::now()));
        Self { watchdog }
    }

    /// A configuration is in force.
    pub(super) fn ready(&self, status: &str) {
        say(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Another configuration is being read. [`Self::ready`] ends that.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => say(&[NotifyState::Reloading, now]),
            Err(error) => debug!(%error, "no monotonic clock"),
        }
    }

    /// The daemon ends.
    pub(super) fn stopping(&self) {
        say(&[NotifyState::Stopping]);
    }

    /// When [`Self::alive`] is due; never, where nobody wants to know.
    pub(super) async fn next_sign_of_life(&self) {
        match self.watchdog {
            Some((_, due)) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// The loop goes round.
    pub(super) fn alive(&mut self) {
        if let Some((interval, due)) = &mut self.watchdog {
            *due = Instant::now() + *interval;
            say(&[NotifyState::Watchdog]);
        }
    }
}

fn say(state: &[NotifyState<'_>]) {
    // Without the socket this does nothing and is no error.
    if let Err(error) = sd_notify::notify(false, state) {
        debug!(%error, "cannot tell the service manager");
    }
}
