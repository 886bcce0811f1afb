//! What a node shows of itself.

use std::time::Duration;

use lb_common::wire::{seal::NodeId, sync::Phase};

use super::{
    Node,
    repair::{Divergence, Standing},
};

/// A node at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// How far it is.
    pub phase: Phase,
    /// Of what it has to fetch, how much it has, in thousandths.
    pub joined: u16,
    /// Number of its next update.
    pub position: u64,
    /// The others.
    pub peers: Vec<PeerView>,
}

/// Another director, as a node sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerView {
    /// Who.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// How far it says that it is.
    pub phase: Phase,
    /// Of what it has to fetch, how much it says that it has, in thousandths.
    pub joined: u16,
    /// How long ago it was heard.
    pub silent_for: Duration,
    /// Whether it is waited for and compared with.
    pub with_us: bool,
    /// Version of the protocol that both speak.
    pub version: Option<u8>,
    /// Whether its configuration is the same.
    pub same_configuration: bool,
    /// Whether its store is the same.
    pub same_store: bool,
    /// Connections in its tables, as it says.
    pub flows: u64,
    /// Number of the next update that is expected of it.
    pub position: u64,
    /// Updates of it that are missing and asked for.
    pub missing: u64,
    /// How often updates of it were asked for.
    pub asked: u64,
    /// Updates of it that were asked for and came.
    pub repaired: u64,
    /// Updates of it that are lost for good.
    pub lost: u64,
    /// How late its updates come, in milliseconds beyond the fastest.
    pub lag_ms: f64,
    /// Connections that it told in a second, of late.
    pub rate: f64,
    /// Updates of it that came, and connections in them.
    pub updates: u64,
    /// As above.
    pub records: u64,
    /// Updates of this director that it has not got; `None` while it has not said.
    pub behind: Option<u64>,
    /// How the comparison with it stands.
    pub comparison: Standing,
    /// What it found, or has found so far.
    pub divergence: Divergence,
    /// Of the leaves to be fetched from it, how many are, and how many there are.
    pub fetched: (usize, usize),
    /// Connections that the last comparison mended here.
    pub mended: u64,
    /// Connections that were sent to it as content of leaves.
    pub served: u64,
}

impl Node {
    /// What it shows of itself.
    #[must_use]
    pub fn view(&self, now: Duration) -> NodeView {
        let (next, salt) = (self.outgoing.next(), self.settings.session.salt);
        let store = self.store.digest(self.clock.at(now));
        let peers = self.peers.iter().map(|peer| PeerView {
            id: peer.id,
            name: peer.name(),
            phase: peer.hello.phase,
            joined: peer.hello.joined.min(1000),
            silent_for: now.saturating_sub(peer.heard),
            with_us: peer.is_with_us(),
            version: peer.version,
            same_configuration: peer.hello.config == self.config_digest,
            same_store: peer.hello.store == store,
            flows: peer.hello.flows,
            position: peer.incoming.position(),
            missing: peer.incoming.missing(),
            asked: peer.incoming.asked(),
            repaired: peer.incoming.mended(),
            lost: peer.incoming.lost(),
            lag_ms: peer.lag_ms,
            rate: peer.rate,
            updates: peer.updates,
            records: peer.records,
            behind: peer.behind(next, salt),
            comparison: peer.repair.standing(),
            divergence: peer.repair.divergence(),
            fetched: peer.repair.progress(),
            mended: peer.mended,
            served: peer.serve.sent(),
        });
        let (done, wanted) = self
            .company()
            .map(|peer| peer.repair.progress())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        NodeView {
            phase: self.phase,
            joined: match self.phase {
                Phase::Starting => 0,
                Phase::Joining => (done * 1000).checked_div(wanted).unwrap_or(0) as u16,
                Phase::InSync => 1000,
            },
            position: next,
            peers: peers.collect(),
        }
    }
}
