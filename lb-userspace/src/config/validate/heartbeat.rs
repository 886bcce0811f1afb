//! Heartbeat paths.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    ops::{Range, RangeInclusive},
    time::Duration,
};

use crate::config::Spanned;

use super::{FirstSeen, Validator};
use crate::{
    config::{
        diagnostic::{Diagnostic, NOWHERE, quote},
        file::heartbeat as table,
    },
    core::model::{
        DEFAULT_ADVERT_INTERVAL, DEFAULT_BAUD, DEFAULT_HEARTBEAT_GROUP, Heartbeat, HeartbeatNetwork,
        Instance, Medium,
    },
    net::serial::SPEEDS,
};

/// Times between heartbeats.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(10);
/// Over a serial line no more often, unless the configuration says so: a heartbeat takes some 30 ms at 115200 bits a second.
const SERIAL_INTERVAL: Duration = Duration::from_millis(200);
/// Most paths.
const MAX_PATHS: usize = 8;
/// Most directors that a path is sent to one by one.
const MAX_PEERS: usize = lb_common::wire::heartbeat::MAX_PEERS;
/// Most groups that a heartbeat speaks of.
const MAX_GROUPS: usize = lb_common::wire::heartbeat::MAX_GROUPS;

impl Validator<'_> {
    pub(super) fn heartbeats(
        &mut self,
        tables: &[table::Heartbeat],
        instances: &[Instance],
        has_cluster: bool,
    ) -> Vec<Heartbeat> {
        let mut names = FirstSeen::new();
        let fastest = instances.iter().map(|instance| instance.advert_interval).min();
        let interval = fastest
            .unwrap_or(DEFAULT_ADVERT_INTERVAL)
            .clamp(*INTERVALS.start(), *INTERVALS.end());
        let heartbeats: Vec<_> = tables
            .iter()
            .filter_map(|table| self.heartbeat(&mut names, table, interval))
            .collect();
        let Some(first) = tables.first().map(place) else {
            return heartbeats;
        };
        if !has_cluster {
            self.report(
                Diagnostic::error("a [[heartbeat]] needs a [cluster]")
                    .at(first.clone(), "expected to know whose heartbeats are meant")
                    .note("set `name` and `key_files` under [cluster], the same on all directors"),
            );
        }
        if tables.len() > MAX_PATHS {
            self.report(
                Diagnostic::error(format!("there are {} heartbeat paths", tables.len()))
                    .at(place(&tables[MAX_PATHS]), format!("expected {MAX_PATHS} at most")),
            );
        }
        let groups: BTreeSet<&str> = instances.iter().map(Instance::group_name).collect();
        if groups.len() > MAX_GROUPS {
            self.report(
                Diagnostic::error(format!("there are {} groups of instances", groups.len()))
                    .at(
                        first.clone(),
                        format!("a heartbeat speaks of {MAX_GROUPS} at most"),
                    )
                    .note("let instances move together: give them the same `group`"),
            );
        }
        heartbeats
    }

    fn heartbeat(
        &mut self,
        names: &mut FirstSeen<String>,
        table: &table::Heartbeat,
        interval: Duration,
    ) -> Option<Heartbeat> {
        let mut default = None;
        let medium = match (&table.interface, &table.serial) {
            (Some(interface), None) => {
                default = Some((interface.get_ref().clone(), interface.span()));
                self.network(table, interface).map(Medium::Network)
            }
            (None, Some(serial)) => {
                let name = serial.get_ref().rsplit('/').next().unwrap_or_default();
                default = Some((name.to_owned(), serial.span()));
                self.line(table, serial)
            }
            (None, None) | (Some(_), Some(_)) => {
                self.report(
                    Diagnostic::error("it is not clear what the heartbeats go over")
                        .at(place(table), "expected one of `interface` and `serial`"),
                );
                None
            }
        };
        let (name, span) = table
            .name
            .as_ref()
            .map(|name| (name.get_ref().clone(), name.span()))
            .or(default)?;
        if let Some(name) = &table.name {
            self.name("heartbeat", name);
        }
        self.once(names, name.clone(), &span, || {
            Diagnostic::error(format!("two heartbeats are called {}", quote(&name))).at(
                span.clone(),
                "expected another `name`; without one it is the interface's, or the device's",
            )
        });
        let medium = medium?;
        let interval = match medium {
            Medium::Network(_) => interval,
            Medium::Serial { .. } => interval.max(SERIAL_INTERVAL),
        };
        Some(Heartbeat {
            name,
            interval: self.time("interval", table.interval.as_ref(), interval, &INTERVALS),
            medium,
        })
    }

    fn network(&mut self, table: &table::Heartbeat, interface: &Spanned<String>) -> Option<HeartbeatNetwork> {
        let name = self.interface(interface);
        if let Some(baud) = &table.baud {
            self.report(
                Diagnostic::error("a network has no `baud`").at(baud.span(), "expected it beside `serial`"),
            );
        }
        let group = match &table.group {
            None => DEFAULT_HEARTBEAT_GROUP,
            Some(given) => self.socket_address("group", given)?,
        };
        let peers = table.peers.as_ref();
        let peers = peers.map_or_else(Vec::new, |peers| self.heartbeat_peers(peers, group.port()));
        if peers.is_empty() && !group.ip().is_multicast() {
            let span = table.group.as_ref().map_or(interface.span(), Spanned::span);
            self.report(
                Diagnostic::error(format!("{} is no multicast group", group.ip()))
                    .at(
                        span,
                        "expected one such as \"224.0.0.81:8847\" or \"[ff02::8847]:8847\"",
                    )
                    .note("directors that are told one by one are given as `peers`"),
            );
        }
        Some(HeartbeatNetwork {
            interface: name?,
            group,
            peers,
        })
    }

    fn line(&mut self, table: &table::Heartbeat, serial: &Spanned<String>) -> Option<Medium> {
        let device = self.path(serial);
        for (key, span) in [
            ("group", table.group.as_ref().map(Spanned::span)),
            ("peers", table.peers.as_ref().map(Spanned::span)),
        ] {
            if let Some(span) = span {
                self.report(
                    Diagnostic::error(format!("a serial line has no `{key}`"))
                        .at(span, "it leads to one other director"),
                );
            }
        }
        let baud = table.baud.as_ref().map_or(Some(DEFAULT_BAUD), |given| {
            let baud = u32::try_from(*given.get_ref())
                .ok()
                .filter(|baud| SPEEDS.contains(baud));
            if baud.is_none() {
                let speeds: Vec<_> = SPEEDS.iter().map(ToString::to_string).collect();
                self.report(
                    Diagnostic::error("`baud` is no speed of a serial line")
                        .at(given.span(), format!("expected one of {}", speeds.join(", "))),
                );
            }
            baud
        });
        Some(Medium::Serial {
            device: device?,
            baud: baud?,
        })
    }

    fn heartbeat_peers(&mut self, list: &Spanned<Vec<Spanned<String>>>, port: u16) -> Vec<SocketAddr> {
        let mut seen = FirstSeen::new();
        let mut peers: Vec<SocketAddr> = Vec::new();
        for given in list.get_ref() {
            let span = given.span();
            let peer = match given.get_ref().parse::<IpAddr>() {
                Ok(ip) => Some(SocketAddr::new(ip, port)),
                Err(_) => self.socket_address("peers", given),
            };
            let Some(peer) = peer else { continue };
            let is_new = self.once(&mut seen, peer, &span, || {
                Diagnostic::error(format!("{peer} is given twice")).at(span.clone(), "once is enough")
            });
            if is_new {
                peers.push(peer);
            }
        }
        if peers.len() > MAX_PEERS {
            self.report(
                Diagnostic::error(format!("there are {} peers", peers.len()))
                    .at(list.span(), format!("expected {MAX_PEERS} at most")),
            );
        }
        if peers.iter().any(|peer| peer.is_ipv4() != peers[0].is_ipv4()) {
            self.report(
                Diagnostic::error("the peers are of both families")
                    .at(list.span(), "expected one family: a path is one socket"),
            );
        }
        peers
    }

    fn socket_address(&mut self, key: &str, given: &Spanned<String>) -> Option<SocketAddr> {
        let parsed = given
            .get_ref()
            .parse::<SocketAddr>()
            .ok()
            .filter(|address| address.port() > 0);
        if parsed.is_none() {
            self.report(
                Diagnostic::error(format!("{} cannot be in `{key}`", quote(given.get_ref()))).at(
                    given.span(),
                    "expected an address and a port, such as \"10.9.0.3:8847\"",
                ),
            );
        }
        parsed
    }
}

/// Where a path stands in the file.
fn place(table: &table::Heartbeat) -> Range<usize> {
    let medium = table.interface.as_ref().or(table.serial.as_ref());
    let key = medium.or(table.name.as_ref()).or(table.group.as_ref());
    key.map_or(NOWHERE, Spanned::span)
}
