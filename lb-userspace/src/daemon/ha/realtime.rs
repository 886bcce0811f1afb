//! What the HA thread asks of the system, so that a busy machine does not make it miss a beat.

use std::io;

/// Above all ordinary threads, and in the middle of the range of real-time ones.
const PRIORITY: libc::c_int = 50;
/// The best of the ordinary priorities.
const NICEST: libc::c_int = -20;

/// Puts the calling thread before all others, has its timers be exact, and keeps the process's memory from being swapped
/// out. Returns what was not granted, as sentences.
pub(super) fn prepare() -> Vec<String> {
    let mut lacking = Vec::new();
    if let Err(error) = schedule_first() {
        let nice = be_nicest().map_or_else(
            |_| "it runs like any other".to_owned(),
            |()| format!("it runs at nice {NICEST} instead"),
        );
        lacking.push(format!(
            "the HA thread gets no real-time priority (SCHED_FIFO: {error}); {nice}: a busy machine may cause failovers; \
             CAP_SYS_NICE would grant it"
        ));
    }
    if let Err(error) = lock_memory() {
        lacking.push(format!(
            "the memory cannot be locked ({error}): a machine that swaps may cause failovers; CAP_IPC_LOCK or a higher \
             RLIMIT_MEMLOCK would grant it"
        ));
    }
    // SAFETY: takes integers. That timers are a little later than they might be is no failure.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
    lacking
}

fn schedule_first() -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // Children, such as hooks, are not to inherit it.
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread; the parameters live through the call.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) })
}

fn be_nicest() -> io::Result<()> {
    // SAFETY: takes integers; for Linux, 0 is the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICEST) })
}

/// As pages come into use, so that maps and stacks that are mostly empty cost nothing.
fn lock_memory() -> io::Result<()> {
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the structure lives through the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) } < 0 && !is_unlimited() {
        // Under a limit, locked memory that is yet to come would make allocations fail.
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    // SAFETY: takes integers.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
}

fn is_unlimited() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure lives through the call.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    asked == 0 && limit.rlim_cur == libc::RLIM_INFINITY
}

fn check(outcome: libc::c_int) -> io::Result<()> {
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
