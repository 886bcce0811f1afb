//! How directors tell each other of connections.

use std::net::IpAddr;

use crate::config::Spanned;

use super::{FirstSeen, Validator};
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        file::{self, sync::Sync},
        size::Size,
    },
    core::{
        model::{Audience, DEFAULT_BULK_RATE, DEFAULT_SYNC_GROUP, DEFAULT_SYNC_PORT, SyncPath},
        sync::MAX_PEERS,
    },
};

/// Limits of `bulk_rate`, in bytes a second.
const MIN_BULK_RATE: u64 = 64 << 10;
const MAX_BULK_RATE: u64 = 4 << 30;

impl Validator<'_> {
    pub(super) fn sync(&mut self, file: &file::File) -> Option<SyncPath> {
        let table = file.sync.as_ref()?;
        if file.cluster.is_none() {
            self.report(
                Diagnostic::error("connections are synchronised among the directors of a cluster").at(
                    table.interface.span(),
                    "expected a [cluster] in this file, with a name and a key",
                ),
            );
        }
        let interface = self.interface(&table.interface);
        let ttl = table.ttl.as_ref();
        let ttl = ttl.map_or(Some(1), |given| self.small_number("ttl", given));
        Some(SyncPath {
            audience: self.audience(table),
            port: table
                .port
                .as_ref()
                .map_or(DEFAULT_SYNC_PORT, |given| self.port(given)),
            bulk_rate: self.bulk_rate(table.bulk_rate.as_ref())?,
            interface: interface?,
            ttl: ttl?,
        })
    }

    fn audience(&mut self, table: &Sync) -> Audience {
        match (&table.group, &table.peers) {
            (None, None) => Audience::Group(DEFAULT_SYNC_GROUP),
            (Some(group), None) => Audience::Group(self.group(group)),
            (None, Some(peers)) => Audience::Peers(self.sync_peers(peers)),
            (Some(group), Some(peers)) => {
                let error = Diagnostic::error("there are `peers` and a `group`").at(
                    peers.span(),
                    "expected either: with peers, nothing is sent to a group",
                );
                self.report(error.related(group.span(), "the group"));
                Audience::Group(self.group(group))
            }
        }
    }

    fn group(&mut self, given: &Spanned<String>) -> IpAddr {
        match given.get_ref().parse::<IpAddr>() {
            Ok(group) if group.is_multicast() => group,
            Ok(_) | Err(_) => {
                let what = quote(given.get_ref());
                self.report(Diagnostic::error(format!("{what} is no multicast group")).at(
                    given.span(),
                    "expected a multicast address alone, such as \"224.0.0.81\" or \"ff02::8848\"",
                ));
                DEFAULT_SYNC_GROUP
            }
        }
    }

    fn sync_peers(&mut self, list: &Spanned<Vec<Spanned<String>>>) -> Vec<IpAddr> {
        let mut seen = FirstSeen::new();
        let mut peers: Vec<IpAddr> = Vec::new();
        for peer in list.get_ref() {
            let span = peer.span();
            let Some(address) = self.address("director", peer.get_ref(), &span) else {
                continue;
            };
            let is_new = self.once(&mut seen, address, &span, || {
                Diagnostic::error(format!("{address} is given twice")).at(span.clone(), "once is enough")
            });
            if peers
                .first()
                .is_some_and(|first| first.is_ipv4() != address.is_ipv4())
            {
                self.report(
                    Diagnostic::error("the peers are of both families")
                        .at(span, "expected addresses of one family"),
                );
            } else if is_new {
                peers.push(address);
            }
        }
        if !(1..=MAX_PEERS).contains(&list.get_ref().len()) {
            self.report(
                Diagnostic::error(format!("there are {} peers", list.get_ref().len()))
                    .at(list.span(), format!("expected 1 to {MAX_PEERS}")),
            );
        }
        peers
    }

    fn bulk_rate(&mut self, given: Option<&Spanned<Size>>) -> Option<u64> {
        let Some(given) = given else {
            return Some(DEFAULT_BULK_RATE);
        };
        let rate = given.get_ref().0;
        if (MIN_BULK_RATE..=MAX_BULK_RATE).contains(&rate) {
            return Some(rate);
        }
        let range = format!(
            "expected {} to {} bytes a second",
            Size(MIN_BULK_RATE),
            Size(MAX_BULK_RATE)
        );
        self.report(Diagnostic::error("`bulk_rate` is out of range").at(given.span(), range));
        None
    }
}
