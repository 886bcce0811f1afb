//! The sync protocol: how directors keep each other's connections and orders.
//!
//! A message is the payload of a sealed datagram ([`seal`](super::seal)) on [`Channel::Sync`](super::seal::Channel).
//! docs/sync-protocol.md describes every byte, and what a peer has to do.
//!
//! ```text
//!  0               1               2               3
//! +---------------+---------------+---------------+---------------+
//! |     kind      |    version    |           reserved            |
//! +---------------+---------------+---------------+---------------+
//! |                   clock (8): milliseconds                     |
//! +---------------------------------------------------------------+
//! |                             body                              |
//! ```

mod block;
mod hello;
mod message;
mod reader;
mod refusal;
mod store;
#[cfg(test)]
mod tests;
mod time;
pub mod write;

pub use block::{
    Block, BlockBuilder, Full, MAX_DICTIONARY, Mark, Record, Rewrite, ServiceId, Target, WireKey,
};
pub use hello::{Ack, Hello, MAX_NAME, MAX_PEERS, Phase};
pub use message::{
    Body, Digest, Digests, LeafPart, Leaves, MAX_INTERVALS, Message, MissingRun, Nack, SurveyId,
};
pub use reader::Reader;
pub use refusal::Refusal;
pub use store::{MAX_KEY, MAX_VALUE, StoreItem};
pub use time::{Span, Stamp};

/// The version of the protocol that this code speaks: in 2, a block may say that a target is like the one before but for its
/// backend.
pub const VERSION: u8 = 2;
/// Oldest version that this code understands.
pub const OLDEST_VERSION: u8 = 1;
/// Length of what stands in front of a body, in bytes.
pub const HEAD: usize = 12;
