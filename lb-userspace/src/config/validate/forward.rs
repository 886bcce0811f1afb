//! How packets get to a service's backends.

use std::ops::Range;

use toml::Spanned;

use super::Validator;
use crate::{
    config::{
        diagnostic::Diagnostic,
        file::{self, TunnelType},
    },
    core::model::{Encapsulation, Forward, GUE_PORT},
};

impl Validator<'_> {
    pub(super) fn forward(&mut self, table: &file::Service) -> Forward {
        let method = table
            .forward
            .as_ref()
            .map_or(file::Forward::Dr, |method| *method.get_ref());
        match (method, &table.tunnel) {
            (file::Forward::Dr, None) => Forward::Dr,
            (file::Forward::Dr, Some(tunnel)) => {
                self.report(
                    Diagnostic::error("`tunnel` has no meaning without a tunnel")
                        .at(tunnel.span(), "expected `forward = \"tunnel\"` beside it"),
                );
                Forward::Dr
            }
            (file::Forward::Tunnel, None) => Forward::Tunnel(Encapsulation::Ipip),
            (file::Forward::Tunnel, Some(tunnel)) => Forward::Tunnel(self.encapsulation(tunnel.get_ref())),
        }
    }

    fn encapsulation(&mut self, tunnel: &file::Tunnel) -> Encapsulation {
        let kind = tunnel.kind.unwrap_or(TunnelType::Ipip);
        if kind != TunnelType::Gue
            && let Some(port) = &tunnel.port
        {
            self.meaningless("port", port.span(), "only GUE has ports");
        }
        let checksum = tunnel.checksum.as_ref();
        if kind == TunnelType::Ipip
            && let Some(checksum) = checksum
        {
            self.meaningless("checksum", checksum.span(), "IP in IP has none");
        }
        let checksum = checksum.is_some_and(|checksum| *checksum.get_ref());
        match kind {
            TunnelType::Ipip => Encapsulation::Ipip,
            TunnelType::Gue => Encapsulation::Gue {
                port: tunnel.port.as_ref().map_or(GUE_PORT, |port| self.port(port)),
                checksum,
            },
            TunnelType::Gre => Encapsulation::Gre { checksum },
        }
    }

    fn meaningless(&mut self, key: &str, span: Range<usize>, why: &str) {
        self.report(
            Diagnostic::error(format!("`{key}` has no meaning for this type of tunnel")).at(span, why),
        );
    }

    /// A port, which is not 0.
    pub(super) fn port(&mut self, given: &Spanned<i64>) -> u16 {
        match u16::try_from(*given.get_ref()) {
            Ok(port @ 1..) => port,
            Ok(0) | Err(_) => {
                self.report(
                    Diagnostic::error("`port` is out of range").at(given.span(), "expected 1 to 65535"),
                );
                1
            }
        }
    }
}
