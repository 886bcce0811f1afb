//! A null modem cable between two serial ports, as pseudo-terminals.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::openpty,
    unistd::ttyname,
};

/// Between two looks at whether the cable is to be removed.
const LOOK: u16 = 20;

/// The cable; what is sent into one end comes out of the other.
#[derive(Debug)]
pub struct Cable {
    ends: [PathBuf; 2],
    cut: Arc<AtomicBool>,
    /// The ports' other sides, to write noise to.
    inner: [File; 2],
    /// Held open, so that the ports are there while nobody has them open.
    _ports: [OwnedFd; 2],
    gone: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

impl Cable {
    /// Lays one.
    ///
    /// # Errors
    /// When the system gives no pseudo-terminals.
    pub fn lay() -> io::Result<Self> {
        let (first, second) = (openpty(None, None)?, openpty(None, None)?);
        let ends = [ttyname(&first.slave)?, ttyname(&second.slave)?];
        let inner = [File::from(first.master), File::from(second.master)];
        let (cut, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let both = [inner[0].try_clone()?, inner[1].try_clone()?];
        let (is_cut, is_gone) = (Arc::clone(&cut), Arc::clone(&gone));
        let carrier = thread::spawn(move || carry(&both, &is_cut, &is_gone));
        Ok(Self {
            ends,
            cut,
            inner,
            _ports: [first.slave, second.slave],
            gone,
            carrier: Some(carrier),
        })
    }

    /// The device of one end, 0 or 1.
    #[must_use]
    pub fn end(&self, number: usize) -> &Path {
        &self.ends[number]
    }

    /// Cuts it, or mends it.
    pub fn set_cut(&self, is_cut: bool) {
        self.cut.store(is_cut, Ordering::Release);
    }

    /// Has noise come out of one end.
    ///
    /// # Errors
    /// When the port does not take it.
    pub fn disturb(&self, end: usize, noise: &[u8]) -> io::Result<()> {
        (&self.inner[end]).write_all(noise)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
        if let Some(carrier) = self.carrier.take() {
            // One that panicked has said so.
            let _ = carrier.join();
        }
    }
}

fn carry(sides: &[File; 2], is_cut: &AtomicBool, is_gone: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !is_gone.load(Ordering::Acquire) {
        let mut polled = [0, 1].map(|side: usize| PollFd::new(sides[side].as_fd(), PollFlags::POLLIN));
        match poll(&mut polled, PollTimeout::from(LOOK)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        let ready = polled.map(|polled| {
            polled
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLIN))
        });
        for (from, to) in [(0, 1), (1, 0)] {
            if !ready[from] {
                continue;
            }
            let Ok(length) = (&sides[from]).read(&mut buffer) else {
                continue;
            };
            if !is_cut.load(Ordering::Acquire) {
                // Like a cable, it keeps nothing for who does not listen.
                let _ = (&sides[to]).write(&buffer[..length]);
            }
        }
    }
}
