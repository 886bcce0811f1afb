//! Services, their frontends and their backends.

use std::{
    fmt::Display,
    net::{IpAddr, SocketAddr},
    ops::{Range, RangeInclusive},
    time::Duration,
};

use crate::config::Spanned;
use lb_common::abi::MOST_AREAS;

use super::{FirstSeen, Validator, check::Reach};
use crate::{
    config::{
        Listen,
        diagnostic::{Diagnostic, quote},
        duration::Time,
        file, parse_listen,
    },
    core::{
        health::Policy,
        model::{Area, Backend, DEFAULT_WEIGHT, Drain, Frontend, MAX_WEIGHT, Service},
        order::AtDeadline,
        timeouts::Timeouts,
    },
};

/// How long a drain may take.
const DRAIN_DEADLINE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);

/// How long a slow start may take.
const SLOW_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

impl Validator<'_> {
    pub(super) fn services(&mut self, tables: &[file::Service]) -> Vec<Service> {
        if tables.is_empty() {
            self.report(
                Diagnostic::warning("there is no service: nothing will be balanced")
                    .note("add one with [[service]], a `name`, and where to `listen`"),
            );
        }
        let mut names = FirstSeen::new();
        let mut frontends_seen = FirstSeen::new();
        let mut areas_seen = FirstSeen::new();
        let mut services: Vec<Service> = Vec::new();
        for table in tables {
            let name = &table.name;
            self.name("service", name);
            self.once(&mut names, name.get_ref().clone(), &name.span(), || {
                Diagnostic::error(format!("two services are called {}", quote(name.get_ref())))
                    .at(name.span(), "expected another name")
            });
            let (frontends, areas) = self.listen(&mut frontends_seen, &mut areas_seen, table);
            let protocols = frontends.iter().map(|frontend| frontend.protocol);
            let protocols = protocols.chain(areas.iter().map(|area| area.protocol)).collect();
            let mut timeouts = self.timeouts(table);
            let forward = self.forward(table);
            let reach = Reach {
                forward,
                // Who listens nowhere hears of that.
                has_frontend: !frontends.is_empty() || areas.is_empty(),
            };
            services.push(Service {
                name: name.get_ref().clone(),
                scheduling: self.scheduling(table),
                forward,
                pool: None,
                connections: self.connections(table, &protocols, &mut timeouts),
                frontends,
                areas,
                timeouts,
                health: self.health(table, reach),
                slow_start: self.time(
                    "slow_start",
                    table.slow_start.as_ref(),
                    Duration::ZERO,
                    &SLOW_START,
                ),
                drain: table.drain.as_ref().map(|drain| self.drain(drain)),
                backends: Vec::new(),
            });
        }
        // Only now are all VIPs known, of which none may be a backend.
        let frontends = frontends_seen
            .into_iter()
            .map(|(frontend, span)| (Area::from(frontend), span));
        let vips = frontends.chain(areas_seen).collect();
        for (service, table) in services.iter_mut().zip(tables) {
            service.backends = self.backends(&vips, table);
            service.pool = self.pool(service, table);
            self.families(service, table);
            self.sorry(service, table);
            self.balance(service, table);
        }
        services
    }

    /// Who leaves it to backups must have one.
    fn sorry(&mut self, service: &Service, table: &file::Service) {
        if service.health.policy == Policy::Sorry && !service.backends.iter().any(|backend| backend.backup) {
            self.report(
                Diagnostic::error(format!(
                    "service {} has no backup that could serve without a quorum",
                    quote(&service.name)
                ))
                .at(
                    table.name.span(),
                    "expected a backend with `backup = true`, or another `policy` than \"sorry\"",
                ),
            );
        }
    }

    fn listen(
        &mut self,
        frontends_seen: &mut FirstSeen<Frontend>,
        areas_seen: &mut FirstSeen<Area>,
        table: &file::Service,
    ) -> (Vec<Frontend>, Vec<Area>) {
        if table.listen.get_ref().is_empty() {
            self.report(
                Diagnostic::error(format!("service {} listens nowhere", quote(table.name.get_ref()))).at(
                    table.listen.span(),
                    "expected at least one VIP:port, such as \"192.0.2.10:80\"",
                ),
            );
        }
        let (mut frontends, mut areas) = (Vec::new(), Vec::new());
        for listen in table.listen.get_ref() {
            let (text, span) = (listen.get_ref(), listen.span());
            let given = match parse_listen(text) {
                Ok(given) => given,
                Err(error) => {
                    let at = self.source.part(&span, text, error.at);
                    let expected = error.problem.expected();
                    self.report(Diagnostic::error(error.problem.to_string()).at(at, expected));
                    continue;
                }
            };
            let twice = |what: &dyn Display| {
                Diagnostic::error(format!("{what} is given twice")).at(
                    span.clone(),
                    "expected an address, port and protocol that no service has yet",
                )
            };
            match given {
                Listen::Frontend(frontend) => {
                    if self.host_address("VIP", frontend.vip, &span)
                        && self.once(frontends_seen, frontend, &span, || twice(&frontend))
                    {
                        frontends.push(frontend);
                    }
                }
                Listen::Area(area) => {
                    let sound = match area.vip() {
                        Some(vip) => self.host_address("VIP", vip, &span),
                        None => true,
                    };
                    if sound && self.once(areas_seen, area, &span, || twice(&area)) {
                        areas.push(area);
                    }
                }
            }
        }
        if areas_seen.len() > MOST_AREAS as usize {
            self.report(
                Diagnostic::error(format!(
                    "there are more than {MOST_AREAS} networks and ranges of ports"
                ))
                .at(table.listen.span(), "expected fewer: join some to larger ones"),
            );
        }
        (frontends, areas)
    }

    fn timeouts(&mut self, table: &file::Service) -> Timeouts {
        let mut timeouts = Timeouts::default();
        for (key, state, given) in table.timeouts.iter().flat_map(file::Timeouts::given) {
            let timeout = given.get_ref().0;
            if (Timeouts::SHORTEST..=Timeouts::LONGEST).contains(&timeout) {
                timeouts.set(state, timeout);
            } else {
                let expected = format!(
                    "expected {} to {}",
                    Time(Timeouts::SHORTEST),
                    Time(Timeouts::LONGEST)
                );
                self.report(
                    Diagnostic::error(format!("the timeout `{key}` is out of range"))
                        .at(given.span(), expected),
                );
            }
        }
        timeouts
    }

    fn drain(&mut self, table: &file::Drain) -> Drain {
        let longest = DRAIN_DEADLINE.end();
        Drain {
            deadline: self.time("deadline", Some(&table.deadline), *longest, &DRAIN_DEADLINE),
            at_deadline: table.at_deadline.unwrap_or(AtDeadline::Reschedule),
        }
    }

    fn backends(&mut self, vips: &FirstSeen<Area>, table: &file::Service) -> Vec<Backend> {
        let mut names = FirstSeen::new();
        let mut addresses = FirstSeen::new();
        let mut server_ids = FirstSeen::new();
        let mut backends = Vec::new();
        for entry in &table.backends {
            let weight = self.weight(entry);
            let thresholds = self.thresholds(entry);
            if let Some(name) = &entry.name {
                self.name("backend", name);
            }
            let Some(address) = self.backend_address(vips, &entry.address) else {
                continue;
            };
            if !self.once(&mut addresses, address, &entry.address.span(), || {
                Diagnostic::error(format!(
                    "two backends of service {} have the address {address}",
                    quote(table.name.get_ref())
                ))
                .at(entry.address.span(), "expected another address")
            }) {
                continue;
            }
            let name = entry
                .name
                .as_ref()
                .map_or_else(|| address.to_string(), |name| name.get_ref().clone());
            let name_span = entry.name.as_ref().unwrap_or(&entry.address).span();
            self.once(&mut names, name.clone(), &name_span, || {
                Diagnostic::error(format!(
                    "two backends of service {} are called {}",
                    quote(table.name.get_ref()),
                    quote(&name)
                ))
                .at(name_span.clone(), "expected another name")
            });
            let server_id = self.server_id(table, entry);
            if let (Some(id), Some(given)) = (server_id, &entry.server_id) {
                self.once(&mut server_ids, id, &given.span(), || {
                    Diagnostic::error(format!(
                        "two backends of service {} have the same server ID",
                        quote(table.name.get_ref())
                    ))
                    .at(given.span(), "expected another")
                });
            }
            backends.push(Backend {
                name,
                address,
                port: self.backend_port(table, entry),
                weight,
                thresholds,
                backup: entry.backup.unwrap_or(false),
                server_id,
            });
        }
        backends
    }

    fn backend_address(&mut self, vips: &FirstSeen<Area>, given: &Spanned<String>) -> Option<IpAddr> {
        let (text, span) = (given.get_ref(), given.span());
        let Ok(address) = text.parse() else {
            let label = if text.parse::<SocketAddr>().is_ok() {
                "expected an address alone: a backend is reached at the port of the VIP, or with NAT at its `port`"
            } else {
                "expected an address such as 10.0.0.11 or 2001:db8::11 (names are not looked up)"
            };
            self.report(
                Diagnostic::error(format!("{} is not the address of a backend", quote(text))).at(span, label),
            );
            return None;
        };
        if !self.host_address("backend", address, &span) {
            return None;
        }
        if let Some((_, vip)) = vips.iter().find(|(area, _)| area.contains(address)) {
            self.report(
                Diagnostic::error(format!("{address} is a VIP and cannot be a backend as well"))
                    .at(span, "expected the address of the server itself")
                    .related(vip.clone(), "the VIP"),
            );
            return None;
        }
        Some(address)
    }

    fn weight(&mut self, entry: &file::Backend) -> u32 {
        let Some(weight) = &entry.weight else {
            return DEFAULT_WEIGHT;
        };
        match u32::try_from(*weight.get_ref()) {
            Ok(weight @ 0..=MAX_WEIGHT) => weight,
            Ok(_) | Err(_) => {
                self.report(Diagnostic::error("`weight` is out of range").at(
                    weight.span(),
                    format!("expected 0 (no new connections) to {MAX_WEIGHT}"),
                ));
                DEFAULT_WEIGHT
            }
        }
    }

    /// Whether packets can be addressed to `address` from another machine, and to no more than one.
    pub(super) fn host_address(&mut self, role: &str, address: IpAddr, span: &Range<usize>) -> bool {
        let Some(kind) = not_one_host(address) else {
            return true;
        };
        self.report(
            Diagnostic::error(format!("{address} cannot be a {role}: it is {kind}")).at(
                span.clone(),
                "expected the address of one host, the same seen from everywhere",
            ),
        );
        false
    }
}

/// What kind of address it is, if not that of one host that is the same seen from everywhere.
pub(in crate::config) fn not_one_host(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Some("the unspecified address"),
        IpAddr::V4(v4) if v4.is_loopback() => Some("a loopback address"),
        IpAddr::V4(v4) if v4.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V6(v6) if v6.is_unspecified() => Some("the unspecified address"),
        IpAddr::V6(v6) if v6.is_loopback() => Some("a loopback address"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("a multicast address"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4-mapped address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}
