//! Connections that a deadline ends with resets: clients that are silent are made to speak, so that both ends hear of it.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, thread, time::Duration};

use lb_common::packet::FlowKey;
use tracing::warn;

use super::director::Director;
use crate::{datapath::ended, net::reset::Questioner};

/// How often clients are asked that do not answer: one answer is for the backend, one for the client.
const ROUNDS: u32 = 8;
/// Between two rounds: Linux answers twice a second at most.
const ROUND: Duration = Duration::from_millis(600);
/// Questions that are sent without a pause.
const BATCH: usize = 512;
const PAUSE: Duration = Duration::from_millis(2);

impl Director {
    /// What has the clients of the ended connections of these backends speak, on a thread of its own.
    pub(super) fn questions(&self, backends: BTreeSet<u32>) -> impl FnOnce() + Send + use<> {
        let flows_v4 = Arc::clone(&self.kernel.tables.flows_v4);
        let flows_v6 = Arc::clone(&self.kernel.tables.flows_v6);
        let translations_v4 = Arc::clone(&self.kernel.tables.translations_v4);
        let translations_v6 = Arc::clone(&self.kernel.tables.translations_v6);
        let left = move || -> Vec<FlowKey> {
            let mut keys = ended(&flows_v4, &translations_v4, &backends);
            keys.extend(ended(&flows_v6, &translations_v6, &backends));
            keys
        };
        let work = move || {
            let asker = match Questioner::open() {
                Ok(asker) => asker,
                Err(error) => {
                    return warn!(%error, "connections that were ended learn of it from their next packets: no socket to ask them");
                }
            };
            for _ in 0..ROUNDS {
                let keys = left();
                if keys.is_empty() {
                    return;
                }
                for batch in keys.chunks(BATCH) {
                    for key in batch {
                        let vip = SocketAddr::new(key.destination, key.destination_port);
                        let client = SocketAddr::new(key.source, key.source_port);
                        // Who cannot be reached does not answer.
                        let _ = asker.ask(vip, client, rand::random());
                    }
                    thread::sleep(PAUSE);
                }
                thread::sleep(ROUND);
            }
            let silent = left().len();
            if silent > 0 {
                warn!(
                    "{silent} clients of connections that were ended do not answer: they learn of it from their next packets"
                );
            }
        };
        move || {
            if let Err(error) = thread::Builder::new()
                .name("tandem-resets".to_owned())
                .spawn(work)
            {
                warn!(%error, "connections that were ended learn of it from their next packets");
            }
        }
    }
}
