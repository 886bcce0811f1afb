//! How packets get to a service's backends.

use std::{net::IpAddr, ops::Range};

use crate::config::Spanned;
use lb_common::abi::POOL_ADDRESSES;

use super::Validator;
use crate::{
    config::{
        diagnostic::{Diagnostic, quote},
        file::{self, TunnelType},
    },
    core::model::{Area, Encapsulation, FIRST_POOL_PORT, Forward, GUE_PORT, Pool, Protocol, Service, Share},
};

/// Most directors that share a pool.
const MOST_SHARES: u8 = 8;

impl Validator<'_> {
    pub(super) fn forward(&mut self, table: &file::Service) -> Forward {
        let method = table
            .forward
            .as_ref()
            .map_or(file::Forward::Dr, |method| *method.get_ref());
        match (method, &table.tunnel) {
            (file::Forward::Dr, None) => Forward::Dr,
            (file::Forward::Nat, None) => Forward::Nat,
            (file::Forward::FullNat, None) => Forward::FullNat,
            (file::Forward::Dr | file::Forward::Nat | file::Forward::FullNat, Some(tunnel)) => {
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

    /// The port of a backend, which only translation can lead to.
    pub(super) fn backend_port(&mut self, table: &file::Service, entry: &file::Backend) -> Option<u16> {
        let given = entry.port.as_ref()?;
        let translates = table
            .forward
            .as_ref()
            .is_some_and(|method| matches!(method.get_ref(), file::Forward::Nat | file::Forward::FullNat));
        if !translates {
            self.report(Diagnostic::error("`port` has no meaning without NAT").at(
                given.span(),
                "expected `forward = \"nat\"` or \"full-nat\": by other methods the server listens at the VIP's port",
            ));
            return None;
        }
        Some(self.port(given))
    }

    /// Translation keeps the version of a packet: backends of another family than the VIPs cannot be reached.
    pub(super) fn families(&mut self, service: &Service, table: &file::Service) {
        if !matches!(service.forward, Forward::Nat | Forward::FullNat) {
            return;
        }
        if listening(service).any(|area| area.protocol == Protocol::Sctp) {
            self.report(
                Diagnostic::error("SCTP is not translated")
                    .at(table.listen.span(), "expected tcp or udp")
                    .note("its checksum and its addresses inside the packet would not be right: take `forward = \"dr\"` or a tunnel"),
            );
        }
        for entry in &table.backends {
            let Ok(address) = entry.address.get_ref().parse::<IpAddr>() else {
                continue;
            };
            let other = listening(service).find(|area| area.network.is_ipv4() != address.is_ipv4());
            if let Some(area) = other {
                self.report(
                    Diagnostic::error(format!("{address} cannot serve {area}: NAT keeps the family"))
                        .at(entry.address.span(), "expected a backend of the VIPs' family")
                        .note("make a service for each family, or take a tunnel"),
                );
            }
        }
    }

    /// The pool of a service whose packets come from the director.
    pub(super) fn pool(&mut self, service: &Service, table: &file::Service) -> Option<Pool> {
        let given = match (service.forward, &table.pool) {
            (Forward::FullNat, Some(pool)) => pool,
            (Forward::FullNat, None) => {
                self.report(
                    Diagnostic::error(format!(
                        "service {} has full NAT and no addresses for it",
                        quote(&service.name)
                    ))
                    .at(
                        table.name.span(),
                        "expected `pool = { addresses = [\"10.0.0.100\"] }`",
                    ),
                );
                return None;
            }
            (_, Some(pool)) => {
                self.report(
                    Diagnostic::error("`pool` has no meaning without full NAT")
                        .at(pool.span(), "expected `forward = \"full-nat\"` beside it"),
                );
                return None;
            }
            (_, None) => return None,
        };
        let (first_port, last_port) = self.pool_ports(given.get_ref());
        let addresses = self.pool_addresses(service, given.get_ref());
        Some(Pool {
            addresses,
            first_port,
            last_port,
        })
    }

    fn pool_ports(&mut self, pool: &file::Pool) -> (u16, u16) {
        let Some(given) = &pool.ports else {
            return (FIRST_POOL_PORT, u16::MAX);
        };
        let range = given.get_ref().split_once('-').and_then(|(first, last)| {
            let range: (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            // Each director that shares it has at least one.
            (range.0 > 0 && range.1.checked_sub(range.0) >= Some(u16::from(MOST_SHARES) - 1)).then_some(range)
        });
        range.unwrap_or_else(|| {
            self.report(
                Diagnostic::error(format!("{} is no range of ports", quote(given.get_ref()))).at(
                    given.span(),
                    "expected two ports eight apart, such as \"1024-65535\"",
                ),
            );
            (FIRST_POOL_PORT, u16::MAX)
        })
    }

    /// Which ports of pools the director gives out.
    pub(super) fn pool_share(&mut self, table: &file::Director) -> Share {
        let Some(given) = &table.pool_share else {
            return Share::WHOLE;
        };
        let share = given.get_ref().split_once('/').and_then(|(part, of)| {
            let share = Share {
                part: part.trim().parse().ok()?,
                of: of.trim().parse().ok()?,
            };
            (1..=share.of).contains(&share.part).then_some(share)
        });
        share.filter(|share| share.of <= MOST_SHARES).unwrap_or_else(|| {
            self.report(
                Diagnostic::error(format!("{} is no share of a pool", quote(given.get_ref()))).at(
                    given.span(),
                    format!("expected such as \"1/2\", and \"2/2\" on the other director; at most {MOST_SHARES} parts"),
                ),
            );
            Share::WHOLE
        })
    }

    fn pool_addresses(&mut self, service: &Service, pool: &file::Pool) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for given in pool.addresses.get_ref() {
            let (text, span) = (given.get_ref(), given.span());
            let Ok(address) = text.parse::<IpAddr>() else {
                self.report(
                    Diagnostic::error(format!("{} is not an address", quote(text)))
                        .at(span, "expected an address such as 10.0.0.100"),
                );
                continue;
            };
            if !self.host_address("pool address", address, &span) {
                continue;
            }
            let taken = listening(service).any(|area| area.contains(address))
                || service.backends.iter().any(|backend| backend.address == address)
                || addresses.contains(&address);
            if taken {
                self.report(
                    Diagnostic::error(format!("{address} is taken"))
                        .at(span, "expected an address that nobody has yet"),
                );
                continue;
            }
            addresses.push(address);
        }
        for (v4, family) in [(true, "IPv4"), (false, "IPv6")] {
            let of_family = addresses.iter().filter(|address| address.is_ipv4() == v4).count();
            let wanted = listening(service).any(|area| area.network.is_ipv4() == v4);
            let span = pool.addresses.span();
            if wanted && of_family == 0 {
                self.report(
                    Diagnostic::error(format!("the pool has no {family} address"))
                        .at(span, "expected one for each family of the VIPs"),
                );
            } else if of_family > POOL_ADDRESSES {
                self.report(
                    Diagnostic::error(format!("the pool has {of_family} {family} addresses"))
                        .at(span, format!("expected at most {POOL_ADDRESSES}")),
                );
            }
        }
        addresses
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

/// Where a service listens.
fn listening(service: &Service) -> impl Iterator<Item = Area> {
    let frontends = service.frontends.iter().map(|&frontend| Area::from(frontend));
    frontends.chain(service.areas.iter().copied())
}
