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
pub(super) use self::{
    view::{divergence, mended},
    worker::{News, Said},
};
use super::{
    ha::post::{self, Post},
    identity::Identity,
};
use crate::{
    api::types::SyncView,
    core::{
        model::{Config, SyncPath},
        sync::{Compared, Crossing, Store, Word, flows::Directory},
    },
    datapath::Kernel,
    notify::Sink,
};

/// News that wait for the daemon's loop; what does not fit is told again.
const NEWS: usize = 16;
/// The thread answers at once; what takes longer than this is not coming.
const PATIENCE: Duration = Duration::from_secs(1);
/// It gives up a comparison earlier than that.
const COMPARING: Duration = Duration::from_millis(2_800);
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
    news: mpsc::Receiver<News>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<Progress>,
    path: SyncPath,
    /// Whether the thread has not got the latest directory.
    is_behind: bool,
    /// Whether the thread has not heard all that was said.
    is_unheard: bool,
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
        store: Store,
        events: Sink,
    ) -> Result<Self, SyncError> {
        let (orders, inbox) = post::post()?;
        let (tell, news) = mpsc::channel(NEWS);
        let ticker = Ticker::new(jiffies, kernel.clock().hz());
        let progress = Arc::new(Progress::default());
        let shown = Arc::clone(&progress);
        let mut worker = Worker::new(
            config, path, identity, kernel, directory, store, ticker, inbox, tell, shown, events,
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
            is_unheard: false,
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

    /// The cluster's time on this director when its clock shows `now`, in milliseconds.
    pub(super) fn cluster_ms(&self, now: Duration) -> u64 {
        self.progress.ahead.load(Ordering::Relaxed) + now.as_millis() as u64
    }

    /// This was said here, and is to hold on all directors.
    pub(super) fn pass_on(&mut self, words: Vec<(String, Word)>) {
        self.is_unheard |= self.orders.try_send(Order::Words(words)).is_err();
    }

    /// Whether not all that was said got through; it has to be said again then.
    pub(super) fn take_unheard(&mut self) -> bool {
        std::mem::take(&mut self.is_unheard)
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
        self.line().ask(Order::View, PATIENCE).await
    }

    /// Whom to ask for more than is to be waited for here.
    pub(super) fn line(&self) -> Line {
        Line(self.orders.clone())
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

/// A line to the thread.
#[derive(Debug, Clone)]
pub(super) struct Line(Post<Order>);

impl Line {
    /// Waits until all directors have everything that has happened before, but not for long.
    ///
    /// # Errors
    /// [`SyncError::Busy`], [`SyncError::Died`].
    pub(super) async fn barrier(&self) -> Result<Crossing, SyncError> {
        self.ask(Order::Barrier, PATIENCE).await
    }

    /// Compares the tables of all directors, and lists so much of what differs.
    ///
    /// # Errors
    /// [`SyncError::Busy`], [`SyncError::Died`].
    pub(super) async fn compare(&self, most: usize) -> Result<Compared, SyncError> {
        self.ask(|to| Order::Compare(most, to), COMPARING).await
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
        patience: Duration,
    ) -> Result<T, SyncError> {
        let (sender, answer) = oneshot::channel();
        self.0.try_send(order(sender)).map_err(|_| SyncError::Busy)?;
        match timeout(patience, answer).await {
            Ok(answer) => answer.map_err(|_| SyncError::Died),
            Err(_) => Err(SyncError::Busy),
        }
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        let _ = self.orders.try_send(Order::Stop);
    }
}

/// What the thread has to tell, when it has. Cancelling loses nothing.
pub(super) async fn news(sync: &mut Option<Sync>) -> News {
    match sync {
        Some(sync) => match sync.news.recv().await {
            Some(news) => news,
            // The thread has ended, and said why.
            None => pending().await,
        },
        None => pending().await,
    }
}
