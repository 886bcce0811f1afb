//! The log of events, shared between the thread that enters them and those who read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{ReceiverView, receiver::Progress};
use crate::core::event::{Batch, Filter, Log, Record, Timestamp, What};

/// The latest events. Everything here takes microseconds; nobody holds it for longer.
#[derive(Debug)]
pub struct Journal {
    log: Mutex<Log>,
    /// Number that the next event will have.
    end: watch::Sender<u64>,
    receivers: Mutex<Vec<Arc<Progress>>>,
}

impl Journal {
    /// Keeps the latest `keep` events.
    #[must_use]
    pub fn new(keep: usize) -> Self {
        Self {
            log: Mutex::new(Log::new(keep)),
            end: watch::Sender::new(1),
            receivers: Mutex::default(),
        }
    }

    /// Enters what happened.
    pub fn enter(&self, what: What, time: Timestamp) -> Arc<Record> {
        let mut log = self.log();
        let record = log.enter(what, time);
        let end = log.end();
        drop(log);
        self.end.send_replace(end);
        record
    }

    /// Keeps so many from now on.
    pub(super) fn resize(&self, keep: usize) {
        self.log().resize(keep);
    }

    /// See [`Log::read`].
    #[must_use]
    pub fn read(&self, from: u64, filter: &Filter, most: usize) -> Batch {
        self.log().read(from, filter, most)
    }

    /// See [`Log::tail`].
    #[must_use]
    pub fn tail(&self, filter: &Filter, most: usize) -> Vec<Arc<Record>> {
        self.log().tail(filter, most)
    }

    /// Number that the next event will have.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.log().end()
    }

    /// See [`Log::counts`].
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.log().counts().collect()
    }

    /// Waits until the event of this number is there.
    pub async fn wait_for(&self, number: u64) {
        let mut end = self.end.subscribe();
        // The sender is part of what is borrowed here, so there is no other outcome.
        let _ = end.wait_for(|end| *end > number).await;
    }

    /// How telling the receivers goes.
    #[must_use]
    pub fn receivers(&self) -> Vec<ReceiverView> {
        let receivers = self.receivers.lock().unwrap_or_else(PoisonError::into_inner);
        receivers.iter().map(|progress| progress.view()).collect()
    }

    pub(super) fn set_receivers(&self, receivers: Vec<Arc<Progress>>) {
        *self.receivers.lock().unwrap_or_else(PoisonError::into_inner) = receivers;
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
