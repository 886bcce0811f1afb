//! Tells of events: to the log, to whoever follows them, to hooks, by mail, to webhooks. All on a thread of its own.
//!
//! Whoever has something to tell has a [`Sink`]; telling never waits. The thread enters what it is told into the
//! [`Journal`], a bounded log that every reader reads at a pace of its own: the API's clients, and one task for each
//! receiver. A reader that falls behind further than the log reaches learns how many events it missed. There is no
//! other queue.

mod hook;
mod journal;
mod mail;
mod receiver;
#[cfg(test)]
mod tests;
mod thread;
mod webhook;

pub(crate) use self::thread::now;
pub use self::{
    journal::Journal,
    receiver::ReceiverView,
    thread::{Notifier, Sink},
};
