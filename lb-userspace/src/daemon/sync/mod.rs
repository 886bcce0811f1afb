//! Connections of the other directors: a thread that reads what packets note, tells the others, and takes in what they
//! tell, straight from and into the flow tables.
//!
//! The daemon's loop tells it who the numbers stand for, and gives numbers to backends that only others have flows to.

mod courier;
mod ticker;
mod view;
mod worker;

use std::{
    future::pending,
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use lb_common::wire::heartbeat;
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};
use tracing::{error, warn};

pub use self::courier::{Courier, Passage, Trouble};
use self::{
    ticker::Ticker,
    worker::{Order, Progress, Worker},
};
use super::{
    ha::post::{self, Post},
    identity::Identity,
};
use crate::{
    api::types::SyncView,
    core::{
        model::{Config, SyncPath},
        sync::flows::{Directory, WantedBackend},
    },
    datapath::Kernel,
    notify::Sink,
};

/// News that wait for the daemon's loop; what does not fit is told again.
const NEWS: usize = 16;
/// The thread answers at once; what takes longer than this is not coming.
const PATIENCE: Duration = Duration::from_secs(1);
/// For the thread to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why connections are not synchronised.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The system gives no thread, or nothing to wake it by.
    #[error("cannot set up the sync thread: {0}")]
    Setup(#[from] io::Error),
    /// The thread has ended by itself.
    #[error(
        "the sync thread has ended: connections are not synchronised. This is a fault of ours: please report it"
    )]
    Died,
    /// It does not answer.
    #[error("the sync thread does not answer: is the machine overloaded?")]
    Busy,
}

/// The running thread; dropping it ends it.
#[derive(Debug)]
pub(super) struct Sync {
    orders: Post<Order>,
    news: mpsc::Receiver<Vec<WantedBackend>>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<Progress>,
    path: SyncPath,
    /// Whether the thread has not got the latest directory.
    is_behind: bool,
}

impl Sync {
    /// Starts the thread, in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`SyncError::Setup`].
    pub(super) fn start(
        config: &Config,
        path: &SyncPath,
        identity: &Identity,
        kernel: &Kernel,
        (jiffies, directory): (u64, Directory),
        events: Sink,
    ) -> Result<Self, SyncError> {
        let (orders, inbox) = post::post()?;
        let (tell, news) = mpsc::channel(NEWS);
        let ticker = Ticker::new(jiffies, kernel.clock().hz());
        let progress = Arc::new(Progress::default());
        let shown = Arc::clone(&progress);
        let mut worker = Worker::new(
            config, path, identity, kernel, directory, ticker, inbox, tell, shown, events,
        );
        let thread = thread::Builder::new().name("tandem-sync".into()).spawn(move || {
            if let Err(error) = worker.run() {
                error!(%error, "the sync thread cannot go on");
            }
        })?;
        Ok(Self {
            orders,
            news,
            thread: Some(thread),
            progress,
            path: path.clone(),
            is_behind: false,
        })
    }

    /// Whether the thread can go on with this path, or another one has to be started.
    pub(super) fn suits(&self, path: Option<&SyncPath>) -> bool {
        path == Some(&self.path)
    }

    /// The numbers stand for others from now on.
    pub(super) fn set_directory(&mut self, directory: Directory) {
        self.is_behind = self.orders.try_send(Order::Directory(directory)).is_err();
    }

    /// How far this director's connections are those of the others.
    pub(super) fn progress(&self) -> heartbeat::Sync {
        heartbeat::Sync {
            position: self.progress.position.load(Ordering::Relaxed),
            completeness: self.progress.complete.load(Ordering::Relaxed),
            ..heartbeat::Sync::default()
        }
    }

    /// Whether the thread has ended by itself.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Whether the directory has to be set again.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// The flows of this backend are about to be ended, and are not to come back from others.
    pub(super) fn release(&self, number: u32) {
        if self.orders.try_send(Order::Release(number)).is_err() {
            warn!("the sync thread is busy: other directors may bring back flows that are ended");
        }
    }

    /// Has the configuration's keys and digest from now on.
    pub(super) fn configure(&self, config: &Config, identity: &Identity) {
        let order = Order::Configure {
            keyring: Arc::clone(&identity.keyring),
            digest: view::digest(config),
        };
        if self.orders.try_send(order).is_err() {
            warn!("the sync thread does not take the new keys; reload again");
        }
    }

    /// The time goes on. Where the thread has no time, its own reckoning serves.
    pub(super) fn set_jiffies(&self, jiffies: u64) {
        let _ = self.orders.try_send(Order::Jiffies(Ticker::reading(jiffies)));
    }

    /// How things are.
    ///
    /// # Errors
    /// [`SyncError::Busy`], [`SyncError::Died`].
    pub(super) async fn view(&self) -> Result<SyncView, SyncError> {
        let (sender, answer) = oneshot::channel();
        self.orders
            .try_send(Order::View(sender))
            .map_err(|_| SyncError::Busy)?;
        match timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|_| SyncError::Died),
            Err(_) => Err(SyncError::Busy),
        }
    }

    /// Ends the thread, and waits for it.
    pub(super) async fn stop(mut self) {
        let _ = self.orders.try_send(Order::Stop);
        let Some(thread) = self.thread.take() else { return };
        // One that panicked has said so.
        let ended = spawn_blocking(move || drop(thread.join()));
        if timeout(FAREWELL, ended).await.is_err() {
            warn!("the sync thread did not end in time");
        }
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        let _ = self.orders.try_send(Order::Stop);
    }
}

/// Backends that need a number, when there are any. Cancelling loses nothing.
pub(super) async fn wanted(sync: &mut Option<Sync>) -> Vec<WantedBackend> {
    match sync {
        Some(sync) => match sync.news.recv().await {
            Some(wanted) => wanted,
            // The thread has ended, and said why.
            None => pending().await,
        },
        None => pending().await,
    }
}
