//! What is known of another director.

use std::time::Duration;

use lb_common::wire::{
    seal::{NodeId, Session},
    sync::{Ack, Hello, OLDEST_VERSION, ServiceId, VERSION},
};

use super::{incoming::Incoming, repair::Repair, serve::Serve};

/// Who says nothing for this long is not waited for any more.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(3);
/// How long its rate is the mean of.
const RATED: Duration = Duration::from_secs(1);
/// Updates that are asked for when another is met, though they were sent before: what a survey does not cover yet.
const CATCH_UP: u64 = 4096;

/// Another director; its session is proven.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) session: Session,
    pub(super) heard: Duration,
    pub(super) silent: bool,
    pub(super) hello: Hello,
    /// Version of the protocol that both speak.
    pub(super) version: Option<u8>,
    pub(super) incoming: Incoming,
    /// What it has of this director's updates.
    pub(super) ack: Option<Ack>,
    /// Its services, once it has said so.
    pub(super) services: Option<Vec<ServiceId>>,
    pub(super) repair: Repair,
    pub(super) serve: Serve,
    /// How late its latest updates came, in milliseconds beyond the fastest.
    pub(super) lag_ms: f64,
    pub(super) updates: u64,
    pub(super) records: u64,
    /// Connections a second in its updates, and as of when: what `records` was then.
    pub(super) rate: f64,
    pub(super) rated: (Duration, u64),
    /// Connections that its last comparison mended here.
    pub(super) mended: u64,
    /// Of what the two stores and lists of services had in common when it was last told, and when that was.
    pub(super) told_store: Option<Duration>,
    pub(super) store_differs: u32,
    pub(super) told_services: Option<Duration>,
}

impl Peer {
    pub(super) fn new(id: NodeId, session: Session, hello: Hello, leaf_bits: u8, now: Duration) -> Self {
        Self {
            id,
            session,
            heard: now,
            silent: false,
            version: agree((hello.oldest_version, hello.newest_version)),
            incoming: first_contact(&hello),
            hello,
            ack: None,
            services: None,
            repair: Repair::new(leaf_bits),
            serve: Serve::new(1 << leaf_bits),
            lag_ms: 0.0,
            updates: 0,
            records: 0,
            rate: 0.0,
            rated: (now, 0),
            mended: 0,
            told_store: None,
            store_differs: 0,
            told_services: None,
        }
    }

    /// It has started anew.
    pub(super) fn restart(&mut self, session: Session, hello: Hello) {
        self.session = session;
        self.version = agree((hello.oldest_version, hello.newest_version));
        self.incoming = first_contact(&hello);
        self.hello = hello;
        self.ack = None;
        self.services = None;
        self.repair.reset();
        self.serve.reset();
        self.store_differs = 0;
        self.told_store = None;
        self.told_services = None;
    }

    /// Whether it is to be waited for and compared with.
    pub(super) fn is_with_us(&self) -> bool {
        !self.silent && self.version.is_some()
    }

    /// Works out once in a while how much it tells.
    pub(super) fn rate(&mut self, now: Duration) {
        let (since, records) = self.rated;
        let passed = now.saturating_sub(since);
        if passed >= RATED {
            self.rate = (self.records - records) as f64 / passed.as_secs_f64();
            self.rated = (now, self.records);
        }
    }

    /// Whether it has heard this director, and so tells it what changes.
    pub(super) fn tells_us(&self) -> bool {
        self.ack.is_some()
    }

    pub(super) fn name(&self) -> String {
        if self.hello.name.is_empty() {
            self.id.to_string()
        } else {
            self.hello.name.clone()
        }
    }

    /// Updates of this director's that it has not got.
    pub(super) fn behind(&self, next: u64, salt: u64) -> Option<u64> {
        let ack = self.ack.filter(|ack| ack.salt == salt)?;
        Some(next.saturating_sub(ack.position))
    }
}

fn first_contact(hello: &Hello) -> Incoming {
    Incoming::from(
        hello
            .oldest
            .max(hello.next.saturating_sub(CATCH_UP))
            .min(hello.next),
    )
}

/// The newest version that both speak.
pub(super) fn agree((oldest, newest): (u8, u8)) -> Option<u8> {
    let version = newest.min(VERSION);
    (version >= oldest.max(OLDEST_VERSION)).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        assert_eq!(agree((VERSION, VERSION)), Some(VERSION));
        assert_eq!(agree((OLDEST_VERSION, VERSION + 3)), Some(VERSION));
        assert_eq!(agree((VERSION + 1, VERSION + 3)), None);
        assert_eq!(agree((0, OLDEST_VERSION - 1)), None);
    }
}
