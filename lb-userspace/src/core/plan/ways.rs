//! What follows from the ways that packets take: which packets to nobody's VIP concern us, and where translated ones come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi::{ServerId, Way};

use super::{DesiredService, KnownBackend, Planner, Step};

impl Planner {
    /// Errors about tunnels are looked for where tunnels come from.
    pub(super) fn follow_tunnels(&mut self, steps: &mut Vec<Step>) {
        let ways = self.backends.values().filter_map(|backend| backend.way);
        let sources: BTreeSet<IpAddr> = ways
            .filter_map(|way| match way {
                Way::Tunnel(_, tunnel) => Some(tunnel.source),
                Way::Direct(_) | Way::Translated(..) | Way::Local => None,
            })
            .collect();
        if self.tunnel_sources.as_ref() != Some(&sources) {
            steps.push(Step::SetTunnelSources(sources.clone()));
            self.tunnel_sources = Some(sources);
        }
    }

    /// Replies are looked for of whom they may come from.
    pub(super) fn follow_translations(&mut self, steps: &mut Vec<Step>) {
        let translates = |backend: &KnownBackend| matches!(backend.way, Some(Way::Translated(..)));
        let backends: BTreeSet<IpAddr> = self
            .backends
            .iter()
            .filter(|(_, backend)| translates(backend))
            .map(|((_, address), _)| *address)
            .collect();
        if self.translated.as_ref() != Some(&backends) {
            steps.push(Step::SetTranslated(backends.clone()));
            self.translated = Some(backends);
        }
    }

    /// Connection IDs lead to whoever has flows; where two of a service claim one, to the one that the configuration has.
    pub(super) fn follow_server_ids(&mut self, steps: &mut Vec<Step>) {
        let mut ids: Vec<_> = self.backends.iter().collect();
        ids.sort_by_key(|(_, backend)| backend.wanted);
        let ids = ids.into_iter().filter_map(|(&(service, _), backend)| {
            let id = backend.server_id?;
            Some((ServerId { service, id }, backend.number))
        });
        let ids: BTreeMap<ServerId, u32> = ids.collect();
        if self.server_ids.as_ref() != Some(&ids) {
            steps.push(Step::SetServerIds(ids.clone()));
            self.server_ids = Some(ids);
        }
    }

    pub(super) fn want_pool(&mut self, number: u32, of: &DesiredService, steps: &mut Vec<Step>) {
        if let Some(known) = self.services.get_mut(&of.name)
            && known.pool.as_ref() != Some(&of.pool)
        {
            known.pool = Some(of.pool.clone());
            steps.push(Step::SetPool {
                service: number,
                pool: of.pool.clone(),
            });
        }
    }
}
