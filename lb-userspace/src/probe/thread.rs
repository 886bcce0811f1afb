//! The thread.

use std::{
    collections::BTreeMap,
    future::pending,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    runtime::Builder,
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{Marks, marks::await_mark, runner::Runner};
use crate::core::health::{Input, Monitor, Outcome, Output, Report, Watch, WatchKey};

/// News that may wait for the daemon's loop; when it is full, probes wait.
const NEWS: usize = 4096;

/// What is to be watched.
pub type Watches = BTreeMap<WatchKey, Watch>;

/// What is to be watched, and how VIPs are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wanted {
    watches: Watches,
    pub(super) marks: Marks,
}

/// What has become of a watch.
#[derive(Debug, Clone)]
pub struct News {
    /// Which.
    pub watch: WatchKey,
    /// What is known now.
    pub report: Report,
    /// Since when.
    pub at: Instant,
}

/// Probes that have ended.
#[derive(Debug, Default)]
struct Tally {
    all: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    fn count(&self, outcome: &Outcome) {
        self.all.fetch_add(1, Ordering::Relaxed);
        if matches!(outcome, Outcome::Failure(_)) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The way to the thread that runs probes, and back.
#[derive(Debug)]
pub struct Prober {
    wanted: Option<watch::Sender<Arc<Wanted>>>,
    news: mpsc::Receiver<News>,
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    /// Starts it; it watches nothing yet.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start() -> io::Result<Self> {
        raise_open_files();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (wanted, changes) = watch::channel(Arc::new(Wanted::default()));
        let (tell, news) = mpsc::channel(NEWS);
        let tally = Arc::new(Tally::default());
        let counted = Arc::clone(&tally);
        let work = move || runtime.block_on(run(changes, tell, &counted));
        Ok(Self {
            wanted: Some(wanted),
            news,
            tally,
            thread: Some(
                thread::Builder::new()
                    .name("tandem-probe".to_owned())
                    .spawn(work)?,
            ),
        })
    }

    /// Watches these from now on, and nothing else.
    pub fn watch(&self, watches: Watches, marks: Marks) {
        let wanted = Wanted { watches, marks };
        if let Some(sender) = &self.wanted {
            sender.send_if_modified(|current| {
                let changed = **current != wanted;
                if changed {
                    *current = Arc::new(wanted);
                }
                changed
            });
        }
    }

    /// Probes that have ended, and how many of them failed.
    #[must_use]
    pub fn ended(&self) -> (u64, u64) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (of(&self.tally.all), of(&self.tally.failed))
    }

    /// The next news. Cancelling loses nothing.
    pub async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            None => pending().await,
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        drop(self.wanted.take());
        self.news.close();
        if let Some(thread) = self.thread.take() {
            // It printed so if it panicked.
            let _ = thread.join();
        }
    }
}

/// Each probe that waits for an answer takes a descriptor.
fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // What is refused shows when a probe cannot be run.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

async fn run(mut changes: watch::Receiver<Arc<Wanted>>, tell: mpsc::Sender<News>, tally: &Tally) {
    let start = Instant::now();
    let runner = Arc::new(Runner::default());
    let mut monitor = Monitor::new(rand::random());
    let mut running: JoinSet<(u32, Outcome)> = JoinSet::new();
    let mut handles: BTreeMap<u32, AbortHandle> = BTreeMap::new();
    loop {
        let deadline = monitor.next_deadline();
        let timer = sleep_until(
            start
                + deadline
                    .unwrap_or(Duration::MAX / 4)
                    .min(Duration::from_secs(86_400 * 365)),
        );
        let mut inputs = Vec::new();
        tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => {
                    let wanted = Arc::clone(&changes.borrow_and_update());
                    inputs.push(Input::Watch(wanted.watches.clone()));
                }
                Err(_) => return,
            },
            Some(ended) = running.join_next() => {
                inputs.extend(input(ended));
                while let Some(ended) = running.try_join_next() {
                    inputs.extend(input(ended));
                }
            }
            () = timer, if deadline.is_some() => inputs.push(Input::Tick),
        }
        for input in inputs {
            if let Input::Ended { probe, outcome } = &input {
                handles.remove(probe);
                tally.count(outcome);
            }
            monitor.handle(input, start.elapsed());
        }
        while let Some(output) = monitor.poll_output() {
            match output {
                Output::Run {
                    probe,
                    target,
                    timeout,
                } => {
                    let runner = Arc::clone(&runner);
                    let mut wanted = changes.clone();
                    let work = async move {
                        let mark = await_mark(&mut wanted, target.route);
                        (probe, runner.run(&target, mark, timeout).await)
                    };
                    handles.insert(probe, running.spawn(work));
                }
                Output::Cancel { probe } => {
                    if let Some(handle) = handles.remove(&probe) {
                        handle.abort();
                    }
                }
                Output::News { watch, report } => {
                    let at = Instant::now();
                    if tell.send(News { watch, report, at }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// One that was cancelled has nothing to say. One that panicked is a fault of ours; its target must not be held up for it.
fn input(ended: Result<(u32, Outcome), tokio::task::JoinError>) -> Option<Input> {
    let (probe, outcome) = ended.ok()?;
    Some(Input::Ended { probe, outcome })
}

/// A cache of what is dear to make.
#[derive(Debug)]
pub(super) struct Cache<K, V>(Mutex<BTreeMap<K, V>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<K: Ord + Clone, V: Clone> Cache<K, V> {
    /// Most entries; beyond that all are made anew.
    const MOST: usize = 4096;

    /// What was made of this key, or is made now.
    pub(super) fn get<E>(&self, key: &K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = entries.get(key) {
            return Ok(value.clone());
        }
        let value = make()?;
        if entries.len() >= Self::MOST {
            entries.clear();
        }
        entries.insert(key.clone(), value.clone());
        Ok(value)
    }
}
