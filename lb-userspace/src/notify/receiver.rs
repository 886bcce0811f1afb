//! One receiver: reads the journal at its own pace, and delivers what concerns it.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::warn;

use super::{Journal, hook, mail, webhook};
use crate::core::event::{Backoff, Batch, Pace, Receiver};

/// Most events that one mail or one request tells of.
const MOST_TOGETHER: usize = 100;
/// How long those that wait for company do so.
const GATHER_MAIL: Duration = Duration::from_secs(2);
const GATHER_WEBHOOK: Duration = Duration::from_millis(200);
/// How long one delivery may take, however many steps it has.
const LONGEST: Duration = Duration::from_secs(120);

/// How telling a receiver goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiverView {
    /// Its name.
    pub name: String,
    /// `hook`, `mail` or `webhook`.
    pub kind: String,
    /// Events that it was told of.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Events that it will never be told of: it was too slow, or could not be reached.
    pub lost: u64,
    /// What the latest failure was.
    pub last_error: Option<String>,
}

/// The same, while it goes on.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    kind: &'static str,
    delivered: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Progress {
    pub(super) fn new(receiver: &Receiver) -> Self {
        Self {
            name: receiver.name().to_owned(),
            kind: match receiver {
                Receiver::Hook(_) => "hook",
                Receiver::Mail(_) => "mail",
                Receiver::Webhook(_) => "webhook",
            },
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            last_error: Mutex::default(),
        }
    }

    pub(super) fn view(&self) -> ReceiverView {
        ReceiverView {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    fn fail(&self, error: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&error) {
            warn!(receiver = self.name, error, "cannot tell of events");
        }
        *last = Some(error);
    }
}

/// How a receiver is served.
struct Manner {
    together: usize,
    gather: Duration,
    at_once: usize,
    pace: Pace,
    /// Whether what failed is tried again: a program that failed has run all the same.
    again: bool,
}

impl Manner {
    fn of(receiver: &Receiver) -> Self {
        match receiver {
            Receiver::Hook(hook) => Self {
                together: 1,
                gather: Duration::ZERO,
                at_once: hook.at_once.max(1) as usize,
                pace: Pace::new(hook.per_minute, hook.per_minute),
                again: false,
            },
            Receiver::Mail(mail) => Self {
                together: MOST_TOGETHER,
                gather: GATHER_MAIL,
                at_once: 1,
                pace: Pace::new(1, per_minute(mail.interval)),
                again: true,
            },
            Receiver::Webhook(webhook) => Self {
                together: MOST_TOGETHER,
                gather: GATHER_WEBHOOK,
                at_once: 1,
                pace: Pace::new(webhook.per_minute, webhook.per_minute),
                again: true,
            },
        }
    }
}

fn per_minute(interval: Duration) -> u32 {
    (60_000 / interval.as_millis().max(1))
        .try_into()
        .unwrap_or(u32::MAX)
}

/// Serves one receiver.
pub(super) struct Server {
    pub(super) receiver: Arc<Receiver>,
    pub(super) director: Arc<str>,
    pub(super) journal: Arc<Journal>,
    pub(super) progress: Arc<Progress>,
    /// Where it begins.
    pub(super) next: u64,
    /// True once everything that waits is to go out now.
    pub(super) closing: watch::Receiver<bool>,
}

impl Server {
    /// Goes on until it is told to close and has told everything.
    pub(super) async fn run(mut self) {
        let Manner {
            together,
            gather,
            at_once,
            mut pace,
            again,
        } = Manner::of(&self.receiver);
        let start = Instant::now();
        let mut running = JoinSet::new();
        loop {
            if !self.news().await {
                break;
            }
            self.unless_closing(sleep(gather)).await;
            let next = start + pace.next();
            self.unless_closing(sleep_until(next)).await;
            let batch = self.journal.read(self.next, self.receiver.filter(), together);
            self.next = batch.next;
            self.progress.lost.fetch_add(batch.lost, Ordering::Relaxed);
            if batch.events.is_empty() {
                continue;
            }
            pace.spend(start.elapsed());
            while running.len() >= at_once {
                running.join_next().await;
            }
            running.spawn(deliver(
                Arc::clone(&self.receiver),
                Arc::clone(&self.director),
                Arc::clone(&self.progress),
                batch,
                again.then(|| self.closing.clone()),
            ));
        }
        while running.join_next().await.is_some() {}
    }

    /// Whether there will be news, once there are.
    async fn news(&mut self) -> bool {
        let journal = Arc::clone(&self.journal);
        let next = self.next;
        tokio::select! {
            biased;
            () = journal.wait_for(next) => true,
            _ = self.closing.wait_for(|closing| *closing) => false,
        }
    }

    async fn unless_closing(&mut self, wait: impl Future<Output = ()>) {
        tokio::select! {
            () = wait => {}
            _ = self.closing.wait_for(|closing| *closing) => {}
        }
    }
}

async fn deliver(
    receiver: Arc<Receiver>,
    director: Arc<str>,
    progress: Arc<Progress>,
    batch: Batch,
    again: Option<watch::Receiver<bool>>,
) {
    let count = batch.events.len() as u64;
    let mut backoff = Backoff::new();
    loop {
        let attempt = async {
            match &*receiver {
                Receiver::Hook(hook) => hook::run(hook, &director, &batch).await,
                Receiver::Mail(mail) => mail::send(mail, &director, &batch).await,
                Receiver::Webhook(webhook) => webhook::post(webhook, &director, &batch).await,
            }
        };
        let done = timeout(LONGEST, attempt).await;
        let error = match done.unwrap_or_else(|_| Err(format!("no end after {} s", LONGEST.as_secs()))) {
            Ok(()) => {
                progress.delivered.fetch_add(count, Ordering::Relaxed);
                return;
            }
            Err(error) => error,
        };
        progress.fail(error);
        let wait = backoff.failed();
        let (Some(closing), Some(wait)) = (&again, wait) else {
            break;
        };
        if *closing.borrow() {
            break;
        }
        sleep(wait).await;
    }
    progress.lost.fetch_add(count, Ordering::Relaxed);
}
