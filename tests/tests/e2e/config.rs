//! Configurations of the ready-made labs.

use std::{fmt::Write as _, net::IpAddr};

use lb_tests::topology::{OneDirector, VIP4, VIP6};

/// A service `web` on port 80 (TCP) and port 53 (UDP) of both VIPs, over the first backends of the lab, with these
/// weights.
pub(crate) fn web(lab: &OneDirector, weights: &[u32]) -> String {
    let backends: Vec<_> = (0..).zip(weights.iter().copied()).collect();
    web_over(lab, &backends)
}

/// The same over chosen backends: index in the lab, and weight.
pub(crate) fn web_over(lab: &OneDirector, backends: &[(usize, u32)]) -> String {
    let backends: Vec<_> = backends
        .iter()
        .map(|&(index, weight)| {
            let host = &lab.backends[index];
            let address = host.ipv4().expect("hosts of the lab have IPv4 addresses");
            (host.name().to_owned(), address.into(), weight)
        })
        .collect();
    web_by("", &backends)
}

/// The same by a forwarding method (lines of the service), over backends: name, address and weight.
pub(crate) fn web_by(method: &str, backends: &[(String, IpAddr, u32)]) -> String {
    let mut config = format!(
        "[director]\nname = \"a\"\ninterfaces = [\"eth0\"]\n\n[limits]\nflows_v4 = \"256k\"\nflows_v6 = \"256k\"\n\n\
         [[service]]\nname = \"web\"\nlisten = [\"{VIP4}:80\", \"[{VIP6}]:80\", \"{VIP4}:53/udp\", \"[{VIP6}]:53/udp\"]\n\
         {method}\n"
    );
    for (name, address, weight) in backends {
        write!(
            config,
            "\n[[service.backend]]\nname = \"{name}\"\naddress = \"{address}\"\nweight = {weight}\n"
        )
        .expect("writing to a string");
    }
    config
}
