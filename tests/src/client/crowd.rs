//! Many connections, opened at once and held.

use std::fmt;

use futures_util::stream::{self, StreamExt};
use tokio::runtime::{Builder, Runtime};

use super::connection::Connection;
use super::{ClientError, Counts, Dial, count};
use crate::host::Host;

/// Connections held open, each with the backend that first answered on it.
pub struct Crowd {
    connections: Vec<Connection>,
    failures: Counts,
    at_once: usize,
    /// Last, since the connections are registered with it.
    runtime: Runtime,
}

/// What became of held connections when they were asked again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The same backend answered as at first.
    pub kept: usize,
    /// Another backend answered.
    pub moved: usize,
    /// Nobody answered, by reason.
    pub broken: Counts,
}

impl Answers {
    /// How many connections nobody answered on.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.broken.values().sum()
    }
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            failures,
            at_once: _,
            runtime: _,
        } = self;
        f.debug_struct("Crowd")
            .field("open", &connections.len())
            .field("failures", failures)
            .finish_non_exhaustive()
    }
}

impl Crowd {
    /// Opens `number` connections from `host` and has each answered once. Those that fail are counted, not tried again.
    ///
    /// # Errors
    /// [`ClientError`] only when the client itself cannot run.
    pub fn open(host: &Host, dial: &Dial, number: usize) -> Result<Self, ClientError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ClientError::Start)?;
        let opened: Vec<_> = host.enter(|| {
            let dialled = stream::iter(0..number).map(|number| Connection::open(dial, number));
            runtime.block_on(dialled.buffer_unordered(dial.at_once).collect())
        })?;
        let mut crowd = Self {
            connections: Vec::new(),
            failures: Counts::new(),
            at_once: dial.at_once,
            runtime,
        };
        for connection in opened {
            match connection {
                Ok(connection) => crowd.connections.push(connection),
                Err(error) => count(&mut crowd.failures, error.to_string()),
            }
        }
        Ok(crowd)
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Connections that could not be opened, by reason.
    #[must_use]
    pub fn failures(&self) -> &Counts {
        &self.failures
    }

    /// Open connections by the backend that first answered on them.
    #[must_use]
    pub fn by_backend(&self) -> Counts {
        let mut counts = Counts::new();
        for connection in &self.connections {
            count(&mut counts, connection.backend.as_str());
        }
        counts
    }

    /// Asks on every open connection who is there. Broken ones are dropped.
    pub fn ask(&mut self) -> Answers {
        let ask = |mut connection: Connection| async move {
            let answer = connection.ask().await;
            (connection, answer)
        };
        let asked = stream::iter(self.connections.drain(..))
            .map(ask)
            .buffer_unordered(self.at_once);
        let asked: Vec<_> = self.runtime.block_on(asked.collect());
        let mut answers = Answers::default();
        for (connection, answer) in asked {
            match answer {
                Ok(backend) => {
                    if backend == connection.backend {
                        answers.kept += 1;
                    } else {
                        answers.moved += 1;
                    }
                    self.connections.push(connection);
                }
                Err(error) => count(&mut answers.broken, error.to_string()),
            }
        }
        answers
    }
}
