//! The thread that holds fragments until the first one of their packet has come.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use lb_common::abi::HeldKey;
use tracing::warn;

use crate::{
    core::fragments::{Hold, Leaving},
    datapath::FragmentPath,
};

/// How often it is looked whether first fragments have come, while others wait for them.
const LOOK: Duration = Duration::from_millis(1);
/// How long the thread sleeps when there is nothing to wait for.
const REST: Duration = Duration::from_millis(500);

/// Ends the thread when it is dropped.
pub(super) struct Fragments(Arc<AtomicBool>);

impl Fragments {
    pub(super) fn start(path: FragmentPath) -> io::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        thread::Builder::new()
            .name("tandem-fragments".to_owned())
            .spawn(move || run(path, &seen))?;
        Ok(Self(ended))
    }
}

impl Drop for Fragments {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn run(mut path: FragmentPath, ended: &AtomicBool) {
    let mut hold: Hold<HeldKey> = Hold::default();
    let began = Instant::now();
    let mut failing = false;
    while !ended.load(Ordering::Relaxed) {
        let patience = if hold.is_empty() { REST } else { LOOK };
        if let Err(error) = path.wait(patience) {
            return warn!(%error, "fragments that come before the first one of their packet are lost from now on");
        }
        let mut leaving = Vec::new();
        while let Some((key, frame)) = path.take() {
            leaving.extend(hold.take_in(key, frame, began.elapsed()));
        }
        leaving.extend(hold.let_go(began.elapsed(), |key| path.knows(key)));
        for frame in leaving {
            let sent = match frame {
                Leaving::Follows(frame) => path.send(&frame, false),
                // It is refused then, and counted.
                Leaving::GivenUp(frame) => path.send(&frame, true),
            };
            if let Err(error) = &sent
                && !failing
            {
                warn!(%error, "cannot send on fragments that were held");
            }
            failing = sent.is_err();
        }
    }
}
