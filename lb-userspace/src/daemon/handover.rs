//! A planned handover: everybody has everything, the VIPs move, and what became of it is told.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tracing::info;

use super::{
    ha::{self, HaError},
    pair::refusal,
    sync,
};
use crate::{
    api::{
        query::Refusal,
        types::{HaAnswer, HaView, HandedConnectionsView, HandedOver, HandoverView, Role},
    },
    core::{
        ha::Handed,
        sync::{Compared, Comparison, Crossing},
    },
};

/// For the next Active to be heard.
const SUCCESSION: Duration = Duration::from_millis(800);
/// Between two looks at whether it is.
const LOOK: Duration = Duration::from_millis(2);
/// For the tables to be compared: who ordered waits for the answer.
const COMPARISON: Duration = Duration::from_millis(1_000);

/// What a handover needs.
pub(super) struct Handover {
    pub(super) ha: ha::Line,
    /// Where connections are synchronised.
    pub(super) sync: Option<sync::Line>,
    /// This director's name.
    pub(super) own: String,
    pub(super) maintenance: bool,
}

impl Handover {
    /// Hands over, and says how it went.
    pub(super) async fn run(
        self,
        group: Option<String>,
        to: Option<String>,
    ) -> Result<Result<HaAnswer, Refusal>, HaError> {
        // A sync thread that does not answer must not keep the VIPs where they are.
        let crossing = match &self.sync {
            Some(sync) => sync.barrier().await.ok(),
            None => None,
        };
        let begun = Instant::now();
        let handed = match self.ha.hand_over(group, to).await? {
            Ok(handed) => handed,
            Err(unable) => return Ok(Err(refusal(&unable))),
        };
        // What programs of the operator have a say in may take its time.
        let handover = if handed.is_empty() || handed.iter().any(|handed| handed.waits) {
            None
        } else {
            let blackout = self.blackout(&handed, begun).await;
            Some(HandoverView {
                blackout_milliseconds: blackout.map(|time| time.as_millis() as u64),
                connections: self.connections(crossing, &handed).await,
            })
        };
        info!(?handed, ?handover, "handed over");
        Ok(Ok(HaAnswer {
            handed_over: handed
                .into_iter()
                .map(|Handed { group, to, waits }| HandedOver { group, to, waits })
                .collect(),
            maintenance: self.maintenance,
            handover,
        }))
    }

    /// How long it takes until each of the groups has its next Active, as far as is heard here.
    async fn blackout(&self, handed: &[Handed], begun: Instant) -> Option<Duration> {
        let watch = async {
            loop {
                let view = self.ha.view().await.ok()?;
                if handed
                    .iter()
                    .all(|handed| self.is_active(&view, &handed.group, &handed.to))
                {
                    return Some(begun.elapsed());
                }
                sleep(LOOK).await;
            }
        };
        timeout(SUCCESSION, watch).await.ok()?
    }

    fn is_active(&self, view: &HaView, group: &str, director: &str) -> bool {
        if director == self.own {
            let of_group = |name: &str, of: Option<&String>| of.map_or(name == group, |of| of == group);
            let mut own = view
                .instances
                .iter()
                .filter(|instance| of_group(&instance.name, instance.group.as_ref()));
            return own.all(|instance| instance.role == Role::Active);
        }
        let peer = view.cluster.peers.iter().find(|peer| peer.name == director);
        let part = peer.and_then(|peer| peer.groups.iter().find(|part| part.name == group));
        part.is_some_and(|part| part.role == Role::Active)
    }

    /// What the next Active knows of the connections.
    async fn connections(
        &self,
        crossing: Option<Crossing>,
        handed: &[Handed],
    ) -> Option<HandedConnectionsView> {
        let (sync, crossing) = (self.sync.as_ref()?, crossing?);
        let found = timeout(COMPARISON, sync.compare(0)).await;
        let found: Compared = found.ok().and_then(Result::ok).unwrap_or_default();
        // Whoever has the VIPs now is compared with whoever had them.
        let is_other = |one: &&Comparison| {
            handed
                .iter()
                .any(|handed| handed.to == one.director || handed.to == self.own)
        };
        let mut of_others = found
            .directors
            .iter()
            .filter(is_other)
            .filter_map(|one| one.found);
        let taken = handed.iter().any(|handed| handed.to == self.own);
        let divergence = of_others.next();
        let unknown = divergence.map(|found| if taken { found.only_there } else { found.only_here });
        let all = divergence.map(|found| {
            if taken {
                found.compared + found.only_there - found.only_here.min(found.compared)
            } else {
                found.compared
            }
        });
        Some(HandedConnectionsView {
            barrier_milliseconds: crossing.took.as_millis() as u64,
            behind: crossing.behind,
            kept: all.zip(unknown).map(|(all, unknown)| all.saturating_sub(unknown)),
            unknown,
            untold: if taken { 0 } else { found.untold },
        })
    }
}
