//! A thread that runs a server until it is dropped.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

/// Runs a future on a thread of its own; dropping this ends both.
#[derive(Debug)]
pub(super) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    pub(super) fn start(name: String, work: impl Future<Output = ()> + Send + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = work => {}
                    // The sender's end is dropped or used: both mean stop.
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name(name).spawn(run)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A server that panicked has printed so; its clients notice.
            let _ = thread.join();
        }
    }
}
