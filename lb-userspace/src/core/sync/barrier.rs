//! Barriers: everything that was to be told before this moment has been told, and has arrived, in both directions.
//!
//! VIPs are handed over behind one, so that the next Active has every connection of the last one.

use std::time::Duration;

use lb_common::wire::seal::NodeId;

use super::{Node, peer::Peer};

/// A barrier that somebody waits for.
#[derive(Debug)]
pub(super) struct Barrier {
    began: Duration,
    until: Duration,
    /// Updates before this number are what the others must have; `None` until there is nothing left to say.
    own: Option<u64>,
    theirs: Vec<Announced>,
}

/// What another director has said since the barrier began.
#[derive(Debug)]
struct Announced {
    by: NodeId,
    /// Hellos.
    heard: u32,
    /// Updates before this number are what this director must have.
    next: u64,
}

/// The hello that counts: at the first one, something that had happened before may not have been told yet.
const COUNTS: u32 = 2;

/// What became of a barrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// How long it took.
    pub took: Duration,
    /// The directors that were waited for.
    pub directors: Vec<String>,
    /// Those of them that lack something of this director's, or of which this one lacks something.
    pub behind: Vec<String>,
}

impl Node {
    /// From now on there is a barrier: the others are asked to say at once what they have, until they have everything
    /// that happened here before, and the other way round, or `patience` is over.
    pub fn begin_barrier(&mut self, patience: Duration, now: Duration) {
        self.barrier = Some(Barrier {
            began: now,
            until: now + patience,
            own: None,
            theirs: Vec::new(),
        });
        self.hello_soon(now);
    }

    /// What has become of the barrier, once it is known.
    pub fn poll_barrier(&mut self, now: Duration) -> Option<Crossing> {
        let barrier = self.barrier.as_ref()?;
        let is_behind = |peer: &&Peer| !self.is_level(peer, barrier);
        let behind: Vec<_> = self.company().filter(is_behind).map(Peer::name).collect();
        // Alone there is nobody to wait for.
        if now < barrier.until && !behind.is_empty() {
            return None;
        }
        let crossing = Crossing {
            took: now.saturating_sub(barrier.began),
            directors: self.company().map(Peer::name).collect(),
            behind,
        };
        self.barrier = None;
        Some(crossing)
    }

    /// Whether this director and the other have all of each other that was there when the barrier began.
    fn is_level(&self, peer: &Peer, barrier: &Barrier) -> bool {
        let salt = self.settings.session.salt;
        let acknowledged = peer
            .ack
            .filter(|ack| ack.salt == salt)
            .map_or(0, |ack| ack.position);
        let announced = barrier.theirs.iter().find(|announced| announced.by == peer.id);
        barrier.own.is_some_and(|own| acknowledged >= own)
            && announced.is_some_and(|it| it.heard >= COUNTS && peer.incoming.position() >= it.next)
    }

    /// There is nothing to be said at this moment.
    pub(super) fn note_silence(&mut self) {
        if let Some(barrier) = &mut self.barrier
            && self.batch.is_empty()
        {
            barrier.own.get_or_insert(self.outgoing.next());
        }
    }

    /// Another has announced which of its updates comes next.
    pub(super) fn note_announced(&mut self, id: NodeId, next: u64) {
        let Some(barrier) = &mut self.barrier else { return };
        match barrier.theirs.iter_mut().find(|announced| announced.by == id) {
            Some(known) if known.heard < COUNTS => {
                known.heard += 1;
                known.next = next;
            }
            Some(_) => {}
            None => barrier.theirs.push(Announced {
                by: id,
                heard: 1,
                next,
            }),
        }
    }
}
