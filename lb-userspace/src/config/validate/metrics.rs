//! Where metrics are to be had.

use std::net::SocketAddr;

use crate::config::Spanned;

use super::{FirstSeen, Validator};
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        file,
    },
    core::model::{Config, Metrics, Protocol},
};

/// Most addresses.
const MOST: usize = 16;

impl Validator<'_> {
    pub(super) fn metrics(&mut self, table: &file::Metrics) -> Metrics {
        let Some(given) = &table.listen else {
            return Metrics::default();
        };
        if given.get_ref().len() > MOST {
            self.report(
                Diagnostic::error("metrics are to be had at too many addresses").at(
                    given.span(),
                    format!("expected {MOST} or fewer; `0.0.0.0` and `[::]` stand for all"),
                ),
            );
        }
        let mut seen = FirstSeen::new();
        let mut listen = Vec::new();
        for text in given.get_ref() {
            let Some(address) = parse(text) else {
                let what = quote(text.get_ref());
                self.report(
                    Diagnostic::error(format!("{what} is not an address and a port")).at(
                        text.span(),
                        "expected such as 127.0.0.1:8849 or [2001:db8::1]:8849, without a name",
                    ),
                );
                continue;
            };
            if self.once(&mut seen, address, &text.span(), || {
                Diagnostic::error(format!("{address} is given twice")).at(text.span(), "once is enough")
            }) {
                listen.push(address);
            }
        }
        Metrics { listen }
    }

    /// What is balanced does not reach the daemon.
    pub(super) fn metrics_can_be_reached(&mut self, config: &Config, table: &file::Metrics) {
        for text in table.listen.iter().flat_map(|list| list.get_ref()) {
            let Some(address) = parse(text) else { continue };
            let taken = config.services.iter().find(|service| {
                service.frontends.iter().any(|frontend| {
                    frontend.protocol == Protocol::Tcp
                        && (frontend.vip, frontend.port) == (address.ip(), address.port())
                })
            });
            if let Some(service) = taken {
                let name = quote(&service.name);
                self.report(
                    Diagnostic::error(format!(
                        "{address} is balanced by service {name}, so nobody would reach the metrics"
                    ))
                    .at(
                        text.span(),
                        "expected another port, or an address of this machine alone",
                    ),
                );
            }
        }
    }
}

fn parse(text: &Spanned<String>) -> Option<SocketAddr> {
    let address = text.get_ref().parse::<SocketAddr>().ok()?;
    (address.port() != 0).then_some(address)
}
