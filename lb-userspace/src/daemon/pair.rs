//! What is asked and ordered of the pair.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use tracing::{info, warn};

use super::{director::Director, ha::Reaches, handover::Handover, sync::Sync};
use crate::{
    api::{
        query::{HaReply, Refusal, RefusalKind},
        types::{HaAnswer, HaOrder, HaView},
    },
    core::ha::{Reach, Unable},
};

impl Director {
    /// This director's part in the pair; `None` when the HA thread does not answer.
    pub(super) async fn pair(&self) -> Option<HaView> {
        let Some(ha) = &self.ha else {
            return Some(HaView {
                director: self.config.director.name.clone(),
                ..HaView::default()
            });
        };
        match ha.line().view().await {
            Ok(view) => Some(view),
            Err(error) => {
                warn!(%error, "cannot answer a query");
                None
            }
        }
    }

    /// Has the pair know how many backends this director reaches, if that has changed.
    pub(super) fn tell_pair_of_health(&mut self) {
        let Some(ha) = &self.ha else { return };
        let reaches = self.reaches();
        if self.told_reaches.as_ref() != Some(&reaches) && ha.set_health(reaches.clone()) {
            self.told_reaches = Some(reaches);
        }
    }

    /// How many backends behind the VIPs of each group of instances this director reaches.
    fn reaches(&self) -> Reaches {
        let mut vips: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
        for instance in &self.config.instances {
            vips.entry(instance.group_name())
                .or_default()
                .extend(&instance.vips);
        }
        let of_group = |(group, vips): (&str, BTreeSet<IpAddr>)| {
            let services = self.config.services.iter().filter(|service| {
                let mut frontends = service.frontends.iter();
                frontends.any(|frontend| vips.contains(&frontend.vip))
            });
            let services = services.map(|service| Reach::count(&service.name, &self.checked(service)));
            (group.to_owned(), services.collect())
        };
        vips.into_iter().map(of_group).collect()
    }

    /// Carries out what is ordered of the pair, and has the answer sent. Where a thread has no time there is none, and who
    /// ordered is told to ask again.
    pub(super) async fn order_pair(&mut self, order: HaOrder, who: String, reply: HaReply) {
        let Some(ha) = &self.ha else {
            return drop(reply.send(Err(Refusal {
                kind: RefusalKind::Wrong,
                error: "no [[instance]] is configured: this director is the only one".to_owned(),
                hint: "docs/ha.md says how two directors stand in for each other".to_owned(),
            })));
        };
        let (on, force) = match order {
            HaOrder::Handover { instance, to } => {
                info!(who, instance, to, "a handover was ordered");
                let handover = Handover {
                    ha: ha.line(),
                    sync: self.sync.as_ref().map(Sync::line),
                    own: self.config.director.name.clone(),
                    maintenance: self.orders.maintenance.is_on(),
                };
                // It takes longer than the loop may stand still.
                tokio::spawn(async move {
                    match handover.run(instance, to).await {
                        Ok(answer) => drop(reply.send(answer)),
                        Err(error) => warn!(%error, "cannot carry out an order"),
                    }
                });
                return;
            }
            HaOrder::Maintenance { on, force } => (on, force),
        };
        let answer = match ha.line().set_maintenance(on, force).await {
            Ok(Ok(())) => {
                self.orders.maintenance.set(on);
                info!(who, on, "maintenance was ordered");
                Ok(HaAnswer {
                    handed_over: Vec::new(),
                    maintenance: on,
                    handover: None,
                })
            }
            Ok(Err(unable)) => Err(refusal(&unable)),
            Err(error) => return warn!(%error, "cannot carry out an order"),
        };
        drop(reply.send(answer));
    }
}

pub(super) fn refusal(unable: &Unable) -> Refusal {
    let (kind, hint) = match unable {
        Unable::Alone => (
            RefusalKind::Wrong,
            "name a network that joins the directors with [[heartbeat]]; `tandem ha maintenance on --force` gives the VIPs up \
             to whoever listens",
        ),
        Unable::NoSuchGroup(_) => (RefusalKind::NotFound, "`tandem ha` lists them"),
        Unable::NoSuchDirector { .. } => (RefusalKind::NotFound, "`tandem ha` says who is heard"),
        Unable::Unfit { .. } => (RefusalKind::Harmful, "`tandem ha explain` says who could"),
        Unable::Early { .. } => (
            RefusalKind::Harmful,
            "it can have them again after a heartbeat: ask again",
        ),
        Unable::NoSuccessor(_) => (
            RefusalKind::Harmful,
            "`tandem ha explain` says why not; `tandem ha maintenance on --force` gives the VIPs up all the same",
        ),
        Unable::NotActive => (
            RefusalKind::Wrong,
            "give the order on the director that is Active, or name this director with --to to have it take the VIPs",
        ),
    };
    Refusal {
        kind,
        error: unable.to_string(),
        hint: hint.to_owned(),
    }
}
