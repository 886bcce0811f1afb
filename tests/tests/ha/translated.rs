//! A pair whose backends know nothing of the VIPs: their replies come back through the director that is Active.

use std::{fmt::Write as _, net::IpAddr};

use anyhow::{Context as _, Result};
use lb_tests::{
    Host,
    server::Nginx,
    topology::{Pair, VIP4, VIP6},
};

/// Port that the servers listen at; clients ask another.
const SERVER_PORT: u16 = 8080;
/// The way from the backends to the clients, which moves with the VIPs.
const GATEWAYS: [&str; 2] = ["192.0.2.9", "2001:db8::9"];
/// Addresses that packets come from with full NAT.
const POOL: [&str; 2] = ["192.0.2.200", "2001:db8::c8"];

/// How packets are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Translation {
    Nat,
    FullNat,
}

impl Translation {
    /// A director's configuration, made of the one without translations: a service for each family.
    pub(crate) fn config(self, plain: &str, director: usize, pair: &Pair, weight: u32) -> String {
        let head = plain.split("[[service]]").next().unwrap_or_default();
        let vips = format!("vips = [\"{VIP4}\", \"{VIP6}\"");
        let moved = match self {
            Self::Nat => GATEWAYS,
            Self::FullNat => POOL,
        };
        let share = format!("[director]\npool_share = \"{}/2\"", director + 1);
        let mut config = head
            .replace("[director]", &share)
            .replace(&vips, &format!("{vips}, \"{}\", \"{}\"", moved[0], moved[1]));
        for (name, listen, pool, v4) in [
            ("four", VIP4.to_string(), POOL[0], true),
            ("six", format!("[{VIP6}]"), POOL[1], false),
        ] {
            let method = match self {
                Self::Nat => "forward = \"nat\"".to_owned(),
                Self::FullNat => format!("forward = \"full-nat\"\npool = {{ addresses = [\"{pool}\"] }}"),
            };
            write!(
                config,
                "\n[[service]]\nname = \"{name}\"\nlisten = [\"{listen}:80\"]\n{method}\n"
            )
            .expect("writing to a string");
            for (number, backend) in pair.backends.iter().enumerate() {
                let weight = if number == 0 { weight } else { 100 };
                write!(
                    config,
                    "\n[[service.backend]]\nname = \"{}\"\naddress = \"{}\"\nport = {SERVER_PORT}\nweight = {weight}\n",
                    backend.name(),
                    address(backend, v4)
                )
                .expect("writing to a string");
            }
        }
        config
    }

    /// Starts nginx on every backend, at its own addresses only, and tells it the way to the clients.
    pub(crate) fn serve(self, pair: &Pair) -> Result<Vec<Nginx>> {
        pair.backends
            .iter()
            .map(|backend| {
                if self == Self::Nat {
                    for client in &pair.clients {
                        for (v4, gateway) in [true, false].into_iter().zip(GATEWAYS) {
                            let (client, length) = (address(client, v4), if v4 { 32 } else { 128 });
                            let route = format!("route replace {client}/{length} via {gateway}");
                            backend.namespace().ip(&[route])?;
                        }
                    }
                }
                let own = [true, false].map(|v4| (address(backend, v4), SERVER_PORT).into());
                Nginx::start(backend, &own, None).context("nginx does not start")
            })
            .collect()
    }
}

fn address(host: &Host, v4: bool) -> IpAddr {
    let mut addresses = host.addresses().into_iter();
    addresses
        .find(|address| address.is_ipv4() == v4)
        .expect("hosts of the lab have addresses of both families")
}
