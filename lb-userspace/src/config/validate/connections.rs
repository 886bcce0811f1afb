//! How services treat their connections.

use lb_common::flow_state::FlowState;
use toml::Spanned;

use super::Validator;
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        duration::Time,
        file,
    },
    core::{
        model::{Connections, Frontend, Persistence, Protocol},
        timeouts::Timeouts,
    },
};

impl Validator<'_> {
    /// What the service says of its connections; how long a client keeps its backend goes into the timeouts.
    pub(super) fn connections(
        &mut self,
        table: &file::Service,
        frontends: &[Frontend],
        timeouts: &mut Timeouts,
    ) -> Connections {
        let one_packet = table.one_packet.as_ref().filter(|given| *given.get_ref());
        if let Some(given) = one_packet
            && !frontends
                .iter()
                .any(|frontend| frontend.protocol == Protocol::Udp)
        {
            self.report(
                Diagnostic::error(format!(
                    "`one_packet` means nothing to service {}, which has no UDP",
                    quote(table.name.get_ref())
                ))
                .at(given.span(), "expected only where some of `listen` is UDP"),
            );
        }
        Connections {
            persistence: table
                .persistence
                .as_ref()
                .map(|persistence| self.persistence(persistence, timeouts)),
            one_packet: one_packet.is_some(),
            on_unknown: table.on_unknown.unwrap_or_default(),
            on_gone: table.on_gone.unwrap_or_default(),
        }
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
