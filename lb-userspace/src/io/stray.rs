//! Processes that have left the group in which they were started: they are found by their environment, which they have
//! inherited.

use std::fs;

use nix::{
    sys::signal::{Signal, kill as send},
    unistd::Pid,
};

/// The variable in whose value programs of one run are alike, and unlike all others.
pub(super) const MARK: &str = "TANDEM_RUN";
/// Looks at all processes at most: one that starts others as fast as they are killed is not followed for ever.
const LOOKS: u32 = 20;

/// Kills all processes with this value of [`MARK`]. Those of another user, or that have put away their environment, are not
/// found.
pub(super) fn kill(mark: &str) {
    let variable = format!("{MARK}={mark}");
    for _ in 0..LOOKS {
        let mut found = false;
        for pid in marked(variable.as_bytes()) {
            found |= send(Pid::from_raw(pid), Signal::SIGKILL).is_ok();
        }
        // Whoever was killed may have started others meanwhile.
        if !found {
            break;
        }
    }
}

/// Numbers of the processes that have this in their environment. A dead one that nobody has reaped yet has none.
fn marked(variable: &[u8]) -> impl Iterator<Item = i32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(move |entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let has_it = environment
            .split(|byte| *byte == 0)
            .any(|found| found == variable);
        has_it.then_some(pid)
    })
}
