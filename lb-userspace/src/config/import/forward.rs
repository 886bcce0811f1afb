//! How IPVS gets packets to real servers, and what that becomes.

use std::net::IpAddr;

use super::{document::Table, report::Outcome};
use crate::core::model::{Encapsulation, GUE_PORT};

/// How IPVS gets packets to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Nat,
    /// Of LVS as Alibaba has it, and of DPVS.
    FullNat,
    Direct,
    Tunnel(Encapsulation),
}

impl Method {
    /// What it becomes.
    pub(super) fn outcome(self) -> Outcome {
        Outcome::translated(self.words())
    }

    /// Whether addresses are translated.
    pub(super) fn translates(self) -> bool {
        matches!(self, Self::Nat | Self::FullNat)
    }

    /// As it stands in the new file.
    pub(super) fn words(self) -> String {
        match self {
            Self::Direct => "forward = \"dr\"".to_owned(),
            Self::Nat => "forward = \"nat\"".to_owned(),
            Self::FullNat => "forward = \"full-nat\", and its `pool`".to_owned(),
            Self::Tunnel(Encapsulation::Ipip) => "forward = \"tunnel\"".to_owned(),
            Self::Tunnel(Encapsulation::Gue { port, .. }) => {
                format!("forward = \"tunnel\", of type gue to port {port}")
            }
            Self::Tunnel(Encapsulation::Gre { .. }) => "forward = \"tunnel\", of type gre".to_owned(),
        }
    }

    /// Sets the keys that differ from what a service has without them.
    pub(super) fn write(self, pool: &[IpAddr], table: &mut Table) {
        match self {
            Self::Direct => {}
            Self::Nat => {
                table.set("forward", "nat");
            }
            Self::FullNat => {
                let addresses: Vec<String> = pool.iter().map(ToString::to_string).collect();
                table.set("forward", "full-nat").set(
                    "pool",
                    toml::Table::from_iter([("addresses".to_owned(), addresses.into())]),
                );
            }
            Self::Tunnel(encapsulation) => {
                table.set("forward", "tunnel");
                let mut tunnel = toml::Table::new();
                match encapsulation {
                    Encapsulation::Ipip => return,
                    Encapsulation::Gue { port, checksum } => {
                        tunnel.insert("type".to_owned(), "gue".into());
                        tunnel.insert("port".to_owned(), i64::from(port).into());
                        tunnel.insert("checksum".to_owned(), checksum.into());
                    }
                    Encapsulation::Gre { checksum } => {
                        tunnel.insert("type".to_owned(), "gre".into());
                        tunnel.insert("checksum".to_owned(), checksum.into());
                    }
                }
                table.set("tunnel", tunnel);
            }
        }
    }
}

/// What is said of a tunnel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tunnel<'a> {
    pub(super) kind: Option<&'a str>,
    pub(super) port: Option<&'a str>,
    /// `nocsum`, `csum` or `remcsum`.
    pub(super) checksum: Option<&'a str>,
}

impl Tunnel<'_> {
    /// The method, and what of it is not as it was.
    ///
    /// # Errors
    /// There is no such tunnel.
    pub(super) fn method(self) -> Result<(Method, Option<Outcome>), Outcome> {
        let checksum = matches!(self.checksum, Some("csum" | "remcsum"));
        let remark = (self.checksum == Some("remcsum")).then(|| {
            Outcome::approximated(
                "`checksum` of `tunnel`, which is computed in full and not left to the other end",
            )
        });
        let encapsulation = match self.kind {
            None | Some("ipip") => Encapsulation::Ipip,
            Some("gre") => Encapsulation::Gre { checksum },
            Some("gue") => Encapsulation::Gue {
                port: match self.port.map(str::parse) {
                    None => GUE_PORT,
                    Some(Ok(port @ 1..)) => port,
                    Some(_) => return Err(Outcome::missing("a tunnel to no port")),
                },
                checksum,
            },
            Some(other) => return Err(Outcome::missing(format!("`{other}` is no type of tunnel"))),
        };
        Ok((Method::Tunnel(encapsulation), remark))
    }
}
