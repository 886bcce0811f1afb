//! Clients that run on a lab's hosts, and learn from each answer which backend served them.

mod connection;
pub mod crowd;
pub mod http;
pub mod load;
mod segment;
mod stream;
mod transfers;
pub mod udp;
mod upload;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use connection::Greeting;
pub use crowd::{Answers, Crowd};
pub use load::{Load, Rate, Tally};
pub use stream::{Passage, Stream};
pub use transfers::{Course, Transfers};
pub use upload::{Upload, upload};

use crate::error::LabError;

/// Why a client could not do its work. Connections that fail are counted, and are no error of the client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The host could not be used.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Its runtime or thread could not be started.
    #[error("cannot start a client: {0}")]
    Start(#[source] io::Error),
    /// Its thread panicked.
    #[error("the client's thread has panicked")]
    Panicked,
    /// An exchange failed.
    #[error("cannot {doing} {to}: {source}")]
    Exchange {
        /// What was attempted.
        doing: &'static str,
        /// With whom.
        to: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// What came back makes no sense.
    #[error("{from} answered what cannot be understood: {what}")]
    Answer {
        /// Who answered.
        from: SocketAddr,
        /// What is wrong with it.
        what: String,
    },
}

/// How connections are opened.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Whom to connect to.
    pub to: SocketAddr,
    /// What to say.
    pub greeting: Greeting,
    /// Addresses to connect from, in turn; where empty, the kernel chooses.
    pub from: Vec<IpAddr>,
    /// For opening and a first answer, and for each answer later.
    pub timeout: Duration,
    /// How many connections may be waiting for an answer at once.
    pub at_once: usize,
}

impl Dial {
    /// With usual patience (10 s) and haste (512 at once), from whatever address the kernel chooses.
    #[must_use]
    pub fn new(to: SocketAddr, greeting: Greeting) -> Self {
        Self {
            to,
            greeting,
            from: Vec::new(),
            timeout: Duration::from_secs(10),
            at_once: 512,
        }
    }

    fn source(&self, number: usize) -> Option<IpAddr> {
        self.from.get(number.checked_rem(self.from.len())?).copied()
    }
}

/// How often each thing happened: connections by backend, failures by reason.
pub type Counts = BTreeMap<String, u64>;

fn count(counts: &mut Counts, what: impl Into<String>) {
    *counts.entry(what.into()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_take_turns() {
        let mut dial = Dial::new(([192, 0, 2, 10], 80).into(), Greeting::Line);
        assert_eq!(dial.source(7), None);
        dial.from = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(
            [0, 1, 2].map(|number| dial.source(number)),
            [0, 1, 0].map(|at| Some(dial.from[at]))
        );
    }
}
