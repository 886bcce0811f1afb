//! Connections opened at a steady rate, in the background, and held for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout_at};

use super::connection::Connection;
use super::{ClientError, Counts, Dial, count};
use crate::host::Host;

/// How fast connections are opened, and what becomes of them.
#[derive(Debug, Clone)]
pub struct Rate {
    /// Connections opened a second.
    pub per_second: u32,
    /// How long each is held; zero closes it after the first answer.
    pub hold: Duration,
    /// How often a held one is asked whether it is still there.
    pub ask_every: Duration,
    /// No more than this many are held at once; the ones that would be are skipped.
    pub most: usize,
}

/// What happened so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that were opened and answered.
    pub opened: u64,
    /// Connections that could not be opened, by reason.
    pub failed: Counts,
    /// Connections not tried, because as many as allowed were held.
    pub skipped: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections whose first backend answered to the end, when the client closed them.
    pub kept: u64,
    /// Connections on which nobody answered any more, by reason.
    pub broken: Counts,
    /// Connections on which another backend answered than at first.
    pub moved: u64,
    /// Opened connections by the backend that first answered.
    pub by_backend: Counts,
}

/// A client that keeps opening connections until it is stopped or dropped.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Mutex<Tally>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<Result<(), ClientError>>>,
}

impl Load {
    /// Starts to open connections from `host`.
    ///
    /// # Errors
    /// [`ClientError::Start`].
    pub fn start(host: &Host, dial: &Dial, rate: &Rate) -> Result<Self, ClientError> {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (stop, stopped) = watch::channel(false);
        let client = Client {
            dial: dial.clone(),
            rate: rate.clone(),
            tally: Arc::clone(&tally),
            stopped,
        };
        let host = host.clone();
        let run = move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(ClientError::Start)?;
            host.enter(|| runtime.block_on(client.run()))?;
            Ok(())
        };
        let thread = thread::Builder::new()
            .name("load".to_owned())
            .spawn(run)
            .map_err(ClientError::Start)?;
        Ok(Self {
            tally,
            stop,
            thread: Some(thread),
        })
    }

    /// What happened so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Stops opening, asks a last time on every open connection, closes them, and says what happened in all.
    ///
    /// # Errors
    /// [`ClientError`] when the client could not run.
    pub fn stop(mut self) -> Result<Tally, ClientError> {
        self.finish()?;
        Ok(self.tally())
    }

    fn finish(&mut self) -> Result<(), ClientError> {
        self.stop.send_replace(true);
        self.thread.take().map_or(Ok(()), |thread| {
            thread.join().map_err(|_| ClientError::Panicked)?
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Whoever wants to know how it went calls `stop`.
        let _ = self.finish();
    }
}

#[derive(Clone)]
struct Client {
    dial: Dial,
    rate: Rate,
    tally: Arc<Mutex<Tally>>,
    stopped: watch::Receiver<bool>,
}

impl Client {
    async fn run(self) {
        let mut stopped = self.stopped.clone();
        let mut ticks = interval(Duration::from_secs(1) / self.rate.per_second.max(1));
        let mut lives = JoinSet::new();
        let mut number = 0;
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                Some(_) = lives.join_next() => {}
                _ = ticks.tick() => {
                    if lives.len() < self.rate.most {
                        lives.spawn(self.clone().live(number));
                        number += 1;
                    } else {
                        self.tally().skipped += 1;
                    }
                }
            }
        }
        while lives.join_next().await.is_some() {}
    }

    /// The life of one connection.
    async fn live(mut self, number: usize) {
        let connection = match Connection::open(&self.dial, number).await {
            Ok(connection) => connection,
            Err(error) => return count(&mut self.tally().failed, error.to_string()),
        };
        {
            let mut tally = self.tally();
            tally.opened += 1;
            tally.open += 1;
            count(&mut tally.by_backend, connection.backend.as_str());
        }
        let end = self.hold(connection).await;
        let mut tally = self.tally();
        tally.open -= 1;
        match end {
            End::Kept => tally.kept += 1,
            End::Moved => tally.moved += 1,
            End::Broken(reason) => count(&mut tally.broken, reason),
        }
    }

    async fn hold(&mut self, mut connection: Connection) -> End {
        let close = Instant::now() + self.rate.hold;
        let mut last = self.rate.hold.is_zero();
        while !last {
            let next = (Instant::now() + self.rate.ask_every).min(close);
            let stopped = timeout_at(next, self.stopped.wait_for(|stopped| *stopped))
                .await
                .is_ok();
            last = stopped || next == close;
            match connection.ask().await {
                Ok(backend) if backend == connection.backend => {}
                Ok(_) => return End::Moved,
                Err(error) => return End::Broken(error.to_string()),
            }
        }
        End::Kept
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }
}

enum End {
    Kept,
    Moved,
    Broken(String),
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
