//! Waiting for a condition, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);

/// What was awaited did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {:.1} s in vain for {what}", waited.as_secs_f64())]
pub struct Timeout {
    /// What was awaited, as the caller worded it.
    pub what: String,
    /// How long.
    pub waited: Duration,
}

/// Waits until `condition` holds.
///
/// # Errors
/// [`Timeout`] when it does not within `deadline`.
pub fn wait_for(
    deadline: Duration,
    what: impl Into<String>,
    mut condition: impl FnMut() -> bool,
) -> Result<(), Timeout> {
    wait_for_some(deadline, what, || condition().then_some(()))
}

/// Waits until `attempt` yields a value, and returns it.
///
/// # Errors
/// [`Timeout`] when it does not within `deadline`.
pub fn wait_for_some<T>(
    deadline: Duration,
    what: impl Into<String>,
    mut attempt: impl FnMut() -> Option<T>,
) -> Result<T, Timeout> {
    let start = Instant::now();
    loop {
        // Read before the attempt, so that one attempt always comes after the last pause.
        let waited = start.elapsed();
        if let Some(value) = attempt() {
            return Ok(value);
        }
        if waited >= deadline {
            return Err(Timeout {
                what: what.into(),
                waited,
            });
        }
        thread::sleep(POLL.min(deadline - waited));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_comes_as_soon_as_there_is_one() {
        let mut looks = 0;
        let value = wait_for_some(Duration::from_secs(5), "the third look", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn a_timeout_says_what_was_awaited() {
        let error = wait_for(Duration::from_millis(20), "the sea to part", || false).unwrap_err();
        assert!(error.waited >= Duration::from_millis(20));
        assert_eq!(error.to_string(), "waited 0.0 s in vain for the sea to part");
    }
}
