//! Something to do before the process ends: at exit, and on SIGINT, SIGTERM and SIGHUP.

use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::{Once, OnceLock};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The end of the pipe that the signal handler writes to.
static PIPE: OnceLock<i32> = OnceLock::new();
static FAREWELL: OnceLock<fn()> = OnceLock::new();

/// Arranges for `farewell` to run before the process ends; the first call counts.
///
/// A signal is taken only where its disposition is the default one, and has its default effect afterwards. What cannot
/// be arranged is left out: the next lab cleans up after this process.
pub(crate) fn arrange(farewell: fn()) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = FAREWELL.set(farewell);
        // SAFETY: the function is valid for the life of the process and unwinds nowhere.
        unsafe { libc::atexit(at_exit) };
        if let Err(error) = watch_signals() {
            eprintln!("lab: cannot watch for signals ({error}); a later lab will clean up after one");
        }
    });
}

extern "C" fn at_exit() {
    if let Some(farewell) = FAREWELL.get() {
        farewell();
    }
}

/// The handler only writes to a pipe; a thread that reads it does the work, where every call is allowed.
fn watch_signals() -> io::Result<()> {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let _ = PIPE.set(writer.into_raw_fd());
    thread::Builder::new()
        .name("lab-signals".to_owned())
        .spawn(move || obey(&reader))?;
    for signal in SIGNALS {
        take(signal)?;
    }
    Ok(())
}

fn take(signal: Signal) -> io::Result<()> {
    let action = SigAction::new(SigHandler::Handler(pass_on), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler makes one async-signal-safe call.
    let previous = unsafe { sigaction(signal, &action) }?;
    if previous.handler() != SigHandler::SigDfl {
        // SAFETY: it was in place a moment ago.
        unsafe { sigaction(signal, &previous) }?;
    }
    Ok(())
}

extern "C" fn pass_on(signal: libc::c_int) {
    if let (Some(pipe), Ok(byte)) = (PIPE.get(), u8::try_from(signal)) {
        // SAFETY: write(2) is async-signal-safe; the byte outlives the call, the pipe is never closed.
        unsafe { libc::write(*pipe, (&raw const byte).cast(), 1) };
    }
}

fn obey(reader: &OwnedFd) {
    let mut byte = [0];
    loop {
        match nix::unistd::read(reader, &mut byte) {
            Ok(1) => break,
            Err(Errno::EINTR) => {}
            // The writing end is never closed, so this is the end of the watch, not of the process.
            Ok(_) | Err(_) => return,
        }
    }
    at_exit();
    if let Ok(signal) = Signal::try_from(i32::from(byte[0])) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: restores the default disposition.
        let _ = unsafe { sigaction(signal, &default) };
        let _ = raise(signal);
    }
}
