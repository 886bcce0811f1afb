//! How services treat their connections.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use crate::config::Spanned;
use lb_common::{abi::LONGEST_SERVER_ID, flow_state::FlowState};

use super::Validator;
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        duration::Time,
        file,
    },
    core::{
        model::{Connections, Flood, OnUnknown, Persistence, Protocol},
        timeouts::Timeouts,
    },
};

/// How long a destination to which nobody connects keeps its backend with `lblc`, `lblcr` (`lblc_expiration` of IPVS).
const ASSIGNMENT: Duration = Duration::from_secs(24 * 3600);

impl Validator<'_> {
    /// What the service says of its connections; how long a client keeps its backend goes into the timeouts.
    pub(super) fn connections(
        &mut self,
        table: &file::Service,
        protocols: &BTreeSet<Protocol>,
        timeouts: &mut Timeouts,
    ) -> Connections {
        let one_packet = table.one_packet.as_ref().filter(|given| *given.get_ref());
        if let Some(given) = one_packet
            && !protocols.contains(&Protocol::Udp)
        {
            self.report(
                Diagnostic::error(format!(
                    "`one_packet` means nothing to service {}, which has no UDP",
                    quote(table.name.get_ref())
                ))
                .at(given.span(), "expected only where some of `listen` is UDP"),
            );
        }
        if let Some(rate) = table.flood.as_ref().and_then(|flood| flood.syn_rate.as_ref())
            && table.on_unknown.unwrap_or_default() != OnUnknown::Schedule
        {
            self.report(
                Diagnostic::error("`syn_rate` needs `on_unknown = \"schedule\"`").at(
                    rate.span(),
                    "a connection whose SYN left no entry would be refused when its client answers the handshake",
                ),
            );
        }
        if let Some(scheduler) = &table.scheduler
            && scheduler.get_ref().keeper().is_some()
        {
            match &table.persistence {
                None => timeouts.set(FlowState::Template, ASSIGNMENT),
                Some(_) => self.report(
                    Diagnostic::warning("with `persistence` this scheduler is `wlc`").at(
                        scheduler.span(),
                        "it is clients that keep their backends then, and not destinations",
                    ),
                ),
            }
        }
        Connections {
            persistence: table
                .persistence
                .as_ref()
                .map(|persistence| self.persistence(persistence, timeouts)),
            one_packet: one_packet.is_some(),
            on_unknown: table.on_unknown.unwrap_or_default(),
            on_gone: table.on_gone.unwrap_or_default(),
            flood: table.flood.as_ref().map_or_else(Flood::default, |flood| Flood {
                syn_rate: self.rate("syn_rate", flood.syn_rate.as_ref()),
                source_rate: self.rate("source_rate", flood.source_rate.as_ref()),
            }),
            server_id_length: table
                .quic
                .as_ref()
                .map_or(0, |quic| self.quic(quic, protocols.contains(&Protocol::Udp))),
            sync: table.sync.unwrap_or_default(),
        }
    }

    fn quic(&mut self, table: &Spanned<file::Quic>, has_udp: bool) -> u8 {
        if !has_udp {
            self.report(
                Diagnostic::error("`quic` means nothing to a service that has no UDP")
                    .at(table.span(), "expected only where some of `listen` is UDP"),
            );
        }
        let given = &table.get_ref().server_id_length;
        match u8::try_from(*given.get_ref()) {
            Ok(length @ 1..=LONGEST_SERVER_ID) => length,
            Ok(_) | Err(_) => {
                self.report(
                    Diagnostic::error("`server_id_length` is out of range")
                        .at(given.span(), format!("expected 1 to {LONGEST_SERVER_ID} bytes")),
                );
                1
            }
        }
    }

    /// What names the backend in connection IDs.
    pub(super) fn server_id(&mut self, table: &file::Service, entry: &file::Backend) -> Option<u32> {
        let length = table
            .quic
            .as_ref()
            .map(|quic| *quic.get_ref().server_id_length.get_ref());
        match (&entry.server_id, length) {
            (None, None) => None,
            (None, Some(_)) => {
                self.report(
                    Diagnostic::warning("this backend has no `server_id`")
                        .at(entry.address.span(), "clients that change their address lose it")
                        .note("give each backend of a service with `quic` one, and tell its server"),
                );
                None
            }
            (Some(given), None) => {
                self.report(Diagnostic::error("`server_id` has no meaning without `quic`").at(
                    given.span(),
                    "expected `quic = { server_id_length = 2 }` in its service",
                ));
                None
            }
            (Some(given), Some(length)) => {
                let digits = given.get_ref();
                let id = u32::from_str_radix(digits, 16).ok().filter(|_| {
                    digits.bytes().all(|digit| digit.is_ascii_hexdigit()) && digits.len() as i64 == 2 * length
                });
                if id.is_none() {
                    self.report(
                        Diagnostic::error(format!("{} is no server ID of this service", quote(digits))).at(
                            given.span(),
                            format!("expected {} hexadecimal digits", 2 * length),
                        ),
                    );
                }
                id
            }
        }
    }

    fn rate(&mut self, key: &str, given: Option<&Spanned<i64>>) -> Option<NonZeroU32> {
        let given = given?;
        let rate = u32::try_from(*given.get_ref()).ok().and_then(NonZeroU32::new);
        if rate.is_none() {
            self.report(Diagnostic::error(format!("`{key}` is out of range")).at(
                given.span(),
                format!("expected 1 to {} a second; leave it out for no limit", u32::MAX),
            ));
        }
        rate
    }

    fn persistence(&mut self, table: &file::Persistence, timeouts: &mut Timeouts) -> Persistence {
        if let Some(given) = &table.timeout {
            let timeout = given.get_ref().0;
            if (Timeouts::SHORTEST..=Timeouts::LONGEST).contains(&timeout) {
                timeouts.set(FlowState::Template, timeout);
            } else {
                let expected = format!(
                    "expected {} to {}",
                    Time(Timeouts::SHORTEST),
                    Time(Timeouts::LONGEST)
                );
                self.report(
                    Diagnostic::error("the `timeout` of `persistence` is out of range")
                        .at(given.span(), expected),
                );
            }
        }
        let usual = Persistence::default();
        Persistence {
            prefix_v4: self.prefix("prefix_v4", table.prefix_v4.as_ref(), usual.prefix_v4),
            prefix_v6: self.prefix("prefix_v6", table.prefix_v6.as_ref(), usual.prefix_v6),
        }
    }

    /// The length of a prefix: at most, and without one, `whole`.
    fn prefix(&mut self, key: &str, given: Option<&Spanned<i64>>, whole: u8) -> u8 {
        let Some(given) = given else { return whole };
        match u8::try_from(*given.get_ref()) {
            Ok(length) if length <= whole => length,
            Ok(_) | Err(_) => {
                self.report(Diagnostic::error(format!("`{key}` is out of range")).at(
                    given.span(),
                    format!("expected 0 (all clients are one) to {whole} (each by itself)"),
                ));
                whole
            }
        }
    }
}
