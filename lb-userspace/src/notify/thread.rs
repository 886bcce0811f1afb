//! The thread, and the way to it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use tokio::{
    runtime::Builder,
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tracing::{error, info, warn};

use super::{
    Journal,
    receiver::{Progress, Server},
};
use crate::core::event::{Director, Receiver, Record, Settings, Severity, Timestamp, What};

/// Events that may wait for the thread. It does little, so that more than this means a storm.
const WAITING: usize = 8192;
/// How long the last events may take to be told when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Where to tell what happened. Telling never waits, so that every thread may.
#[derive(Debug, Clone)]
pub struct Sink {
    queue: mpsc::Sender<(What, Timestamp)>,
    lost: Arc<AtomicU64>,
}

impl Sink {
    /// Tells what happened just now. When too much happens at once, it is counted and forgotten.
    pub fn tell(&self, what: impl Into<What>) {
        if self.queue.try_send((what.into(), now())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The present time by the wall clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::since_epoch(since.unwrap_or_default())
}

/// The thread that tells of events.
#[derive(Debug)]
pub struct Notifier {
    sink: Sink,
    journal: Arc<Journal>,
    settings: watch::Sender<(Arc<str>, Settings)>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Notifier {
    /// Starts it. `director` is the name by which receivers know this director.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(director: &str, settings: &Settings) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let journal = Arc::new(Journal::new(settings.keep));
        let (queue, queued) = mpsc::channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let (settings, changes) = watch::channel((Arc::from(director), settings.clone()));
        let (stop, stopped) = watch::channel(false);
        let scribe = Scribe {
            journal: Arc::clone(&journal),
            lost: Arc::clone(&lost),
        };
        let work = move || runtime.block_on(scribe.run(queued, changes, stopped));
        Ok(Self {
            sink: Sink { queue, lost },
            journal,
            settings,
            stop,
            thread: Some(
                thread::Builder::new()
                    .name("tandem-events".to_owned())
                    .spawn(work)?,
            ),
        })
    }

    /// Where to tell what happened.
    #[must_use]
    pub fn sink(&self) -> Sink {
        self.sink.clone()
    }

    /// The log.
    #[must_use]
    pub fn journal(&self) -> Arc<Journal> {
        Arc::clone(&self.journal)
    }

    /// Tells these receivers from now on. Those that stay as they are miss nothing and hear nothing twice.
    pub fn configure(&self, director: &str, settings: &Settings) {
        self.settings.send_if_modified(|current| {
            let changed = &*current.0 != director || current.1 != *settings;
            if changed {
                *current = (Arc::from(director), settings.clone());
            }
            changed
        });
    }
}

impl Drop for Notifier {
    /// Waits until the last events were told, within bounds.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // It printed so if it panicked.
            let _ = thread.join();
        }
    }
}

struct Scribe {
    journal: Arc<Journal>,
    lost: Arc<AtomicU64>,
}

impl Scribe {
    async fn run(
        self,
        mut queue: mpsc::Receiver<(What, Timestamp)>,
        mut settings: watch::Receiver<(Arc<str>, Settings)>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut servers = Servers::new();
        servers.arrange(&self.journal, &settings.borrow_and_update());
        loop {
            tokio::select! {
                biased;
                Some((what, time)) = queue.recv() => self.enter(what, time),
                Ok(()) = settings.changed() => servers.arrange(&self.journal, &settings.borrow_and_update()),
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        while let Ok((what, time)) = queue.try_recv() {
            self.enter(what, time);
        }
        servers.close().await;
    }

    fn enter(&self, what: What, time: Timestamp) {
        say(&self.journal.enter(what, time));
        let events = self.lost.swap(0, Ordering::Relaxed);
        if events > 0 {
            say(&self.journal.enter(Director::Lost { events }.into(), time));
        }
    }
}

/// To the daemon's log.
fn say(event: &Record) {
    let (kind, subject, text) = (&*event.kind, &event.subject, &*event.text);
    match event.severity {
        Severity::Info | Severity::Notice => info!(event = kind, %subject, "{text}"),
        Severity::Warning => warn!(event = kind, %subject, "{text}"),
        Severity::Critical => error!(event = kind, %subject, "{text}"),
    }
}

/// Those who serve the receivers.
struct Servers {
    running: JoinSet<()>,
    director: Arc<str>,
    current: Vec<Arc<Receiver>>,
    closing: Vec<watch::Sender<bool>>,
    progress: Vec<Arc<Progress>>,
}

impl Servers {
    fn new() -> Self {
        Self {
            running: JoinSet::new(),
            director: Arc::from(""),
            current: Vec::new(),
            closing: Vec::new(),
            progress: Vec::new(),
        }
    }

    fn arrange(&mut self, journal: &Arc<Journal>, (director, settings): &(Arc<str>, Settings)) {
        journal.resize(settings.keep);
        let mut old: Vec<_> = self
            .current
            .drain(..)
            .zip(self.closing.drain(..))
            .zip(self.progress.drain(..))
            .collect();
        let renamed = self.director != *director;
        self.director = Arc::clone(director);
        for receiver in &settings.receivers {
            let same = |((current, _), _): &((Arc<Receiver>, _), _)| !renamed && **current == *receiver;
            let kept = old.iter().position(same);
            let ((receiver, closing), progress) = match kept {
                Some(index) => old.swap_remove(index),
                None => {
                    let (closing, told) = watch::channel(false);
                    let receiver = Arc::new(receiver.clone());
                    let progress = Arc::new(Progress::new(&receiver));
                    let server = Server {
                        receiver: Arc::clone(&receiver),
                        director: Arc::clone(director),
                        journal: Arc::clone(journal),
                        progress: Arc::clone(&progress),
                        next: journal.end(),
                        closing: told,
                    };
                    self.running.spawn(server.run());
                    ((receiver, closing), progress)
                }
            };
            self.current.push(receiver);
            self.closing.push(closing);
            self.progress.push(progress);
        }
        // Those that are no longer wanted end with what they have begun.
        for ((_, closing), _) in old {
            closing.send_replace(true);
        }
        while self.running.try_join_next().is_some() {}
        journal.set_receivers(self.progress.clone());
    }

    async fn close(mut self) {
        for closing in &self.closing {
            closing.send_replace(true);
        }
        let all = async { while self.running.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            warn!("some receivers of events were not told everything: they take too long");
        }
    }
}
