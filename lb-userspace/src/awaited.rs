//! What tests wait for: a condition, looked at over and over until a deadline.

use std::{
    thread,
    time::{Duration, Instant},
};

/// For what takes no time, but on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Panics if it was waited for too long.
#[track_caller]
fn check(start: Instant, what: &str) {
    assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
}

/// Waits until the condition holds; panics after [`PATIENCE`].
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        check(start, what);
        thread::sleep(PAUSE);
    }
}

/// The same where others have to go on meanwhile, in tasks of the same thread.
pub(crate) async fn until_meanwhile(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        check(start, what);
        tokio::time::sleep(PAUSE).await;
    }
}
