//! How health checks get to VIPs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use tracing::info;

use super::director::Director;
use crate::{
    core::{event, health::Route, model::Forward},
    datapath::{CheckPath, Lead},
    net::address::own_addresses,
    probe::{Marks, Watches},
};

/// The way of checks to VIPs, and what came of it.
#[derive(Default)]
pub(super) struct CheckWay {
    path: CheckPath,
    pub(super) marks: Marks,
    /// Why there is none, as it was told.
    astray: Option<String>,
}

impl CheckWay {
    /// Leads the checks of these watches to their VIPs; whether their marks are others now.
    pub(super) fn lead(&mut self, watches: &Watches, director: &Director) -> bool {
        let configured = director.config.director.interfaces.iter().map(String::as_str);
        let interfaces: BTreeSet<String> = configured
            .chain(director.links.interfaces())
            .map(str::to_owned)
            .collect();
        let routes = leads(watches, director);
        let (marks, astray) = match self.path.serve(&routes, &interfaces) {
            Ok(of) => (Marks { of, astray: false }, None),
            Err(error) => {
                let marks = Marks {
                    of: BTreeMap::new(),
                    astray: true,
                };
                (marks, Some(error.to_string()))
            }
        };
        if astray != self.astray {
            match &astray {
                Some(reason) => director.events.tell(event::Director::ChecksAstray {
                    reason: reason.clone(),
                }),
                None => info!("health checks go to VIPs again"),
            }
        }
        self.astray = astray;
        let changed = marks != self.marks;
        self.marks = marks;
        changed
    }
}

/// What each way of these watches takes.
fn leads(watches: &Watches, director: &Director) -> BTreeMap<Route, Lead> {
    let routes: BTreeSet<Route> = watches.values().filter_map(|watch| watch.target.route).collect();
    let is_mixed = |route: &Route| {
        let tunnel = route.tunnel;
        tunnel.is_some_and(|(_, backend)| backend.is_ipv4() != route.vip.is_ipv4())
    };
    // Asking the kernel costs something, and is needed by few.
    let own = if routes.iter().any(is_mixed) {
        own_addresses()
    } else {
        Vec::new()
    };
    let lead = |route: &Route| {
        let (encapsulation, backend) = route.tunnel?;
        let (way, interface) = director
            .links
            .way(Forward::Tunnel(encapsulation), backend, &director.addresses)
            .ok()?;
        let suits = |address: &IpAddr| {
            address.is_ipv4() == route.vip.is_ipv4() && !director.addresses.contains(address)
        };
        let source = is_mixed(route).then(|| {
            let mut here = own
                .iter()
                .filter(|(name, address)| name == interface && suits(address));
            let mut anywhere = own.iter().filter(|(_, address)| suits(address));
            here.next()
                .or_else(|| anywhere.next())
                .map(|(_, address)| *address)
        });
        Some(Lead {
            way: Some(way),
            source: source.flatten(),
        })
    };
    routes
        .iter()
        .map(|route| (*route, lead(route).unwrap_or_default()))
        .collect()
}
